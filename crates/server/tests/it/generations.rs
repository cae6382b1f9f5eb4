//! The drill "CA generation swap under load": devices connect to a gateway without a pause, each time anew, while one generation of
//! the issuing authority takes over from the other, drains and is retired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lanyard_agent::Agent;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use lanyard_pki::certificate::Certificate;

use crate::felt::{OBSERVATION, Ward};
use crate::hospital::{Hospital, record};
use crate::restart::until;

const DEVICES: usize = 6;
/// A gateway's certificate lives two days.
const STEPS: i64 = 9;
const STEP_SECONDS: i64 = 6 * 3_600;

/// What the devices saw.
#[derive(Default)]
struct Seen {
    written: AtomicU64,
    failed: std::sync::Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    /// A handshake and a write after the other.
    async fn load(&self, ward: &Ward, agent: &Agent) {
        while !self.stop.load(Ordering::SeqCst) {
            match ward.path(agent).post("/fhir/Observation", OBSERVATION, None).await {
                Ok(reply) if reply.status == 201 => {
                    self.written.fetch_add(1, Ordering::SeqCst);
                }
                Ok(reply) => {
                    self.fail(format!("{}: {}", reply.status, reply.diagnostics().unwrap_or_default()))
                }
                Err(error) => self.fail(error.to_string()),
            }
        }
    }

    fn fail(&self, why: String) {
        self.failed.lock().unwrap().push(why);
    }

    /// Until so many more have got through.
    async fn more(&self, count: u64) {
        let enough = self.written.load(Ordering::SeqCst) + count;
        while self.written.load(Ordering::SeqCst) < enough && self.failed.lock().unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

async fn decide(hospital: &Hospital, action: Action) {
    hospital.decide(&hospital.admin, action).await.unwrap();
}

fn state_of(hospital: &Hospital, name: &str) -> AuthorityState {
    let world = hospital.running.state.control.world();
    world.authority_state(world.authorities.iter().find(|a| a.name == name).unwrap())
}

/// Who issued what a device shows now.
fn issuer(agent: &Agent) -> Vec<u8> {
    Certificate::parse(&agent.identities().leaf().unwrap()).unwrap().issuer_der().to_vec()
}

// R44, R50, I7: the drill "CA generation swap under load with zero failed handshakes".
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_takes_over_and_the_one_before_is_retired_without_one_failed_handshake() {
    let ward = Ward::new().await;
    let hospital = &ward.hospital;
    let mut agents = Vec::new();
    for n in 0..DEVICES {
        let record = DeviceRecord { tier: Tier::Low, ..record(&format!("G-{n}")) };
        agents.push(Arc::new(ward.sending_as(record).await.1));
    }
    let before = issuer(&agents[0]);
    let seen = Seen::default();
    let load = futures_util::future::join_all(agents.iter().map(|agent| seen.load(&ward, agent)));
    let swap = async {
        seen.more(300).await;
        let (name, purpose) = ("issuing-2".to_owned(), AuthorityPurpose::Devices);
        let create = Action::CreateAuthority { name, purpose, site: None, keys: KeyStore::Sealed };
        hospital.decide(&hospital.security, create).await.unwrap();
        // Trusted before it is used: nothing changes yet.
        seen.more(300).await;
        assert!(agents.iter().all(|agent| issuer(agent) == before));
        decide(hospital, Action::ActivateAuthority { name: "issuing-2".into() }).await;
        seen.more(300).await;

        // One device after the other goes over, while all of them send.
        for agent in &agents {
            agent.renew().await.unwrap();
            seen.more(60).await;
        }
        let after = issuer(&agents[0]);
        assert!(after != before && agents.iter().all(|agent| issuer(agent) == after));
        assert_eq!(state_of(hospital, "issuing-1"), AuthorityState::Draining);

        let control = &hospital.running.state.control;
        for step in 0..STEPS {
            hospital.clock.advance(STEP_SECONDS);
            for agent in &agents {
                if step % 2 == 0 {
                    agent.attest().await.unwrap();
                } else {
                    // Theirs live a day.
                    agent.renew().await.unwrap();
                }
            }
            let now = hospital.clock.now();
            for device in control.superseded(&control.device_ids(), now) {
                control.supersede(device, now).await.unwrap();
            }
            // Our own certificate and the gateway's follow by themselves, and this clock waits for them.
            let next = now.plus_seconds(STEP_SECONDS + 3_600);
            until(async || {
                let world = control.world();
                let own = Certificate::parse(world.own.certificate().unwrap()).unwrap();
                let gateway = world.gateways.values().next().unwrap();
                own.not_after() > next && gateway.certificates.iter().any(|c| c.not_after > next)
            })
            .await;
            seen.more(100).await;
        }
        decide(hospital, Action::RetireAuthority { name: "issuing-1".into() }).await;
        assert_eq!(state_of(hospital, "issuing-1"), AuthorityState::Retired);
        seen.more(300).await;
        seen.stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(load, swap);
    let failed = std::mem::take(&mut *seen.failed.lock().unwrap());
    assert!(failed.is_empty(), "{} failed, the first: {:?}", failed.len(), failed.first());
    let written = seen.written.load(Ordering::SeqCst);
    assert!(written > 2_000, "{written}");
    println!("{written} handshakes, each with a write, while the authority changed; none failed");
    ward.end().await;
}
