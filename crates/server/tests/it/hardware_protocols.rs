//! The hardware module (SoftHSM2) goes while devices enroll and renew by EST, ACME and CMP: each hears its protocol's "later", and
//! gets its certificate when the module is back, without a restart of anything. SCEP: `tests/interop/scep/hardware.py`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lanyard_agent::AgentError;
use lanyard_agent::protocol::Protocol;
use lanyard_domain::authority::KeyStore;

use crate::hardware::{alone_as, line, nothing_is_open};
use crate::hospital::{Hospital, start_with};
use crate::protocols::{Pump, Ward, enroll, seconds, ward_in};
use crate::restart::until;

const PROTOCOLS: [Protocol; 3] = [Protocol::Est, Protocol::Acme, Protocol::Cmp];
/// Of each protocol, so many enroll when it goes, and one renews.
const BATCH: usize = 6;

/// What was heard while the module was away.
#[derive(Default)]
struct Heard {
    done: AtomicUsize,
    later: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

impl Heard {
    fn later(&self, protocol: Protocol, error: &AgentError) {
        assert!(!error.is_refusal(), "{protocol}: a word that ends its attempts: {error}");
        self.later.lock().unwrap().entry(protocol.as_str()).or_default().push(error.to_string());
    }

    fn of(&self, protocol: Protocol) -> usize {
        self.later.lock().unwrap().get(protocol.as_str()).map_or(0, Vec::len)
    }
}

/// As an agent does it: short of patience, and again after a while. It may ask 120 times a minute.
async fn until_it_has_one(ward: &Ward, pump: &Pump, protocol: Protocol, heard: &Heard) {
    for _ in 0..200 {
        let agent = ward.agent(pump);
        let attempt = match agent.identities().current() {
            None => agent.enroll_by(protocol, pump.secret.clone(), seconds(1)).await,
            Some(_) => agent.renew_by(seconds(1)).await,
        };
        match attempt {
            Ok(_) => {
                heard.done.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Err(error) => heard.later(protocol, &error),
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    panic!("{} has no certificate", pump.serial);
}

// R36, R50, I3, I7: the drill "HSM gone mid-batch", by the protocols of the field.
#[test]
fn a_module_that_goes_is_told_as_later_by_each_protocol_and_everyone_is_served_when_it_is_back() {
    let name = "hardware_protocols::\
                a_module_that_goes_is_told_as_later_by_each_protocol_and_everyone_is_served_when_it_is_back";
    alone_as(name, async |place| {
        let clock = lanyard_api::clock::Clock::shifted();
        let running = start_with(&place.data(), &clock, place.keys(KeyStore::Pkcs11)).await;
        let ward = ward_in(tempfile::tempdir().unwrap(), Hospital::of(running, clock).await).await;
        let mut batch = Vec::new();
        for protocol in PROTOCOLS {
            for n in 0..=BATCH {
                batch.push((ward.admitted(&format!("{protocol}-{n}"), protocol).await, protocol));
            }
        }
        // One of each has its first certificate already.
        let renewing: Vec<&(Pump, Protocol)> = batch.iter().step_by(BATCH + 1).collect();
        for (pump, protocol) in &renewing {
            enroll(&ward.agent(pump), pump, *protocol).await.unwrap();
        }
        let before: Vec<_> =
            renewing.iter().map(|(pump, _)| ward.agent(pump).identities().current().unwrap()).collect();

        let heard = Heard::default();
        // Those with an odd number begin before it goes, the others when it has gone.
        let (away, gone) = tokio::sync::watch::channel(false);
        let all = batch.iter().enumerate().map(async |(n, (pump, protocol))| {
            if (n % (BATCH + 1)).is_multiple_of(2) {
                gone.clone().wait_for(|gone| *gone).await.unwrap();
            }
            until_it_has_one(&ward, pump, *protocol, &heard).await;
        });
        let all = futures_util::future::join_all(all);
        let disturbed = async {
            until(async || heard.done.load(Ordering::SeqCst) >= 2).await;
            place.pull_out();
            away.send_replace(true);
            until(async || PROTOCOLS.iter().all(|protocol| heard.of(*protocol) >= 3)).await;
            let told = line(&ward.hospital, "issuing-1").await.trouble.unwrap();
            assert!(told.contains("goes on by itself"), "{told}");
            nothing_is_open(&ward.hospital).await;
            // What they have is as good as before: nobody is cut off because nobody can sign.
            for ((pump, protocol), before) in renewing.iter().zip(&before) {
                let agent = ward.agent(pump);
                agent.show().await.unwrap_or_else(|e| panic!("{protocol}: {e}"));
                assert!(agent.identities().current().unwrap().not_after >= before.not_after);
            }
            place.put_in();
        };
        let (_, ()) = tokio::join!(all, disturbed);
        assert_eq!(heard.done.load(Ordering::SeqCst), batch.len());
        for (protocol, said) in heard.later.lock().unwrap().iter() {
            // ACME's order is `processing`; EST is 503 with Retry-After, CMP systemUnavail, both with the reason.
            let words = match *protocol {
                "acme" => "acme: waiting, ask again in",
                _ => "the server cannot now, ask again in 60 s: authority `issuing-1` cannot sign now",
            };
            assert!(said.iter().all(|said| said.contains(words)), "{protocol}: {said:?}");
        }
        nothing_is_open(&ward.hospital).await;
        until(async || line(&ward.hospital, "issuing-1").await.trouble.is_none()).await;
        for (pump, protocol) in &batch {
            let renewed = usize::from(renewing.iter().any(|(other, _)| other.id == pump.id));
            let issued = ward.issued(pump.id).await;
            assert_eq!(issued, 1 + renewed, "{protocol}: {}", pump.serial);
        }
        ward.hospital.running.shutdown().await;
        lanyard_store::check(&place.data().join("log"), &lanyard_store::Trust::default()).unwrap();
    });
}
