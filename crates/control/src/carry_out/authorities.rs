//! Authorities: create a generation, let it issue, end it (R50). Two people: who ordered one may not activate it.

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore, check_name};
use lanyard_domain::event::Event;
use lanyard_domain::id::OperatorId;
use lanyard_domain::text::{Digest, check_slug};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;

use super::{Accepted, Done};
use crate::authority::{IssuingCa, KeyTrouble, Known};
use crate::journal::{Appended, Entry, Journal};
use crate::plane::{Control, ControlError};
use crate::world::{KnownAuthority, World};

/// Each site, a legacy one for each, and generations that drain: beyond this nobody knows what is what.
const MOST_AUTHORITIES: usize = 1_000;

impl<J: Journal> Control<J> {
    pub(super) async fn create_authority(
        &self,
        accepted: Accepted,
        name: String,
        purpose: AuthorityPurpose,
        site: Option<String>,
        keys: KeyStore,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        self.check_order(&name, site.as_deref(), keys)?;
        // Verifiers of evidence tell anchors from issuers by this word.
        if name.starts_with("root") {
            return Err(ControlError::malformed(
                "name",
                "must not start with `root`: that word is the roots'",
            ));
        }
        if purpose == AuthorityPurpose::Root {
            return Err(ControlError::refused(
                "root_not_created_here",
                "a root is made in a ceremony, not by the running server; see docs/pki.md",
            ));
        }
        let statement = accepted.signed.clone();
        let planned =
            Event::AuthorityPlanned { name: name.clone(), purpose, site, keys, under: None, statement };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                is_free(world, &name)?;
                Ok(planned.clone())
            })
            .await?;
        match self.complete_authority(&name, now).await {
            Ok(()) => {}
            Err(ControlError::Unavailable(why)) => {
                return Ok(Done::new(
                    appended,
                    format!("authority `{name}` is ordered and will be made as soon as it can be: {why}"),
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(Done::new(
            appended,
            format!(
                "authority `{name}` is trusted and issues nothing yet; give its certificate to who pins issuers, then another person activates it"
            ),
        ))
    }

    /// What holds for each order, whoever certifies.
    pub(super) fn check_order(
        &self,
        name: &str,
        site: Option<&str>,
        keys: KeyStore,
    ) -> Result<(), ControlError> {
        check_name(name).map_err(|e| ControlError::malformed("name", e))?;
        if let Some(site) = site {
            check_slug("site", site).map_err(|e| ControlError::malformed("site", e))?;
        }
        // Labels of our other keys: an authority of that name would sign with one of them.
        if let Some(taken) = ["ocsp-", "scep-", "control-"].iter().find(|taken| name.starts_with(**taken)) {
            return Err(ControlError::malformed("name", format!("must not start with `{taken}`")));
        }
        if !self.authority.keys.has(keys) {
            return Err(ControlError::refused(
                "key_store_not_configured",
                format!("there is no [keys.{keys}] in the control plane's configuration"),
            ));
        }
        Ok(())
    }

    pub(super) async fn activate_authority(
        &self,
        accepted: Accepted,
        name: String,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event = Event::AuthorityActivated { name: name.clone(), statement: accepted.signed.clone() };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                let known = find(world, &name)?;
                if known.planner == Some(accepted.by.id) {
                    return Err(ControlError::refused(
                        "requester_cannot_approve",
                        "who ordered an authority may not activate it; another person must",
                    ));
                }
                match world.authority_state(known) {
                    AuthorityState::Created | AuthorityState::Draining => Ok(event.clone()),
                    other => Err(wrong_state(&name, other, "activated")),
                }
            })
            .await?;
        self.follow_authorities()?;
        Ok(Done::new(
            appended,
            format!("`{name}` issues from now on; what the one before it issued stays valid while it drains"),
        ))
    }

    pub(super) async fn retire_authority(
        &self,
        accepted: Accepted,
        name: String,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event = Event::AuthorityRetired { name: name.clone(), statement: accepted.signed.clone() };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                let known = find(world, &name)?;
                let state = world.authority_state(known);
                // One that was ordered and never made is given up the same way.
                let may = matches!(
                    state,
                    AuthorityState::Planned | AuthorityState::Created | AuthorityState::Draining
                ) || (known.purpose == AuthorityPurpose::Legacy && state == AuthorityState::Active)
                    || (known.purpose == AuthorityPurpose::Root && may_go(world, known)?);
                if !may
                {
                    return Err(wrong_state(&name, state, "retired"));
                }
                let live = live(world, known, now);
                if live > 0 {
                    return Err(ControlError::refused(
                        "authority_in_use",
                        format!(
                            "{live} certificates by `{name}` are in use; wait until they have been renewed elsewhere, or revoke them"
                        ),
                    ));
                }
                Ok(event.clone())
            })
            .await?;
        self.follow_authorities()?;
        Ok(Done::new(appended, format!("`{name}` is not trusted any more")))
    }

    pub(crate) fn follow_authorities(&self) -> Result<(), ControlError> {
        let known = Known::of(&self.world());
        self.authority.follow(&known).map_err(|e| ControlError::Unavailable(e.to_string()))
    }

    /// Why authorities cannot sign now: one for each whose key cannot be used.
    pub fn key_troubles(&self) -> Vec<KeyTrouble> {
        self.authority.issuers().issuing().iter().filter_map(IssuingCa::trouble).collect()
    }

    /// Looks again for the keys of authorities that have none: one that was put back is used from then on.
    pub fn look_for_keys(&self) -> Result<(), ControlError> {
        match self.key_troubles().is_empty() {
            true => Ok(()),
            false => self.follow_authorities(),
        }
    }

    pub(super) async fn on_system_by(
        &self,
        actor: OperatorId,
        once: Option<Digest>,
        now: Timestamp,
        decide: impl Fn(&World) -> Result<Event, ControlError> + Send + Sync,
    ) -> Result<Option<Appended>, ControlError> {
        let (appended, ()) = self
            .record(now, |world| {
                let entry = Entry::system(world, actor, vec![decide(world)?]);
                Ok((vec![Entry { once, ..entry }], ()))
            })
            .await?;
        Ok(appended)
    }
}

/// That no authority has or had this name.
pub(super) fn is_free(world: &World, name: &str) -> Result<(), ControlError> {
    if let Some(known) = world.authorities.iter().find(|a| a.name == name) {
        let state = world.authority_state(known);
        return Err(ControlError::refused(
            "authority_exists",
            format!(
                "authority `{name}` was ordered before and is {state} (`lanyard ca list`); names are used once"
            ),
        ));
    }
    if world.authorities.len() >= MOST_AUTHORITIES {
        return Err(ControlError::refused(
            "too_many_authorities",
            format!("there are {MOST_AUTHORITIES} authorities"),
        ));
    }
    Ok(())
}

/// Whether a root that signs can be retired: nothing that is trusted stands below it, and somebody else issues.
fn may_go(world: &World, root: &KnownAuthority) -> Result<bool, ControlError> {
    let Ok(certificate) = Certificate::parse(&root.certificate) else { return Ok(false) };
    let others = || {
        world.authorities.iter().filter(|a| {
            let state = world.authority_state(a);
            a.name != root.name
                && !matches!(
                    state,
                    AuthorityState::Planned | AuthorityState::Retired | AuthorityState::Revoked
                )
        })
    };
    let below = |a: &&KnownAuthority| {
        let signed = |c: Certificate| c.issuer_der() == certificate.subject_der();
        Certificate::parse(&a.certificate).is_ok_and(signed)
    };
    if let Some(below) = others().find(below) {
        return Err(ControlError::refused(
            "authority_in_use",
            format!("authority `{}` stands below `{}`; retire it first", below.name, root.name),
        ));
    }
    Ok(others().any(|a| {
        a.purpose == AuthorityPurpose::Devices && world.authority_state(a) == AuthorityState::Active
    }))
}

pub(crate) fn find<'a>(world: &'a World, name: &str) -> Result<&'a KnownAuthority, ControlError> {
    world
        .authorities
        .iter()
        .find(|a| a.name == name)
        .ok_or_else(|| ControlError::NotFound { what: "authority", id: name.to_owned() })
}

/// How many certificates of an authority are in use.
pub(crate) fn live(world: &World, known: &KnownAuthority, now: Timestamp) -> usize {
    let Ok(certificate) = Certificate::parse(&known.certificate) else { return 0 };
    world.inventory.issuer(certificate.subject_der()).map_or(0, |issuer| world.inventory.live(issuer, now))
}

pub(super) fn wrong_state(name: &str, state: AuthorityState, what: &str) -> ControlError {
    ControlError::refused("wrong_stage", format!("authority `{name}` is {state} and cannot be {what}"))
}
