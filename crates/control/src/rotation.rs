//! Rotation that nobody feels (R44): a new certificate takes the old one's place in two phases. The old one stays good until
//! the new one was seen in use, and an overlap longer.
//!
//! In scope: noting first use, ending what was replaced. Out of scope: when a device renews (its agent, ARI).

use lanyard_domain::credential::Certificate;
use lanyard_domain::device::{Command, Device};
use lanyard_domain::id::{DeviceId, OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use crate::journal::Journal;
use crate::plane::{Control, ControlError, Extras};
use crate::upkeep::ITSELF;

/// From the first use of the new certificate to the end of the old: a device has several connections (EHR, PACS, network
/// port), and the slowest of them is opened anew within the hour.
pub const OVERLAP_SECONDS: i64 = 3_600;

impl<J: Journal> Control<J> {
    /// Whether this use of a certificate is its first, so that nothing is recorded for all later ones.
    pub fn is_first_use(&self, id: DeviceId, certificate: &Digest) -> bool {
        let world = self.world();
        let device = world.devices.get(&id);
        device.is_some_and(|d| d.certificates.iter().any(|c| c.sha256 == *certificate && c.seen_at.is_none()))
    }

    /// Notes that a certificate was used.
    pub async fn see_certificate(
        &self,
        id: DeviceId,
        certificate: &Digest,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let actor = OperatorId::from(StreamId::from(id));
        self.on_device(id, actor, now, Extras::default(), |_, device| {
            let used = device.certificates.iter().find(|c| c.sha256 == *certificate);
            Ok(used.map(|c| Command::SeeCertificate { serial: c.serial.clone() }).into_iter().collect())
        })
        .await?;
        Ok(())
    }

    /// Those of `among` that have a certificate whose overlap is over.
    pub fn superseded(&self, among: &[DeviceId], now: Timestamp) -> Vec<DeviceId> {
        let world = self.world();
        let devices = among.iter().filter_map(|id| world.devices.get(id));
        devices.filter(|d| !replaced(d, now).is_empty()).map(|d| d.id).collect()
    }

    /// Ends what a newer certificate has taken the place of.
    pub async fn supersede(&self, id: DeviceId, now: Timestamp) -> Result<(), ControlError> {
        self.on_device(id, ITSELF, now, Extras::default(), |_, device| {
            Ok(vec![Command::Supersede { serials: replaced(device, now) }])
        })
        .await?;
        Ok(())
    }
}

/// Serial numbers of certificates with a successor whose first use lies an overlap back.
fn replaced(device: &Device, now: Timestamp) -> Vec<String> {
    let is_settled = |c: &&Certificate| c.seen_at.is_some_and(|at| now.seconds_since(at) >= OVERLAP_SECONDS);
    let settled = || device.certificates.iter().filter(is_settled);
    let living = device.certificates.iter().filter(|c| c.not_after > now);
    living.filter(|c| settled().any(|newer| newer.succeeds(c))).map(|c| c.serial.clone()).collect()
}
