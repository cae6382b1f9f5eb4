//! Others' certificates, watched on a TLS server that is not ours: `openssl s_server`.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use lanyard_api::operator::Recorded;
use lanyard_api::pki::{InventoryLine, WatchedLine};
use lanyard_domain::statement::Action;
use lanyard_domain::watched::{WatchAlarm, WatchRecord};

use crate::hospital::Hospital;

/// A server with a certificate of its own making; ends with the test.
struct Pacs {
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Pacs {
    fn new() -> Option<Self> {
        let there = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
        if !there {
            assert!(
                std::env::var_os("LANYARD_WITHOUT_PEERS").is_some(),
                "openssl is missing: run `cargo xtask peers`"
            );
            println!("SKIPPED: openssl is not here");
            return None;
        }
        // One of those that the hospital's configuration lets be looked at, and no other test's.
        static NEXT: AtomicU16 = AtomicU16::new(21_000);
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::SeqCst)).find(free).unwrap();
        Some(Self { dir: tempfile::tempdir().unwrap(), port, process: None })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Shows a certificate for so many days from now on.
    fn show(&mut self, issuer: &str, days: u32, tls: &str) {
        self.stop();
        let file = |name: &str| self.dir.path().join(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={issuer}")])
            .args(["-days", &days.to_string()])
            .arg("-keyout")
            .arg(file("key.pem"))
            .arg("-out")
            .arg(file("certificate.pem"))
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", tls, "-accept", &self.address()])
            .arg("-key")
            .arg(file("key.pem"))
            .arg("-cert")
            .arg(file("certificate.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("openssl s_server does not listen");
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Pacs {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn watch(hospital: &Hospital, address: &str, owner: &str) -> Result<Recorded, String> {
    let record = WatchRecord {
        address: address.into(),
        site: "north".into(),
        owner: owner.into(),
        purpose: "images of the north".into(),
    };
    let decided = hospital.decide(&hospital.registrar, Action::WatchServer { record }).await;
    decided.map_err(|problem| problem.code().to_owned())
}

async fn line(hospital: &Hospital) -> WatchedLine {
    let mut lines: Vec<WatchedLine> = hospital.look(&hospital.security, "/v1/watched").await.unwrap();
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

/// Waits until the one that is watched is like this.
async fn until(hospital: &Hospital, what: &str, holds: impl Fn(&WatchedLine) -> bool) -> WatchedLine {
    for _ in 0..600 {
        let found = line(hospital).await;
        if holds(&found) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what}: {:?}", line(hospital).await);
}

// Short, because the hospital's own certificates end too.
const DAY: i64 = 86_400;
const EIGHTY_PERCENT: i64 = DAY / 10 * 8 + 60;

// R43, R45, R48, R51
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_servers_certificate_is_seen_told_of_and_missed() {
    let Some(mut pacs) = Pacs::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    pacs.show("vendor CA", 100, "-tls1_3");
    watch(&hospital, &pacs.address(), "imaging").await.unwrap();
    let seen = until(&hospital, "it is seen", |l| l.certificate.is_some()).await;
    assert_eq!((seen.standing.as_str(), seen.fault), ("in order", None));
    let first = seen.certificate.unwrap();
    assert_eq!((first.subject.as_str(), first.issuer.as_str()), ("CN=vendor CA", "CN=vendor CA"));

    // In the inventory, with what it costs when it ends, and by the share that is left.
    let inventory = async |filter: &str| -> Vec<InventoryLine> {
        let path = format!("/v1/certificates{filter}");
        let lines: Vec<InventoryLine> = hospital.look(&hospital.security, &path).await.unwrap();
        lines.into_iter().filter(|l| l.kind == "watched").collect()
    };
    let listed = inventory("").await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].owner.as_str(), listed[0].issuer.as_str()), ("imaging", "CN=vendor CA"));
    assert!(listed[0].effect.starts_with("images of the north"), "{}", listed[0].effect);
    assert!(inventory("?expiring_percent=20").await.is_empty());
    // Page by page it stands in its place once, also where a page ends with it.
    for (filter, size) in [("", 1), ("", 100), ("&issuer=CN%3Dvendor%20CA", 1)] {
        let path = format!("/v1/certificates?limit=100{filter}");
        let all: Vec<InventoryLine> = hospital.look(&hospital.security, &path).await.unwrap();
        let mut pages: Vec<InventoryLine> = Vec::new();
        for _ in 0..=all.len() {
            let after = pages.last().map(|l| format!("&after={}", l.serial)).unwrap_or_default();
            let path = format!("/v1/certificates?limit={size}{filter}{after}");
            pages.extend(hospital.look::<Vec<InventoryLine>>(&hospital.security, &path).await.unwrap());
        }
        assert!(!all.is_empty() && pages == all, "{filter}: {pages:?}");
    }

    // Another certificate long before its time, by TLS 1.2.
    pacs.show("somebody", 1, "-tls1_2");
    hospital.clock.advance(3_601);
    let changed = until(&hospital, "it has changed", |l| l.alarms.contains(&WatchAlarm::Changed)).await;
    assert_eq!(changed.standing, "changed");
    let second = changed.certificate.unwrap();
    assert_eq!(second.issuer, "CN=somebody");

    // Away, and another team's by now: its end comes all the same, and the present owner is told.
    pacs.stop();
    watch(&hospital, &pacs.address(), "new team").await.unwrap();
    hospital.clock.advance(EIGHTY_PERCENT);
    let ending =
        until(&hospital, "it ends soon", |l| l.alarms.contains(&WatchAlarm::Ending) && l.fault.is_some())
            .await;
    assert_eq!((ending.standing.as_str(), ending.fault.as_deref()), ("ends soon", Some("no connection")));
    assert_eq!(inventory("?expiring_percent=20&owner=new%20team").await.len(), 1);
    hospital.clock.advance(DAY - EIGHTY_PERCENT);
    let ended = until(&hospital, "it has ended", |l| l.alarms.contains(&WatchAlarm::Ended)).await;
    assert_eq!(ended.standing, "ended");
    assert_eq!(inventory("").await.len(), 1, "an ended one stays until somebody renews it");

    // Renewed: expected, and nothing is left of the alarms.
    pacs.show("somebody", 9_999, "-tls1_3");
    hospital.clock.advance(3_601);
    let renewed = until(&hospital, "it is renewed", |l| l.standing == "in order").await;
    assert!(renewed.alarms.is_empty(), "{:?}", renewed.alarms);

    let remove = Action::UnwatchServer { address: pacs.address() };
    hospital.decide(&hospital.admin, remove.clone()).await.unwrap();
    let lines: Vec<WatchedLine> = hospital.look(&hospital.security, "/v1/watched").await.unwrap();
    assert!(lines.is_empty() && inventory("").await.is_empty());
    assert_eq!(hospital.decide(&hospital.admin, remove).await.unwrap_err().code(), "not_found");
    hospital.running.shutdown().await;
}

// R35: who may, and what is not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_looked_at_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    assert_eq!(watch(&hospital, "pacs", "imaging").await.unwrap_err(), "malformed");
    let record = WatchRecord {
        address: "127.0.0.1:21999".into(),
        site: "north".into(),
        owner: "imaging".into(),
        purpose: "images".into(),
    };
    let action = Action::WatchServer { record };
    let refused = hospital.decide(&hospital.biomed, action).await.unwrap_err();
    assert_eq!(refused.code(), "role_missing");
    // Outside of the networks, and a port that is not named.
    for (address, why) in [("192.0.2.1:21999", "watch.networks"), ("127.0.0.1:22", "watch.ports")] {
        watch(&hospital, address, "imaging").await.unwrap();
        let found = until(&hospital, "it was looked at", |l| l.fault.is_some()).await;
        assert!(found.fault.as_deref().is_some_and(|f| f.contains(why)), "{:?}", found.fault);
        assert_eq!(found.standing, "not seen yet");
        let remove = Action::UnwatchServer { address: address.into() };
        hospital.decide(&hospital.registrar, remove).await.unwrap();
    }
    hospital.running.shutdown().await;
}

// I3: what was seen and told stands in the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_and_what_was_told_survive_a_restart() {
    let Some(mut pacs) = Pacs::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    pacs.show("vendor CA", 1, "-tls1_3");
    watch(&hospital, &pacs.address(), "imaging").await.unwrap();
    until(&hospital, "it is seen", |l| l.certificate.is_some()).await;
    hospital.clock.advance(EIGHTY_PERCENT);
    let before = until(&hospital, "it ends soon", |l| l.alarms == [WatchAlarm::Ending]).await;
    hospital.running.shutdown().await;
    let running = crate::hospital::start(dir.path(), &hospital.clock).await;
    let client = crate::hospital::client(&running, &hospital.clock);
    let hospital = Hospital { running, client, ..hospital };
    let after = line(&hospital).await;
    assert_eq!((after.certificate, after.alarms), (before.certificate, before.alarms));
    hospital.running.shutdown().await;
}
