//! Register and approve devices.

use lanyard_domain::device::{Command, Device};
use lanyard_domain::event::StreamKind;
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::{Operator, Role};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::digest::label_key;
use crate::journal::{Appended, Claim, Entry, Journal, Space};
use crate::plane::{Control, ControlError, Extras, decide_all, device_entry, find};
use crate::world::World;

impl<J: Journal> Control<J> {
    pub(super) async fn register_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        record: DeviceRecord,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let events = Device::register(record.clone(), &accepted.by, accepted.signed.clone())?.events;
        // The label stays claimed after retirement: a serial number never comes back under a new record (I2).
        let label =
            Claim { space: Space::Label, key: label_key(&record.vendor, &record.model, &record.serial) };
        let (appended, ()) = self
            .record(now, |world| {
                if world.devices.contains_key(&id) {
                    return Err(ControlError::refused(
                        "device_exists",
                        format!("device {id} exists already"),
                    ));
                }
                let stream = (id.into(), StreamKind::Device);
                let mut entry = Entry::new(stream, 0, accepted.by.id, events.clone());
                entry.claims = vec![label];
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(
            appended,
            format!("registered {} {} {} as {id}", record.vendor, record.model, record.serial),
        ))
    }

    pub(super) async fn approve_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        role: Role,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::Approve { by, role, statement })
            .await?;
        let stage = self.world().devices.get(&id).map_or("unknown", |d| d.stage.name());
        Ok(Done::new(appended, format!("approved for {role}; the device is now {stage}")))
    }

    /// Records one operator's command on one device, once per statement.
    pub(super) async fn by_operator(
        &self,
        accepted: &Accepted,
        id: DeviceId,
        now: Timestamp,
        command: impl for<'a> Fn(&'a Operator, SignedStatement) -> Command<'a> + Send + Sync,
    ) -> Result<Option<Appended>, ControlError> {
        self.by_operator_where(accepted, id, now, |_| Ok(()), command).await
    }

    /// The same where the world beside the device has a say.
    pub(super) async fn by_operator_where(
        &self,
        accepted: &Accepted,
        id: DeviceId,
        now: Timestamp,
        may: impl Fn(&World) -> Result<(), ControlError> + Send + Sync,
        command: impl for<'a> Fn(&'a Operator, SignedStatement) -> Command<'a> + Send + Sync,
    ) -> Result<Option<Appended>, ControlError> {
        let (appended, ()) = self
            .record(now, |world| {
                may(world)?;
                let device = find(world, id)?;
                let commands = vec![command(&accepted.by, accepted.signed.clone())];
                let events = decide_all(world, device, commands, now)?;
                let extras = Extras { once: accepted.once(), ..Extras::default() };
                Ok((vec![device_entry(device, accepted.by.id, events, extras)], ()))
            })
            .await?;
        Ok(appended)
    }
}
