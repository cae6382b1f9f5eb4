//! The compromise of an authority: one person says so, another sets it in force in the same words (R50, R33).

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan};
use lanyard_domain::event::Event;
use lanyard_domain::time::Timestamp;

use super::authorities::find;
use super::{Accepted, Done};
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::world::World;

impl<J: Journal> Control<J> {
    pub(super) async fn declare_compromise(
        &self,
        accepted: Accepted,
        (name, successor): (String, String),
        plan: CompromisePlan,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        plan.check().map_err(|e| ControlError::malformed("plan", e))?;
        let event = Event::AuthorityCompromiseDeclared {
            name: name.clone(),
            successor: successor.clone(),
            plan,
            statement: accepted.signed.clone(),
        };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                may_be_compromised(world, &name, &successor)?;
                Ok(event.clone())
            })
            .await?;
        Ok(Done::new(
            appended,
            format!(
                "nothing has happened yet: another person sets it in force with `lanyard ca compromise confirm {name}`"
            ),
        ))
    }

    pub(super) async fn confirm_compromise(
        &self,
        accepted: Accepted,
        (name, successor): (String, String),
        plan: CompromisePlan,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event = Event::AuthorityCompromiseConfirmed {
            name: name.clone(),
            successor: successor.clone(),
            plan,
            statement: accepted.signed.clone(),
        };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                may_be_compromised(world, &name, &successor)?;
                let declared = world.compromises.iter().rfind(|c| c.name == name).ok_or_else(|| {
                    ControlError::refused(
                        "not_declared",
                        format!(
                            "nobody declared `{name}` compromised: `lanyard ca compromise {name} --replaced-by {successor}`"
                        ),
                    )
                })?;
                if declared.declared_by == accepted.by.id {
                    return Err(ControlError::refused(
                        "requester_cannot_approve",
                        "who declared a compromise may not confirm it; another person must",
                    ));
                }
                if (&declared.successor, &declared.plan) != (&successor, &plan) {
                    return Err(ControlError::refused(
                        "not_as_declared",
                        "what is confirmed is not what was declared last: look at `lanyard ca compromise status` again",
                    ));
                }
                Ok(event.clone())
            })
            .await?;
        self.follow_authorities()?;
        let holders = self.affected(&name).len();
        Ok(Done::new(
            appended,
            match plan.mode {
                CompromiseMode::ReplaceFirst => format!(
                    "`{name}` issues nothing more; {holders} holders are told in the order of risk to replace their certificates"
                ),
                CompromiseMode::DistrustNow => {
                    format!(
                        "nothing that `{name}` signed counts any more; {holders} holders must enroll anew"
                    )
                }
            },
        ))
    }
}

/// Whether this one can be compromised and that one take its place, now.
fn may_be_compromised(world: &World, name: &str, successor: &str) -> Result<(), ControlError> {
    let known = find(world, name)?;
    if known.purpose == AuthorityPurpose::Root {
        return Err(ControlError::refused(
            "root_not_replaced_here",
            "no issuing authority takes a root's place: a new root is made in a ceremony, and given to everyone who \
             trusts the old one; see docs/pki.md",
        ));
    }
    let state = world.authority_state(known);
    if !matches!(state, AuthorityState::Created | AuthorityState::Active | AuthorityState::Draining) {
        return Err(ControlError::refused(
            "wrong_stage",
            format!("authority `{name}` is {state} and cannot be declared compromised"),
        ));
    }
    let first = || {
        format!(
            "create and activate one first: `lanyard ca create {successor} --purpose {}`, then another person \
             `lanyard ca activate {successor}`",
            known.purpose
        )
    };
    let next = world.authorities.iter().find(|a| a.name == successor && a.name != name).ok_or_else(|| {
        ControlError::refused(
            "successor_unknown",
            format!("there is no other authority `{successor}`: {}", first()),
        )
    })?;
    let next_state = world.authority_state(next);
    if next_state != AuthorityState::Active {
        return Err(ControlError::refused(
            "successor_not_active",
            format!(
                "authority `{successor}` is {next_state}, and what it takes the place of issues nothing more: {}",
                first()
            ),
        ));
    }
    if next.purpose != known.purpose || (next.site.is_some() && next.site != known.site) {
        return Err(ControlError::refused(
            "successor_elsewhere",
            format!(
                "authority `{successor}` does not issue for what `{name}` issues for: it must have purpose `{}` and be \
                 for all sites or for the same one",
                known.purpose
            ),
        ));
    }
    Ok(())
}
