//! Propose, approve and withdraw releases: two people behind each.

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::ReleaseId;
use lanyard_domain::release::{Release, ReleaseRecord, ReleaseState};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    pub(super) async fn propose_release(
        &self,
        accepted: Accepted,
        id: ReleaseId,
        record: ReleaseRecord,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        record.check().map_err(|e| ControlError::malformed("release", e))?;
        let event = Event::ReleaseProposed { record: record.clone(), statement: accepted.signed.clone() };
        let (appended, ()) = self
            .record(now, |world| {
                if world.releases.contains_key(&id) {
                    return Err(ControlError::refused(
                        "release_exists",
                        format!("release {id} exists already"),
                    ));
                }
                Ok((vec![entry(&accepted, id, 0, event.clone())], ()))
            })
            .await?;
        Ok(Done::new(
            appended,
            format!(
                "proposed {} {} {}; a second person must approve it",
                record.vendor, record.model, record.version
            ),
        ))
    }

    pub(super) async fn approve_release(
        &self,
        accepted: Accepted,
        id: ReleaseId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event = Event::ReleaseApproved { statement: accepted.signed.clone() };
        let (appended, ()) = self
            .record(now, |world| {
                let release = find(world, id)?;
                release
                    .approve(accepted.by.id)
                    .map_err(|e| ControlError::refused("release_not_approvable", e.to_string()))?;
                Ok((vec![entry(&accepted, id, release.seq, event.clone())], ()))
            })
            .await?;
        // A higher minimum security version ends the trust of devices on older releases at their next evidence.
        Ok(Done::new(appended, "approved; devices may run it"))
    }

    pub(super) async fn withdraw_release(
        &self,
        accepted: Accepted,
        id: ReleaseId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let event = Event::ReleaseWithdrawn { statement: accepted.signed.clone() };
        let (appended, ()) = self
            .record(now, |world| {
                let release = find(world, id)?;
                if release.state == ReleaseState::Withdrawn {
                    return Err(ControlError::refused(
                        "release_withdrawn",
                        format!("release {id} is withdrawn already"),
                    ));
                }
                Ok((vec![entry(&accepted, id, release.seq, event.clone())], ()))
            })
            .await?;
        let reassess = self.world().running(id);
        let outcome = format!("withdrawn; {} device(s) that run it lose trust now", reassess.len());
        Ok(Done { appended, outcome, reassess, secret: None })
    }
}

fn find(world: &crate::world::World, id: ReleaseId) -> Result<&Release, ControlError> {
    world.releases.get(&id).ok_or_else(|| ControlError::NotFound { what: "release", id: id.to_string() })
}

fn entry(accepted: &Accepted, id: ReleaseId, expected_seq: u64, event: Event) -> Entry {
    let stream = (id.into(), StreamKind::Release);
    let entry = Entry::new(stream, expected_seq, accepted.by.id, vec![event]);
    Entry { once: accepted.once(), ..entry }
}
