//! The drill "CA down past expiry": the control plane stands still until every certificate of a fleet has ended. When it is back
//! they all come at once, from one address, and each comes back as its tier says; nobody is turned away for the others' sake.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use lanyard_agent::protocol::Protocol;
use lanyard_domain::event::Event;
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use lanyard_enroll::est::client::Answered;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::{KeyBackend as _, KeyLabel, MemoryKeys};
use lanyard_pki::ocsp::Standing;

use crate::hospital::{Hospital, client, record, start};
use crate::maker::Maker;
use crate::protocols::{Pump, Ward, enroll, seconds, ward};
use crate::rotation::{EstDevice, granted};

/// Certificates live a day.
const OUTAGE_SECONDS: i64 = 40 * 3_600;

/// With the agent: its tier, its protocol, how many.
const AGENTS: [(Tier, Protocol, usize); 4] = [
    (Tier::Critical, Protocol::Native, 40),
    (Tier::High, Protocol::Native, 40),
    (Tier::High, Protocol::Acme, 20),
    (Tier::Standard, Protocol::Cmp, 20),
];
/// By EST, with software of their own.
const OTHERS: [(Tier, usize); 3] = [(Tier::High, 20), (Tier::Standard, 100), (Tier::Low, 60)];

/// A device that speaks EST, between two starts.
struct Sleeper {
    id: DeviceId,
    tier: Tier,
    keys: Arc<MemoryKeys>,
    key: KeyLabel,
    last: Certificate,
}

impl Sleeper {
    /// By its factory certificate where its tier wants hardware, else by a secret.
    async fn enrolled(hospital: &Hospital, maker: &Maker, tier: Tier, serial: &str) -> Self {
        let device = EstDevice::new(hospital, serial, tier).await;
        let key = device.key("first");
        let last = match tier {
            Tier::High => {
                let factory = device.key("factory");
                let idevid = maker.certify(&device.keys.public_spki(&factory).unwrap(), serial);
                granted(device.ask(Some((&idevid, &factory)), &key, None).await)
            }
            _ => device.enroll(&key).await,
        };
        Self { id: device.id, tier, keys: device.keys, key, last }
    }

    fn device<'a>(&self, hospital: &'a Hospital) -> EstDevice<'a> {
        EstDevice::again(hospital, self.id, self.keys.clone())
    }

    /// One attempt to renew with the certificate that has ended.
    async fn asks(&self, hospital: &Hospital) -> Answered<lanyard_enroll::est::client::Issued> {
        self.device(hospital).ask(Some((&self.last, &self.key)), &self.key, None).await
    }

    async fn comes_back(&self, hospital: &Hospital) -> Certificate {
        match self.tier {
            Tier::High => {
                let Answered::Pending { retry_after_seconds, why } = self.asks(hospital).await else {
                    panic!("{}: a person must agree", self.id)
                };
                assert!(retry_after_seconds >= 1 && why.contains("allow-late-renewal"), "{why}");
                let until = hospital.clock.now().plus_seconds(3_600);
                let allow = Action::AllowLateRenewal { device: self.id, until };
                hospital.decide(&hospital.security, allow).await.unwrap();
                granted(self.asks(hospital).await)
            }
            _ => granted(self.asks(hospital).await),
        }
    }
}

async fn by_agent(ward: &Ward, tier: Tier, protocol: Protocol, serial: &str) -> Pump {
    let pump = ward.pump_of(DeviceRecord { tier, ..record(serial) }, protocol).await;
    ward.hospital.approve(pump.id).await;
    ward.firmware.boot(&pump.tpm);
    enroll(&ward.agent(&pump), &pump, protocol).await.unwrap_or_else(|e| panic!("{serial}: {e}"));
    pump
}

/// Its hardware proves itself anew by our own protocol and by ACME; by CMP its last certificate is enough for its tier.
async fn agent_comes_back(ward: &Ward, pump: &Pump, protocol: Protocol) {
    let agent = ward.agent(pump);
    let ended = agent.identities().current().unwrap();
    assert!(ended.not_after < ward.hospital.clock.now());
    let back = match protocol {
        Protocol::Native => agent.enroll().await.map(|issued| issued.standing),
        _ => agent.renew_by(seconds(120)).await,
    };
    back.unwrap_or_else(|e| panic!("{}: {e}", pump.serial));
    agent.show().await.unwrap();
    assert!(agent.identities().current().unwrap().not_after > ward.hospital.clock.now());
}

/// A device that asks in a loop, beside the others: it is told to wait, for its own sake alone.
async fn loops(sleeper: &Sleeper, hospital: &Hospital) -> usize {
    let device = sleeper.device(hospital);
    let mut last = sleeper.last.clone();
    for granted in 0..64 {
        match device.ask(Some((&last, &sleeper.key)), &sleeper.key, None).await {
            Answered::Granted(issued) => last = issued.certificate,
            Answered::Unavailable { retry_after_seconds, why } => {
                assert!(why.contains("look for a loop"), "{why}");
                assert_eq!(retry_after_seconds, 60);
                return granted;
            }
            // The minute was over before it had so many: then it has as many certificates as a device may have.
            Answered::Refused { why, .. } => {
                assert!(why.contains("too_many_certificates"), "{why}");
                return granted;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody stopped it");
}

/// Stopped, and so long after started again.
async fn restart(ward: Ward, asleep_seconds: i64) -> Ward {
    let Ward { dir, mut hospital, maker, firmware } = ward;
    hospital.running.shutdown().await;
    hospital.clock.advance(asleep_seconds);
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    Ward { dir, hospital, maker, firmware }
}

// R43, R44, R51, R66, I3, I7: the drill "CA down past expiry".
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_whose_certificates_ended_while_the_authority_was_away_comes_back_at_once() {
    let ward = ward().await;
    ward.hospital.release(&ward.firmware).await;
    let maker = Maker::accepted(&ward.hospital).await;
    let mut pumps = Vec::new();
    for (tier, protocol, count) in AGENTS {
        for n in 0..count {
            pumps
                .push((by_agent(&ward, tier, protocol, &format!("A-{tier}-{protocol}-{n}")).await, protocol));
        }
    }
    let mut sleepers = Vec::new();
    for (tier, count) in OTHERS {
        for n in 0..count {
            sleepers.push(Sleeper::enrolled(&ward.hospital, &maker, tier, &format!("E-{tier}-{n}")).await);
        }
    }
    let looping = Sleeper::enrolled(&ward.hospital, &maker, Tier::Low, "E-loop").await;
    assert_eq!(pumps.len() + sleepers.len(), 300);

    let ward = restart(ward, OUTAGE_SECONDS).await;
    let hospital = &ward.hospital;
    assert!(sleepers.iter().all(|s| s.last.not_after() < hospital.clock.now()));
    let agents = join_all(pumps.iter().map(|(pump, protocol)| agent_comes_back(&ward, pump, *protocol)));
    let others = join_all(sleepers.iter().map(|sleeper| sleeper.comes_back(hospital)));
    let (_, back, had) = tokio::join!(agents, others, loops(&looping, hospital));
    assert!((1..=32).contains(&had), "{had}");
    for (sleeper, renewed) in sleepers.iter().zip(&back) {
        assert!(renewed.not_after() > hospital.clock.now());
        assert_eq!(sleeper.device(hospital).standing(renewed), Standing::Good, "{}", sleeper.id);
    }

    // None is lost, none has more than it asked for.
    let ids = pumps.iter().map(|(pump, _)| pump.id).chain(sleepers.iter().map(|s| s.id));
    let mut issued: BTreeMap<usize, usize> = BTreeMap::new();
    for id in ids {
        *issued.entry(certificates(hospital, id).await).or_default() += 1;
    }
    assert_eq!(issued, BTreeMap::from([(2, 300)]));
    {
        let world = hospital.running.state.control.world();
        assert!(world.open_intents.is_empty(), "{:?}", world.open_intents);
        assert!(world.devices.values().all(|d| d.pending.is_empty()));
    }

    // Too long, whatever the tier: such a device enrolls anew.
    let asleep = sleepers.into_iter().zip(back).find(|(s, _)| s.tier == Tier::Standard);
    let (sleeper, last) = asleep.unwrap();
    let sleeper = Sleeper { last, ..sleeper };
    let ward = restart(ward, 100 * 86_400).await;
    let answered = sleeper.asks(&ward.hospital).await;
    let Answered::Refused { why, .. } = answered else { panic!("{answered:?}") };
    assert!(why.contains("it must enroll anew"), "{why}");
    let device = sleeper.device(&ward.hospital);
    let anew = device.enroll(&device.key("second")).await;
    assert_eq!(device.standing(&anew), Standing::Good);
    ward.hospital.running.shutdown().await;
    lanyard_store::check(&ward.dir.path().join("log"), &lanyard_store::Trust::default()).unwrap();
}

async fn certificates(hospital: &Hospital, id: DeviceId) -> usize {
    let store = hospital.running.state.control.journal.store();
    let events = store.stream(*StreamId::from(id).as_bytes(), 0, 4_096).await.unwrap();
    let read =
        |s: lanyard_store::StoredEvent| Event::from_payload(s.header.kind, &s.payload.unwrap()).unwrap();
    events.into_iter().map(read).filter(|e| matches!(e, Event::CertificateIssued { .. })).count()
}
