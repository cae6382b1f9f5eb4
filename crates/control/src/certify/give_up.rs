//! Certificates that their own holder does not want: given up in so many words, rejected at delivery, or never taken.
//! No person orders it, and nobody is barred by it: the device may ask for another.
//!
//! In scope: single certificates of a device. Out of scope: revoking a device (`carry_out::credentials`), certificates that a
//! newer one replaced (`crate::rotation`).

use lanyard_domain::device::{Command, Device};
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{DeviceId, OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Authentication;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::serial::Serial;

use super::recognise::{Proven, Recognised};
use crate::inventory::Status;
use crate::journal::Journal;
use crate::pace::Act;
use crate::plane::{Control, ControlError, Extras, find};
use crate::upkeep::ITSELF;
use crate::world::World;

/// From a certificate's beginning (it lies 900 s back) to the longest wait for a confirmation, with room for a slow machine.
const SILENCE_SECONDS: i64 = 1_800;

/// What a holder's wish to have a certificate revoked came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// Revoked, and recorded.
    Revoked,
    /// It was before.
    AlreadyRevoked,
    /// No certificate of ours, or one that ended long ago.
    Unknown,
}

/// What a client let be known of a certificate that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It said that it does not want it, or described another one.
    Rejected,
    /// Nothing was heard.
    Silent,
}

impl<J: Journal> Control<J> {
    /// A device gives one of its certificates up, named by issuer (DER of the Name) and serial number, and shows that it is
    /// that device by a certificate that it has now.
    pub async fn revoke_own(
        &self,
        authentication: &Authentication,
        issuer: &[u8],
        serial: Serial,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<GivenUp, ControlError> {
        let Authentication::Certificate(chain) = authentication else { return Err(certificate_needed()) };
        // An answer that was lost is asked for again with the certificate that is revoked by now: no theft, no alarm.
        let signer = chain.first().and_then(|der| Certificate::parse(der).ok());
        let is_own = signer.is_some_and(|own| own.issuer_der() == issuer && own.serial() == serial);
        if is_own && matches!(status(&self.world(), issuer, &serial), Status::Revoked(_)) {
            return Ok(GivenUp::AlreadyRevoked);
        }
        let Recognised { device, proven: Proven::Current { .. } } = self.by_certificate(chain, now).await?
        else {
            return Err(certificate_needed());
        };
        self.paces.admit(device.into(), Act::Proof, now)?;
        let number = serial.to_string();
        {
            let world = self.world();
            let found = find(&world, device)?;
            match status(&world, issuer, &serial) {
                Status::Unknown => return Ok(GivenUp::Unknown),
                Status::Revoked(_) if found.former.iter().any(|c| c.serial == number) => {
                    return Ok(GivenUp::AlreadyRevoked);
                }
                Status::Good(entry) if entry.subject == device.into() => {}
                Status::Good(_) | Status::Revoked(_) => {
                    return Err(ControlError::refused(
                        "not_its_own",
                        "a device gives up its own certificates only; for others: `lanyard cert revoke`",
                    ));
                }
            }
        }
        self.end(device, OperatorId::from(StreamId::from(device)), now, |device| {
            let has = device.certificates.iter().any(|c| c.serial == number);
            has.then(|| Command::RevokeOwn { serial: number.clone(), reason })
        })
        .await
        .map(|ended| if ended { GivenUp::Revoked } else { GivenUp::AlreadyRevoked })
    }

    /// Ends a certificate that was issued and not taken; whether it did. One that was seen in use was taken, whatever the
    /// protocol heard of it: a confirmation may be lost on the way.
    pub async fn take_back(
        &self,
        certificate: &Certificate,
        why: NotTaken,
        now: Timestamp,
    ) -> Result<bool, ControlError> {
        let sha256 = Digest(certificate.thumbprint());
        let entry = match status(&self.world(), certificate.issuer_der(), &certificate.serial()) {
            Status::Good(entry) => entry,
            Status::Revoked(_) | Status::Unknown => return Ok(false),
        };
        // Silence is judged by the control plane itself.
        let actor = match why {
            NotTaken::Rejected => OperatorId::from(entry.subject),
            NotTaken::Silent => ITSELF,
        };
        self.end(DeviceId::from(entry.subject), actor, now, |device| {
            let held = device.certificates.iter().find(|c| c.sha256 == sha256)?;
            // A first message that is played again long after must not end what was confirmed then.
            let young = now.seconds_since(entry.not_before) <= SILENCE_SECONDS;
            let untaken = why == NotTaken::Rejected || (held.seen_at.is_none() && young);
            let reason = RevocationReason::GivenUp;
            untaken.then(|| Command::RevokeOwn { serial: held.serial.clone(), reason })
        })
        .await
    }

    async fn end(
        &self,
        id: DeviceId,
        actor: OperatorId,
        now: Timestamp,
        which: impl Fn(&Device) -> Option<Command<'static>> + Send + Sync,
    ) -> Result<bool, ControlError> {
        let appended = self
            .on_device(id, actor, now, Extras::default(), |_, device| Ok(which(device).into_iter().collect()))
            .await?;
        Ok(appended.is_some())
    }
}

fn status(world: &World, issuer: &[u8], serial: &Serial) -> Status {
    world.inventory.issuer(issuer).map_or(Status::Unknown, |index| world.inventory.status(index, serial))
}

fn certificate_needed() -> ControlError {
    ControlError::refused(
        "current_certificate_needed",
        "only the holder of a certificate that is still good gives certificates up: sign with it",
    )
}
