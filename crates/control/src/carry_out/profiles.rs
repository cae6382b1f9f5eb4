//! Certificate profiles: one person proposes a text, another approves exactly that text (R47).

use lanyard_domain::event::Event;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::digest::sha256;
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::profiles::{Profiles, parse};
use crate::world::World;

/// A site's classes and a few for applications.
const MOST_PROFILES: usize = 500;

impl<J: Journal> Control<J> {
    pub(super) async fn propose_profile(
        &self,
        accepted: Accepted,
        text: String,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let template = parse(&text).map_err(|e| ControlError::malformed("profile", e))?;
        let name = template.name().to_owned();
        let event = Event::ProfileProposed {
            name: name.clone(),
            text: text.clone(),
            statement: accepted.signed.clone(),
        };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                if world.profiles.len() >= MOST_PROFILES && !world.profiles.contains_key(&name) {
                    return Err(ControlError::refused(
                        "too_many_profiles",
                        format!("there are {MOST_PROFILES} profiles"),
                    ));
                }
                // Refused now rather than when somebody approves it.
                self.in_force_with(world, &name, &text)?;
                Ok(event.clone())
            })
            .await?;
        Ok(Done::new(
            appended,
            format!(
                "profile `{name}` is proposed; another person approves the text with digest {}",
                sha256(text.as_bytes())
            ),
        ))
    }

    pub(super) async fn approve_profile(
        &self,
        accepted: Accepted,
        name: String,
        text_sha256: Digest,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event =
            Event::ProfileApproved { name: name.clone(), text_sha256, statement: accepted.signed.clone() };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                let (text, proposer) =
                    world.profiles.get(&name).and_then(|p| p.proposed.as_ref()).ok_or_else(|| {
                        ControlError::NotFound { what: "proposed profile", id: name.clone() }
                    })?;
                if *proposer == accepted.by.id {
                    return Err(ControlError::refused(
                        "requester_cannot_approve",
                        "who proposed a profile may not approve it; another person must",
                    ));
                }
                if sha256(text.as_bytes()) != text_sha256 {
                    return Err(ControlError::refused(
                        "another_text",
                        "the proposed text is not the one that was approved; look at it again",
                    ));
                }
                self.in_force_with(world, &name, text)?;
                Ok(event.clone())
            })
            .await?;
        self.follow_authorities()?;
        Ok(Done::new(appended, format!("profile `{name}` is in force at every site")))
    }

    /// Whether the templates in force and this one go together here.
    fn in_force_with(&self, world: &World, name: &str, text: &str) -> Result<(), ControlError> {
        let others =
            world.profiles.iter().filter(|(n, _)| *n != name).filter_map(|(_, p)| p.active.as_deref());
        Profiles::new(others.chain([text]), &self.authority.installation)
            .map(|_| ())
            .map_err(|e| ControlError::refused("profile_does_not_fit", e.to_string()))
    }
}
