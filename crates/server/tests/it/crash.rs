//! kill -9 at random moments while devices enroll: no certificate that anyone saw is missing from the log, no intent is
//! left open, and the log checks out. The test starts itself again as the child that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_domain::event::Event;
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_pki::certificate::Certificate;
use zeroize::Zeroizing;

use crate::hospital::{Firmware, Hospital, Person, client, start};
use lanyard_api::clock::Clock;
use lanyard_api::signing::OperatorKey;
use lanyard_domain::id::OperatorId;

const CHILD: &str = "LANYARD_CRASH_CHILD";
const LOOPS: &str = "LANYARD_CRASH_LOOPS";

/// The same person in every start.
fn person(n: u8) -> Person {
    let key = OperatorKey::from_seed(Zeroizing::new([n; 32])).unwrap();
    Person { id: OperatorId::from_random([n; 16]), key }
}

async fn resume(dir: &Path) -> Hospital {
    let clock = Clock::shifted();
    let running = start(dir, &clock).await;
    let client = client(&running, &clock);
    let devices = tempfile::tempdir().unwrap();
    let people = [1, 2, 3, 4].map(person);
    let [admin, registrar, security, biomed] = people;
    Hospital { devices, running, clock, client, admin, registrar, security, biomed }
}

/// Registers, approves and enrolls devices until it is killed; prints each certificate after its device has it.
async fn child(dir: &Path) {
    let hospital = Arc::new(resume(dir).await);
    hospital.bootstrap().await;
    let maker = MakerCa::new("Acme Silicon", hospital.clock.now()).unwrap();
    hospital.accept_maker(&maker).await;
    let firmware = Arc::new(Firmware::new("2.1", 2));
    if hospital.running.state.control.world().releases.is_empty() {
        hospital.release(&firmware).await;
    }
    let maker = Arc::new(maker);
    let mut tasks = Vec::new();
    // Killed while it writes a snapshot, too.
    let keeping = Arc::clone(&hospital);
    tasks.push(tokio::spawn(async move {
        loop {
            keeping.running.keep_snapshot().await.unwrap();
        }
    }));
    for lane in 0..4 {
        let (hospital, maker, firmware) = (Arc::clone(&hospital), Arc::clone(&maker), Arc::clone(&firmware));
        tasks.push(tokio::spawn(async move {
            for n in 0.. {
                let serial = format!("C-{}-{lane}-{n}", std::process::id());
                hospital.admitted(&serial).await;
                let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", &serial).unwrap());
                firmware.boot(&chip);
                let issued = hospital.agent(&serial, &chip, &firmware).enroll().await.unwrap();
                let leaf =
                    lanyard_pki::certificate::chain_from_pem(issued.chain_pem.as_bytes()).unwrap().remove(0);
                println!("acked {} {}", issued.device, leaf.serial());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn killed_run(dir: &Path, life: Duration) -> Vec<(DeviceId, String)> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_kill_at_any_moment_loses_no_certificate", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(process.stdout.take().unwrap());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(life);
        process.kill().unwrap();
        process.wait().unwrap();
    });
    let acked = out
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            let (_, rest) = line.split_once("acked ")?;
            let (device, serial) = rest.split_once(' ')?;
            Some((device.parse().ok()?, serial.to_owned()))
        })
        .collect();
    killer.join().unwrap();
    acked
}

// I3
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_certificate() {
    if let Ok(dir) = std::env::var(CHILD) {
        return child(Path::new(&dir)).await;
    }
    let loops: u64 = std::env::var(LOOPS).ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let dir = tempfile::tempdir().unwrap();
    let mut acked: Vec<(DeviceId, String)> = Vec::new();
    for round in 0..loops {
        // Some kills hit the first start, some the load; which, the machine's speed decides.
        let life = Duration::from_millis(150 + (round * 7_919) % 2_500);
        acked.extend(killed_run(dir.path(), life));
    }
    let hospital = resume(dir.path()).await;
    {
        let world = hospital.running.state.control.world();
        for (device, serial) in &acked {
            let found =
                world.devices.get(device).is_some_and(|d| d.certificates.iter().any(|c| &c.serial == serial));
            assert!(found, "device {device} holds certificate {serial}, which the log does not have");
        }
        assert!(world.devices.values().all(|d| d.pending.is_empty()), "an intent was left open");
        assert!(world.open_intents.is_empty(), "left open: {:?}", world.open_intents);
    }
    every_certificate_was_intended(&hospital).await;
    hospital.running.shutdown().await;
    lanyard_store::check(&dir.path().join("log"), &lanyard_store::Trust::default()).unwrap();
    assert!(!acked.is_empty(), "no certificate was issued in {loops} rounds: the test proves nothing");
    println!("{} certificates acknowledged over {loops} kills, none lost", acked.len());
}

async fn every_certificate_was_intended(hospital: &Hospital) {
    let devices: Vec<DeviceId> = hospital.running.state.control.world().devices.keys().copied().collect();
    let streams = devices.into_iter().map(StreamId::from).chain([StreamId::SYSTEM]);
    for stream in streams {
        let store = hospital.running.state.control.journal.store();
        let events = store.stream(*stream.as_bytes(), 0, 4_096).await.unwrap();
        let mut intended = Vec::new();
        for stored in events {
            match Event::from_payload(stored.header.kind, &stored.payload.unwrap()).unwrap() {
                Event::IssuanceIntended { serial, .. } => intended.push(serial),
                Event::CertificateIssued { serial, .. }
                | Event::ServerCertified { serial, .. }
                | Event::ResponderCertified { serial, .. } => assert!(intended.contains(&serial)),
                // The first start's own too.
                Event::AuthorityCreated { name, certificate, .. } => {
                    let serial = Certificate::parse(&certificate.0).unwrap().serial().to_string();
                    assert!(intended.contains(&serial), "{name}");
                }
                _ => {}
            }
        }
    }
}
