//! What follows for a device from a list on which its maker says that it revoked the certificate of the device's hardware.

use super::{Device, Stage};
use crate::event::{AlarmCode, Event, RevocationReason};
use crate::maker::{MakerEffect, MakerFinding, MakerReason, maker_revoked};
use crate::time::Timestamp;

impl Device {
    /// Cut off at once where the reason says something against the key, and its certificates are revoked where the key is as good
    /// as lost. A device whose life is over has nothing left to lose.
    pub(super) fn find_maker_revocation(&self, finding: MakerFinding) -> Vec<Event> {
        if matches!(self.stage, Stage::Retiring | Stage::Retired) {
            return Vec::new();
        }
        let MakerFinding { list_sha256, certificate, revoked_at, reason } = finding;
        let (issuer_sha256, serial) = (certificate.issuer_sha256, certificate.serial);
        let why = maker_revoked(&serial, revoked_at, reason);
        let detail = why.text.clone();
        let effect = reason.effect();
        let mut events =
            vec![Event::MakerRevocationFound { list_sha256, issuer_sha256, serial, revoked_at, reason }];
        if effect != MakerEffect::Tells && self.resume().is_some() {
            events.push(Event::DeviceQuarantined { reasons: vec![why], statement: None });
        }
        if effect == MakerEffect::Ends {
            events.extend(self.certificates.iter().map(|c| Event::CertificateRevoked {
                serial: c.serial.clone(),
                reason: RevocationReason::Compromised,
            }));
        }
        events.push(Event::AlarmRaised { code: AlarmCode::MakerRevoked, detail });
        events
    }

    /// The same in the fold: no credential until a person releases it, and whoever is in quarantine already has one more reason.
    pub(super) fn maker_revoked(&mut self, serial: &str, revoked_at: Option<Timestamp>, reason: MakerReason) {
        if reason.effect() == MakerEffect::Tells {
            return;
        }
        if reason.effect() == MakerEffect::Ends {
            self.barred = Some(RevocationReason::Compromised);
        }
        if let Stage::Quarantined { reasons, .. } = &mut self.stage {
            reasons.push(maker_revoked(serial, revoked_at, reason));
        }
    }
}
