//! Renewal watched as a service (R43, R51): who is late, who is stuck, how it went; with the owner who is named in the record
//! now, not the one who enrolled it.
//!
//! A device renews at two thirds of a lifetime. At four fifths three fifths of its reserve are gone and it is late; a person
//! still has time. What has ended is stuck: it cannot help itself any more.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use lanyard_domain::device::{Certificate, Device, Stage};
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::DeviceId;
use lanyard_domain::maintenance::Window;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use crate::journal::Journal;
use crate::plane::{Control, Refused};
use crate::steering::patience;

/// Share of the lifetime after which a renewal is late, in per cent.
const LATE_PERCENT: i64 = 80;
/// Beyond this, certificates that were told of are forgotten, and at worst told of again.
const MOST_TOLD: usize = 1_000_000;
/// Alarms of one round for each step of devices: those that are not raised are not told either, and the next round has them.
const MOST_AT_ONCE: usize = 256;

/// A device whose renewal did not come in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Which.
    pub device: DeviceId,
    /// Its newest certificate's serial number.
    pub serial: String,
    /// When that ends or ended.
    pub not_after: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
}

/// How renewals stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewals {
    /// Devices with a certificate, those retired or revoked left out.
    pub watched: usize,
    /// In time.
    pub on_time: usize,
    /// Past two thirds, not yet late.
    pub due: usize,
    /// Late and ended ones, those that end first above.
    pub late: Vec<Late>,
}

/// Certificates that an alarm was raised for; a restart forgets them, which costs a second alarm each.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashSet<Digest>>);

impl Told {
    fn first(&self, certificate: Digest) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(certificate)
    }
}

enum Standing {
    OnTime,
    Due,
    Late,
    Ended,
}

fn standing(windows: &[Window], certificate: &Certificate, now: Timestamp) -> Standing {
    let whole = certificate.not_after.seconds_since(certificate.not_before).max(1);
    let gone = now.seconds_since(certificate.not_before).saturating_mul(100);
    if now > certificate.not_after {
        Standing::Ended
    } else if gone >= whole.saturating_mul(LATE_PERCENT) && !waits(windows, certificate, now) {
        Standing::Late
    } else if gone.saturating_mul(3) >= whole.saturating_mul(200) {
        Standing::Due
    } else {
        Standing::OnTime
    }
}

/// Whether its maintenance window is still to come, or under way.
fn waits(windows: &[Window], certificate: &Certificate, now: Timestamp) -> bool {
    patience(windows, certificate.not_before, certificate.not_after).is_some_and(|until| now < until)
}

/// The certificate that matters: the one that ends last. None for who shall have none.
fn watched(device: &Device) -> Option<&Certificate> {
    let shall_have = !matches!(device.stage, Stage::Registered(_) | Stage::Retiring | Stage::Retired);
    device.certificates.iter().max_by_key(|c| c.not_after).filter(|_| shall_have && device.barred.is_none())
}

impl<J: Journal> Control<J> {
    /// How the renewals of all devices stand.
    pub fn renewals(&self, now: Timestamp) -> Renewals {
        let world = self.world();
        let mut found = Renewals::default();
        for device in world.devices.values() {
            let Some(certificate) = watched(device) else { continue };
            found.watched += 1;
            let ended = match standing(world.windows(&device.record.site), certificate, now) {
                Standing::OnTime => {
                    found.on_time += 1;
                    continue;
                }
                Standing::Due => {
                    found.due += 1;
                    continue;
                }
                Standing::Late => false,
                Standing::Ended => true,
            };
            found.late.push(Late {
                device: device.id,
                serial: certificate.serial.clone(),
                not_after: certificate.not_after,
                ended,
            });
        }
        found.late.sort_unstable_by_key(|l| (l.not_after, l.device));
        found
    }

    /// Those of `among` that are late and were not told of yet.
    pub fn newly_late(&self, among: &[DeviceId], now: Timestamp) -> Vec<Late> {
        let world = self.world();
        let late = |id: &DeviceId| {
            let device = world.devices.get(id)?;
            let certificate = watched(device)?;
            let ended = match standing(world.windows(&device.record.site), certificate, now) {
                Standing::OnTime | Standing::Due => return None,
                Standing::Late => false,
                Standing::Ended => true,
            };
            self.told.first(certificate.sha256).then(|| Late {
                device: *id,
                serial: certificate.serial.clone(),
                not_after: certificate.not_after,
                ended,
            })
        };
        among.iter().filter_map(late).take(MOST_AT_ONCE).collect()
    }

    /// Raises the alarm on the device's chain, for its present owner.
    pub async fn alarm_late_renewal(&self, late: &Late, now: Timestamp) {
        let owner =
            self.world().devices.get(&late.device).map(|d| d.record.owner.clone()).unwrap_or_default();
        let text = match late.ended {
            true => format!("its certificate {} ended at {}; owner: {owner}", late.serial, late.not_after),
            false => format!(
                "its certificate {} ends at {} and has not been renewed; owner: {owner}",
                late.serial, late.not_after
            ),
        };
        let refused = Refused::new("renewal_late", text);
        self.alarm(late.device, AlarmCode::RenewalLate, &refused, now).await;
    }
}
