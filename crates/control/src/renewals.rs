//! Renewal watched as a service (R43, R51): who is late, who is stuck, how it went; with the owner who is named in the record
//! now, not the one who enrolled it.
//!
//! Devices, applications and gateways alike, each with its newest certificate of each profile. Renewal is at two thirds of a
//! lifetime. At four fifths three fifths of the reserve are gone and it is late; a person still has time. What has ended is
//! stuck: it cannot help itself any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanyard_domain::application;
use lanyard_domain::credential::Certificate;
use lanyard_domain::device::{Command, Stage};
use lanyard_domain::event::{AlarmCode, Event, StreamKind};
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, OperatorId, StreamId};
use lanyard_domain::maintenance::Window;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;

use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError, Extras};
use crate::steering::patience;
use crate::upkeep::ITSELF;
use crate::world::World;

/// Share of the lifetime after which a renewal is late, in per cent.
const LATE_PERCENT: i64 = 80;
/// Beyond this, certificates that were told of are forgotten, and at worst told of again.
const MOST_TOLD: usize = 1_000_000;
/// Alarms of one round for each step of holders: those that are not raised are not told either, and the next round has them.
const MOST_AT_ONCE: usize = 256;

/// Who holds a certificate.
pub type Holder = (StreamKind, StreamId);

/// A renewal that did not come in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Whose.
    pub holder: Holder,
    /// The newest certificate.
    pub certificate: Digest,
    /// Its serial number.
    pub serial: String,
    /// When that ends or ended.
    pub not_after: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
}

/// How renewals stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewals {
    /// Certificates that should be renewed: those of holders that were retired, removed or revoked are not.
    pub watched: usize,
    /// In time.
    pub on_time: usize,
    /// Past two thirds, not yet late.
    pub due: usize,
    /// How far those that are due, late or ended are behind two thirds of their lifetime, in seconds, shortest first. Those
    /// whose maintenance window is to come are not behind.
    pub lags: Vec<i64>,
    /// Late and ended ones, those that end first above.
    pub late: Vec<Late>,
}

/// Certificates that an alarm was raised for, and whether it said that they had ended; a restart forgets them, which costs a
/// second alarm each.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<Digest, bool>>);

impl Told {
    fn all(&self) -> MutexGuard<'_, HashMap<Digest, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is news: that it is late is told once, and that it has ended once more.
    fn is_news(&self, certificate: &Digest, ended: bool) -> bool {
        self.all().get(certificate).is_none_or(|said| ended && !said)
    }

    /// It stands on the chain.
    fn note(&self, late: &Late) {
        let mut told = self.all();
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(late.certificate, late.ended);
    }
}

enum Standing {
    OnTime,
    Due,
    Late,
    Ended,
}

/// A certificate to watch.
struct Watched<'a> {
    serial: &'a str,
    sha256: Digest,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl<'a> Watched<'a> {
    fn of(certificate: &'a Certificate) -> Self {
        Self {
            serial: &certificate.serial,
            sha256: certificate.sha256,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }

    fn life(&self) -> i64 {
        self.not_after.seconds_since(self.not_before).max(1)
    }

    fn standing(&self, windows: &[Window], now: Timestamp) -> Standing {
        let gone = now.seconds_since(self.not_before).saturating_mul(100);
        if now > self.not_after {
            Standing::Ended
        } else if gone >= self.life().saturating_mul(LATE_PERCENT) && !self.waits(windows, now) {
            Standing::Late
        } else if self.lag(now) >= 0 {
            Standing::Due
        } else {
            Standing::OnTime
        }
    }

    /// Seconds since two thirds of its lifetime.
    fn lag(&self, now: Timestamp) -> i64 {
        (now.seconds_since(self.not_before).saturating_mul(3) - self.life().saturating_mul(2)) / 3
    }

    /// Whether its maintenance window is still to come, or under way.
    fn waits(&self, windows: &[Window], now: Timestamp) -> bool {
        patience(windows, self.not_before, self.not_after).is_some_and(|until| now < until)
    }

    fn late(&self, holder: Holder, ended: bool) -> Late {
        Late {
            holder,
            certificate: self.sha256,
            serial: self.serial.to_owned(),
            not_after: self.not_after,
            ended,
        }
    }
}

/// Of each profile the one that ends last: the one for the network port does not answer for the one for TLS.
fn newest(certificates: &[Certificate]) -> Vec<Watched<'_>> {
    let is_newest = |c: &&Certificate| {
        !certificates.iter().any(|other| other.profile == c.profile && other.not_after > c.not_after)
    };
    certificates.iter().filter(is_newest).map(Watched::of).collect()
}

/// What is watched of a holder, and where it is. Nothing of who shall have none.
fn watched(world: &World, (kind, id): Holder) -> (&[Window], Vec<Watched<'_>>) {
    let nothing = (&[][..], Vec::new());
    match kind {
        StreamKind::Device => {
            let Some(device) = world.devices.get(&DeviceId::from(id)) else { return nothing };
            if matches!(device.stage, Stage::Registered(_) | Stage::Retiring | Stage::Retired)
                || device.barred.is_some()
            {
                return nothing;
            }
            (world.windows(&device.record.site), newest(&device.certificates))
        }
        StreamKind::Application => {
            let Some(found) = world.applications.get(&ApplicationId::from(id)) else { return nothing };
            if found.stage != application::Stage::Approved {
                return nothing;
            }
            (world.windows(&found.record.site), newest(&found.certificates))
        }
        StreamKind::Gateway => {
            let found = world.gateways.get(&GatewayId::from(id)).filter(|g| !g.removed);
            let Some(gateway) = found else { return nothing };
            let newest = gateway.certificates.iter().max_by_key(|c| c.not_after).and_then(|c| {
                let entry = world.inventory.entry(&c.serial.parse::<Serial>().ok()?)?;
                let (not_before, not_after) = (entry.not_before, c.not_after);
                Some(Watched { serial: &c.serial, sha256: c.sha256, not_before, not_after })
            });
            (world.windows(&gateway.site), newest.into_iter().collect())
        }
        _ => nothing,
    }
}

fn all(world: &World) -> impl Iterator<Item = Holder> {
    let devices = world.devices.keys().map(|id| (StreamKind::Device, StreamId::from(*id)));
    let applications = world.applications.keys().map(|id| (StreamKind::Application, StreamId::from(*id)));
    let gateways = world.gateways.keys().map(|id| (StreamKind::Gateway, StreamId::from(*id)));
    devices.chain(applications).chain(gateways)
}

impl<J: Journal> Control<J> {
    /// Everyone who may hold certificates.
    pub fn holders(&self) -> Vec<Holder> {
        all(&self.world()).collect()
    }

    /// How all renewals stand.
    pub fn renewals(&self, now: Timestamp) -> Renewals {
        let world = self.world();
        let mut found = Renewals::default();
        for holder in all(&world) {
            let (windows, certificates) = watched(&world, holder);
            for certificate in certificates {
                found.watched += 1;
                let standing = certificate.standing(windows, now);
                match standing {
                    Standing::OnTime => found.on_time += 1,
                    Standing::Due => found.due += 1,
                    Standing::Late => found.late.push(certificate.late(holder, false)),
                    Standing::Ended => found.late.push(certificate.late(holder, true)),
                }
                if !matches!(standing, Standing::OnTime) && !certificate.waits(windows, now) {
                    found.lags.push(certificate.lag(now));
                }
            }
        }
        found.late.sort_unstable_by_key(|l| (l.not_after, l.holder.1));
        found.lags.sort_unstable();
        found
    }

    /// What is late with those of `among`, or has ended, and was not told of yet.
    pub fn newly_late(&self, among: &[Holder], now: Timestamp) -> Vec<Late> {
        let world = self.world();
        let late = |holder: &Holder| {
            let (windows, certificates) = watched(&world, *holder);
            let late = certificates.into_iter().filter_map(|certificate| {
                let ended = match certificate.standing(windows, now) {
                    Standing::OnTime | Standing::Due => return None,
                    Standing::Late => false,
                    Standing::Ended => true,
                };
                self.told.is_news(&certificate.sha256, ended).then(|| certificate.late(*holder, ended))
            });
            late.collect::<Vec<Late>>()
        };
        let mut found = Vec::new();
        for holder in among {
            found.extend(late(holder));
            if found.len() >= MOST_AT_ONCE {
                break;
            }
        }
        found
    }

    /// Raises the alarm on the holder's chain, for its present owner. One that cannot be recorded now is found again.
    pub async fn alarm_late_renewal(&self, late: &Late, now: Timestamp) {
        match self.record_late(late, now).await {
            Ok(()) => self.told.note(late),
            Err(error) => {
                tracing::error!(holder.id = %late.holder.1, %error, "an alarm could not be recorded; trying again");
            }
        }
    }

    /// Not bounded as alarms that strangers can cause are: there are two for each certificate.
    async fn record_late(&self, late: &Late, now: Timestamp) -> Result<(), ControlError> {
        let (kind, id) = late.holder;
        let Some(who) = self.world().described(kind, id) else { return Ok(()) };
        let owner = match who.owner.is_empty() {
            true => format!("whoever runs site {}", who.site),
            false => who.owner,
        };
        let what = if late.ended { "ended at" } else { "has not been renewed and ends at" };
        let detail = format!(
            "renewal_late: its certificate {} {what} {}; owner: {owner}",
            late.serial, late.not_after
        );
        let code = AlarmCode::RenewalLate;
        if kind == StreamKind::Device {
            let actor = OperatorId::from(id);
            self.on_device(DeviceId::from(id), actor, now, Extras::default(), |_, _| {
                Ok(vec![Command::RaiseAlarm { code, detail: detail.clone() }])
            })
            .await?;
            return Ok(());
        }
        self.record(now, |world| {
            let seq = match kind {
                StreamKind::Application => world.applications.get(&ApplicationId::from(id)).map(|a| a.seq),
                _ => world.gateways.get(&GatewayId::from(id)).map(|g| g.seq),
            };
            let event = Event::AlarmRaised { code, detail: detail.clone() };
            let entry = seq.map(|seq| Entry::new((id, kind), seq, ITSELF, vec![event]));
            Ok((entry.into_iter().collect(), ()))
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lanyard_domain::application::ApplicationRecord;
    use lanyard_domain::id::IssuanceId;
    use lanyard_domain::text::Blob;

    use super::*;
    use crate::evidence::testkit::START;
    use crate::plane::tests::house::{House, device, gateway, statement};

    fn viewer() -> ApplicationId {
        ApplicationId::from_random([5; 16])
    }

    /// An application with a certificate of thirty days.
    fn with_application(house: &House) {
        let write = |event| house.write(StreamKind::Application, viewer().into(), event);
        let record = ApplicationRecord {
            name: "viewer".into(),
            dns: vec!["viewer.hospital.example".into()],
            ips: vec![],
            site: "north".into(),
            owner: "imaging".into(),
            purpose: "viewing".into(),
            profiles: vec![],
        };
        write(Event::ApplicationRegistered { record, statement: statement() });
        write(Event::ApplicationApproved { statement: statement() });
        write(Event::CertificateIssued {
            issuance: IssuanceId::from_random([1; 16]),
            serial: "4a00000001".into(),
            certificate: Blob(Vec::new()),
            certificate_sha256: Digest([3; 32]),
            spki_sha256: Digest([3; 32]),
            not_before: START,
            not_after: START.plus_seconds(30 * 86_400),
        });
    }

    // R51, R43: nobody's certificate ends by surprise: devices, applications and gateways are told of when they are late, and
    // once more when it has ended, each on its own chain, for whoever answers for it now.
    #[test]
    fn everyones_renewal_is_watched_and_told_twice_at_most() {
        let house = House::new();
        house.certify_device().unwrap();
        house.certify_gateway().unwrap();
        with_application(&house);
        let control = &house.control;
        let round = |at: Timestamp| {
            let late = control.newly_late(&control.holders(), at);
            for late in &late {
                control.alarm_late_renewal(late, at).now_or_never().unwrap();
            }
            let mut who: Vec<StreamId> = late.iter().map(|l| l.holder.1).collect();
            who.sort_unstable();
            who
        };
        let everyone = {
            let mut all = vec![StreamId::from(device()), gateway().into(), viewer().into()];
            all.sort_unstable();
            all
        };
        assert!(round(START).is_empty());
        let ends = |holder: StreamId| {
            control
                .renewals(START.plus_seconds(400 * 86_400))
                .late
                .iter()
                .find(|l| l.holder.1 == holder)
                .unwrap()
                .not_after
        };
        let all_ended = everyone.iter().map(|id| ends(*id)).max().unwrap().plus_seconds(1);
        // The application's is late after 24 of 30 days, and said so once.
        let (late, before) = (START.plus_seconds(25 * 86_400), START.plus_seconds(23 * 86_400));
        assert!(!round(before).contains(&viewer().into()));
        let found = control.renewals(before);
        assert_eq!(found.watched, 3);
        assert!(found.lags.contains(&(3 * 86_400)), "{:?}", found.lags);
        house.log_is_away(true);
        assert!(round(late).contains(&viewer().into()));
        house.log_is_away(false);
        assert!(round(late).contains(&viewer().into()), "what could not be recorded was not told");
        assert!(round(late).is_empty());
        assert!(round(all_ended).contains(&viewer().into()), "that it has ended is news");
        assert!(round(all_ended).is_empty());
        let alarms = house.recorded(17);
        assert!((4..=6).contains(&alarms), "{alarms}");
        // Whoever is not to have one is not waited for.
        house.write(
            StreamKind::Application,
            viewer().into(),
            Event::ApplicationRemoved { statement: statement() },
        );
        assert_eq!(control.renewals(all_ended).watched, 2);
    }

    // R51: "late" does not swallow "ended".
    #[test]
    fn that_a_certificate_is_late_is_told_once_and_that_it_has_ended_once_more() {
        let told = Told::default();
        let holder = (StreamKind::Device, StreamId::from(device()));
        let late = |n, ended| Late {
            holder,
            certificate: Digest([n; 32]),
            serial: String::new(),
            not_after: START,
            ended,
        };
        let said = [false, false, true, true, false].map(|ended| {
            let is_news = told.is_news(&Digest([1; 32]), ended);
            if is_news {
                told.note(&late(1, ended));
            }
            is_news
        });
        assert_eq!(said, [true, false, true, false, false]);
        assert!(told.is_news(&Digest([2; 32]), true));
    }
}
