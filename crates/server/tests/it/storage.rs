//! The drills "storage failure between record and sign, between sign and record": the disk refuses at exactly these moments while a
//! device enrolls, by each protocol. libfiu fails the system calls of a real server; the test starts itself again under it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lanyard_agent::AgentError;
use lanyard_agent::error::Reaction;
use lanyard_agent::protocol::{Patience, Protocol};
use lanyard_domain::id::DeviceId;

use crate::hospital::{Hospital, client, start};
use crate::protocols::{Pump, Ward, ward};

const PLACE: &str = "LANYARD_STORAGE_CHILD";

/// What the disk answers.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// EIO at every fsync: whether something was written is not known.
    Sync,
    /// ENOSPC at every write: nothing was written.
    Full,
}

impl Fault {
    /// How libfiu is told; 28 is ENOSPC.
    fn commands(self, word: &str) -> Vec<String> {
        let (points, info): (&[_], _) = match self {
            Fault::Sync => (&["posix/io/sync/fsync", "posix/io/sync/fdatasync"], ""),
            Fault::Full => (&["posix/io/rw/pwrite", "posix/io/rw/pwrite64"], ",failinfo=28"),
        };
        let info = if word == "enable" { info } else { "" };
        points.iter().map(|name| format!("{word} name={name}{info}\n")).collect()
    }
}

/// The named pipe of this process's libfiu.
#[derive(Clone)]
struct Disk(PathBuf);

impl Disk {
    fn tell(&self, fault: Fault, word: &str) {
        for command in fault.commands(word) {
            let mut pipe = OpenOptions::new().write(true).open(self.0.with_extension("in")).unwrap();
            pipe.write_all(command.as_bytes()).unwrap();
            drop(pipe);
            let said = std::fs::read_to_string(self.0.with_extension("out")).unwrap();
            assert_eq!(said.trim(), "0", "libfiu refuses `{}`", command.trim());
        }
    }
}

/// The server stopped by itself; started again on a disk that works.
async fn started_again(ward: Ward, data: &Path) -> Ward {
    let Ward { dir, hospital, maker, firmware } = ward;
    let Hospital { devices, running, clock, admin, registrar, security, biomed, .. } = hospital;
    assert!(running.broken().is_cancelled(), "a process whose log may lack something must be started again");
    running.shutdown().await;
    let running = start(data, &clock).await;
    let client = client(&running, &clock);
    let hospital = Hospital { devices, running, clock, client, admin, registrar, security, biomed };
    Ward { dir, hospital, maker, firmware }
}

/// Approved only after it has asked once: by then the agent has written down all that it must, and only the server writes.
async fn admitted(ward: &Ward, serial: &str, protocol: Protocol) -> Pump {
    let pump = ward.pump(serial, protocol).await;
    ward.firmware.boot(&pump.tpm);
    enroll(ward, &pump, protocol, 1).await.unwrap_err();
    ward.hospital.approve(pump.id).await;
    // ACME looks at a waiting order again only when its Retry-After is over.
    ward.hospital.clock.advance(60);
    pump
}

async fn enroll(ward: &Ward, pump: &Pump, protocol: Protocol, seconds: u64) -> Result<(), AgentError> {
    let patience = Patience::of(Duration::from_secs(seconds));
    ward.agent(pump).enroll_by(protocol, pump.secret.clone(), patience).await.map(|_| ())
}

fn count(events: &[serde_json::Value], name: &str) -> usize {
    events.iter().filter(|e| e["event"] == name).count()
}

/// After the restart: nothing is open, and what the device was given is what stands in the record.
async fn all_is_well(ward: &Ward, pump: &Pump, device: DeviceId) {
    let control = &ward.hospital.running.state.control;
    {
        let world = control.world();
        assert!(world.open_intents.is_empty(), "{:?}", world.open_intents);
        assert!(world.devices.values().all(|d| d.pending.is_empty()), "an intent was left open");
    }
    if let Some(held) = ward.agent(pump).identities().current() {
        let leaf = lanyard_pki::certificate::chain_from_pem(held.chain_pem.as_bytes()).unwrap().remove(0);
        let serial = leaf.serial().to_string();
        let world = control.world();
        let known = &world.devices.get(&device).unwrap().certificates;
        assert!(known.iter().any(|c| c.serial == serial), "the record lacks {serial}, which the device has");
    }
}

/// "Later", in the protocol's own words: never one that ends the device's attempts.
fn is_later(error: &AgentError) {
    let waits = matches!(error, AgentError::Pending { .. });
    assert!(waits || error.reaction() == Reaction::Retry, "{error}");
}

async fn refused_at_the_intent(mut ward: Ward, disk: &Disk, protocol: Protocol, fault: Fault) -> Ward {
    let data = ward.dir.path().to_owned();
    let pump = admitted(&ward, &format!("I-{protocol}-{fault:?}"), protocol).await;
    disk.tell(fault, "enable");
    let error = enroll(&ward, &pump, protocol, 8).await.unwrap_err();
    disk.tell(fault, "disable");
    is_later(&error);
    assert!(ward.agent(&pump).identities().current().is_none(), "{protocol}: a certificate without a record");
    ward = started_again(ward, &data).await;
    all_is_well(&ward, &pump, pump.id).await;
    let events = ward.events(pump.id).await;
    assert_eq!(count(&events, "certificate_issued"), 0, "{protocol} {fault:?}: signed without an intent");
    enroll(&ward, &pump, protocol, 60).await.unwrap();
    all_is_well(&ward, &pump, pump.id).await;
    let events = ward.events(pump.id).await;
    assert_eq!(count(&events, "certificate_issued"), 1, "{protocol} {fault:?}");
    ward
}

/// Once the intent is in the log the disk fails; true if that was before the device had its answer.
async fn refused_at_the_certificate(
    ward: Ward,
    disk: &Disk,
    protocol: Protocol,
    fault: Fault,
    n: u32,
) -> (Ward, bool) {
    let data = ward.dir.path().to_owned();
    let pump = admitted(&ward, &format!("C-{protocol}-{fault:?}-{n}"), protocol).await;
    let (control, id) = (Arc::clone(&ward.hospital.running.state.control), pump.id);
    let (watched, told) = (disk.clone(), Arc::new(AtomicBool::new(false)));
    let enough = Arc::clone(&told);
    let watcher = std::thread::spawn(move || {
        while !enough.load(Ordering::SeqCst) {
            let intended = control.world().devices.get(&id).is_some_and(|d| !d.pending.is_empty());
            if intended {
                watched.tell(fault, "enable");
                return true;
            }
            std::hint::spin_loop();
        }
        false
    });
    let answer = enroll(&ward, &pump, protocol, 8).await;
    told.store(true, Ordering::SeqCst);
    let was_told = watcher.join().unwrap();
    if !was_told {
        return (ward, false);
    }
    // The process has nothing else to write, where the certificate was faster than the fault: something it must.
    let broken = ward.hospital.running.broken();
    let nudge = async {
        while !broken.is_cancelled() {
            let _ = ward.hospital.register(crate::hospital::record(&format!("N-{id}"))).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), nudge).await.unwrap();
    disk.tell(fault, "disable");
    if let Err(error) = &answer {
        is_later(error);
    }
    let ward = started_again(ward, &data).await;
    all_is_well(&ward, &pump, pump.id).await;
    let between = answer.is_err();
    let events = ward.events(pump.id).await;
    let (issued, given_up) = (count(&events, "certificate_issued"), count(&events, "issuance_abandoned"));
    match fault {
        // Not written, so the start gave it up; what was signed is nobody's.
        Fault::Full if between => assert_eq!((issued, given_up), (0, 1), "{protocol}"),
        // It was written, and only power would have shown whether it stays: then it is recorded, or given up.
        _ => assert_eq!(issued + given_up, 1, "{protocol} {fault:?}"),
    }
    if between {
        enroll(&ward, &pump, protocol, 60).await.unwrap();
    }
    all_is_well(&ward, &pump, pump.id).await;
    (ward, between)
}

async fn child(place: &Path) {
    let disk = Disk(place.join(format!("fiu-{}", std::process::id())));
    let mut ward = ward().await;
    ward.hospital.release(&ward.firmware).await;
    for protocol in Protocol::ALL {
        for fault in [Fault::Sync, Fault::Full] {
            ward = refused_at_the_intent(ward, &disk, protocol, fault).await;
            let mut hit = false;
            for n in 0..30 {
                (ward, hit) = refused_at_the_certificate(ward, &disk, protocol, fault, n).await;
                if hit {
                    break;
                }
            }
            assert!(hit, "{protocol} {fault:?}: the certificate was always faster than the fault");
            println!("{protocol} {fault:?}: refused at the intent, and at the certificate");
        }
    }
    let data = ward.dir.path().to_owned();
    ward.hospital.running.shutdown().await;
    lanyard_store::check(&data.join("log"), &lanyard_store::Trust::default()).unwrap();
}

// R34, I3, I7: the drills "storage failure between record and sign" and "between sign and record".
#[test]
fn a_disk_that_fails_around_a_signature_gives_out_nothing_that_is_not_recorded() {
    if let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(child(&place));
    }
    if std::env::var_os("LANYARD_WITHOUT_PEERS").is_some() {
        eprintln!("left out: needs libfiu");
        return;
    }
    assert!(Path::new("/usr/bin/fiu-run").exists(), "fiu-run is missing: run `cargo xtask peers`");
    let place = tempfile::tempdir().unwrap();
    // Into a file: this binary's own results are counted by their lines, and these are not results of their own.
    let said = place.path().join("said");
    let log = std::fs::File::create(&said).unwrap();
    let name = "storage::a_disk_that_fails_around_a_signature_gives_out_nothing_that_is_not_recorded";
    let status = Command::new("fiu-run")
        .arg("-x")
        .arg("-f")
        .arg(place.path().join("fiu"))
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(PLACE, place.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    let said: String = std::fs::read_to_string(&said).unwrap().lines().map(|l| format!("| {l}\n")).collect();
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("1 passed"), "it ran nothing\n{said}");
}
