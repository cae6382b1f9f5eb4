//! Quarantine, release and retire.

use lanyard_domain::device::Command;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::world::World;

impl<J: Journal> Control<J> {
    pub(super) async fn quarantine_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let reason = accepted.statement.reason.clone();
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::Quarantine {
                by,
                statement,
                reason: reason.clone(),
            })
            .await?;
        Ok(Done::new(appended, "cut off on every path; a person must release it"))
    }

    pub(super) async fn release_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        // On the device's chain stands what lists said of it: one that comes in between is a conflict, and this is asked again.
        let may = |world: &World| match world.kept_out_by_maker(id) {
            None => Ok(()),
            Some(hit) => Err(ControlError::refused(
                "maker_revoked",
                format!(
                    "the {} still names the certificate {} of its hardware as revoked ({}): nobody can vouch for it in the maker's \
                     place; retire the device, or take a newer list that no longer names it",
                    hit.list, hit.serial, hit.listed.reason
                ),
            )),
        };
        let appended = self
            .by_operator_where(&accepted, id, now, may, |by, statement| Command::Release { by, statement })
            .await?;
        Ok(Done::new(appended, "released; it is trusted as soon as its evidence is good and fresh"))
    }

    pub(super) async fn retire_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended =
            self.by_operator(&accepted, id, now, |by, statement| Command::Retire { by, statement }).await?;
        Ok(Done::new(appended, "retiring; every enforcement point is being probed with its old credentials"))
    }
}
