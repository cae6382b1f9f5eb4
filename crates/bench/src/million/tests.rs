//! What the bench measures is right: after a snapshot, more events and a crash, filters and lists say what a plain reading of all
//! events says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lanyard_api::client::Client;
use lanyard_api::operator::{Recorded, StatementRequest};
use lanyard_api::signing::{sign_request, sign_statement};
use lanyard_domain::event::{Event, RevocationReason};
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::statement::{Action, Statement};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::crl::Crl;
use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_pki::serial::Serial;
use lanyard_server::Running;
use lanyard_sim::rng::fresh;
use lanyard_sim::tls;

use super::*;

/// A certificate of a device, as the events have it.
#[derive(Debug, Clone)]
struct Read {
    device: DeviceId,
    not_before: Timestamp,
    not_after: Timestamp,
    revoked: bool,
}

/// Sites and owners of devices, and their certificates, from the first event to the last; no fold has a hand in it.
#[derive(Default)]
struct Scan {
    records: BTreeMap<DeviceId, (String, String)>,
    certificates: BTreeMap<Serial, Read>,
}

async fn scan(running: &Running) -> Scan {
    let (store, mut scan, mut from) = (running.state.control.journal.store(), Scan::default(), 0);
    loop {
        let events = store.range(from, 4_096).await.unwrap();
        let Some(last) = events.last() else { return scan };
        from = last.header.pos + 1;
        for stored in events {
            let device = DeviceId::from(StreamId::from_bytes(stored.header.stream));
            match Event::from_payload(stored.header.kind, &stored.payload.unwrap()).unwrap() {
                Event::DeviceRegistered { record, .. } => {
                    scan.records.insert(device, (record.site, record.owner));
                }
                Event::CertificateIssued { serial, not_before, not_after, .. } => {
                    let read = Read { device, not_before, not_after, revoked: false };
                    scan.certificates.insert(serial.parse().unwrap(), read);
                }
                Event::CertificateRevoked { serial, .. } => {
                    scan.certificates.get_mut(&serial.parse().unwrap()).unwrap().revoked = true;
                }
                _ => {}
            }
        }
    }
}

impl Scan {
    /// Those that fit, in the order of the list.
    fn listed(&self, fits: impl Fn(&Serial, &Read) -> bool) -> Vec<String> {
        let mut all: Vec<_> = self.certificates.iter().filter(|(s, r)| fits(s, r)).collect();
        all.sort_by_key(|(serial, read)| (read.not_after, **serial));
        all.into_iter().map(|(serial, _)| serial.to_string()).collect()
    }

    fn site(&self, read: &Read) -> &str {
        &self.records[&read.device].0
    }
}

struct Person<'a> {
    home: &'a Home,
    made: &'a Made,
    client: Client,
    clock: Clock,
}

impl<'a> Person<'a> {
    fn new(home: &'a Home, made: &'a Made, running: &Running) -> Self {
        let clock = Clock::system();
        let anchors = tls::anonymous(&running.anchors_pem, &clock).unwrap();
        let client = Client::new(vec![running.address.to_string().parse().unwrap()], anchors);
        Self { home, made, client, clock }
    }

    /// Serial numbers of devices' certificates that the filter gives, in its order.
    async fn list(&self, filter: &str) -> Vec<String> {
        let path = format!("/v1/certificates?profile=listed-monitor&limit=100000{filter}");
        let (target, key) = (path.parse().unwrap(), self.home.key().unwrap());
        let method = http::Method::GET;
        let headers =
            sign_request(self.made.operator, &key, &method, &target, self.clock.now(), fresh().unwrap(), &[]);
        let mut channel = self.client.connect().await.unwrap();
        let lines: Vec<lanyard_api::pki::InventoryLine> =
            channel.call_with(method, &path, &headers, None::<&()>).await.unwrap();
        lines.into_iter().map(|line| line.serial).collect()
    }

    async fn decide(&self, action: Action) {
        let statement = Statement {
            log: ORIGIN.to_owned(),
            operator: self.made.operator,
            at: self.clock.now(),
            nonce: Digest(fresh().unwrap()),
            reason: "test".to_owned(),
            action,
        };
        let statement = sign_statement(&statement, &self.home.key().unwrap()).unwrap();
        let mut channel = self.client.connect().await.unwrap();
        let request = StatementRequest { statement };
        let _: Recorded = channel.call(http::Method::POST, "/v1/statements", Some(&request)).await.unwrap();
    }
}

/// What all lists together say, each certificate in the list that it names.
fn lists(running: &Running, now: Timestamp) -> BTreeSet<String> {
    let control = &running.state.control;
    let issuers = control.authority.issuers();
    let mut all = BTreeSet::new();
    for ca in issuers.issuing() {
        let certificate = ca.certificate();
        for place in Place::all(certificate.subject_key_id().unwrap(), Shards::DEFAULT) {
            let list = control.revocation_list(&place, now).unwrap().unwrap();
            for (serial, _) in Crl::parse(&list.der).unwrap().verify(certificate).unwrap().revoked() {
                assert!(place.holds(&serial), "{serial} in {place}");
                assert!(all.insert(serial.to_string()), "{serial} twice");
            }
        }
    }
    all
}

// R51, R48, I3
#[tokio::test(flavor = "multi_thread")]
async fn after_a_snapshot_more_events_and_a_crash_filters_and_lists_say_what_all_events_say() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let made = generate::generate(&home, 700).await.unwrap();
    assert_eq!(home.made().unwrap().as_ref(), Some(&made));
    let clock = Clock::system();

    let running = home.start(&clock).await.unwrap();
    let kept = running.keep_snapshot().await.unwrap();
    // What only the tail of the log has: certificates, and the end of one that the snapshot has as good.
    generate::some_more(&running.state.control, 5, clock.now()).await.unwrap();
    let before = scan(&running).await;
    let (serial, read) = before.certificates.iter().find(|(_, read)| !read.revoked).unwrap();
    let action = Action::RevokeCertificates {
        device: read.device,
        serials: vec![serial.to_string()],
        reason: RevocationReason::Lost,
    };
    Person::new(&home, &made, &running).decide(action).await;
    running.shutdown().await;
    // As kill -9 leaves it.
    std::fs::write(home.data().join("log/lock"), "in use\n").unwrap();

    let running = home.start(&clock).await.unwrap();
    assert_eq!(running.resumed_at, kept);
    let scan = scan(&running).await;
    assert_eq!(scan.certificates.len(), made.certificates + 5);
    assert!(scan.certificates[serial].revoked);
    let person = Person::new(&home, &made, &running);

    let now = clock.now();
    let share = |read: &Read, percent: i64| {
        let whole = read.not_after.seconds_since(read.not_before);
        read.not_after.seconds_since(now) * 100 <= whole * percent
    };
    assert_eq!(person.list("").await, scan.listed(|_, _| true));
    for percent in [1, 17, 50, 100] {
        // No certificate is within a second of the limit: they were issued in steps of two days.
        let expected = scan.listed(|_, read| share(read, percent));
        assert_eq!(person.list(&format!("&expiring_percent={percent}")).await, expected, "{percent}");
    }
    for site in ["north-campus", "cardiology", "none-such"] {
        let expected = scan.listed(|_, read| scan.site(read) == site);
        assert_eq!(person.list(&format!("&site={site}")).await, expected, "{site}");
        let expected = scan.listed(|_, read| scan.site(read) == site && !read.revoked && share(read, 60));
        let filter = format!("&site={site}&revoked=false&expiring_percent=60");
        assert_eq!(person.list(&filter).await, expected, "{site}");
    }
    let owner = "biomed-3@hospital.example";
    let expected = scan.listed(|_, read| scan.records[&read.device].1 == owner);
    assert!(!expected.is_empty());
    assert_eq!(person.list(&format!("&owner={owner}")).await, expected);
    let device = read.device;
    let expected = scan.listed(|_, read| read.device == device);
    assert!(expected.len() >= 20);
    assert_eq!(person.list(&format!("&subject={device}")).await, expected);
    assert_eq!(person.list("&subject=nobody").await, Vec::<String>::new());
    assert_eq!(person.list("&issuer=issuing-1").await, scan.listed(|_, _| true));
    assert_eq!(person.list(&format!("&serial={serial}")).await, vec![serial.to_string()]);
    assert_eq!(person.list(&format!("&serial={serial}&revoked=false")).await, Vec::<String>::new());
    assert_eq!(person.list("&revoked=true").await, scan.listed(|_, read| read.revoked));
    assert_eq!(person.list("&revoked=false").await, scan.listed(|_, read| !read.revoked));

    let revoked: BTreeSet<String> = scan.listed(|_, read| read.revoked).into_iter().collect();
    assert_eq!(revoked.len(), made.revoked + 1);
    assert_eq!(lists(&running, clock.now()), revoked);

    // The audit of the crash ends well by itself.
    let store = running.state.control.journal.store();
    for _ in 0..600 {
        if !store.audit_due() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!store.audit_due());
    running.shutdown().await;
}

// I3: the server that finds damage while it serves stops, and no start goes on with that log before all of it was checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_audit_finds_damage_stops_and_stays_down_until_the_log_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    generate::generate(&home, 40).await.unwrap();
    let change = |sql: &str| {
        let db = rusqlite::Connection::open(home.data().join("log/log.db")).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1, "{sql}");
    };
    // Nothing that a start looks at.
    change("INSERT INTO blob(sha256, body) VALUES (zeroblob(32), x'41')");
    std::fs::write(home.data().join("log/lock"), "in use\n").unwrap();
    let running = home.start(&Clock::system()).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(120), running.broken().cancelled_owned()).await;
    assert!(stopped.is_ok(), "it goes on with a damaged log");
    running.shutdown().await;
    let mark = home.data().join("log/damaged");
    assert!(std::fs::read_to_string(&mark).unwrap().contains("kept bytes"));
    for _ in 0..2 {
        let refused = home.start(&Clock::system()).await.map(|_| ()).unwrap_err();
        assert!(format!("{refused:#}").contains("damaged"), "{refused:#}");
    }
    change("DELETE FROM blob WHERE sha256 = zeroblob(32)");
    home.start(&Clock::system()).await.unwrap().shutdown().await;
    assert!(!mark.exists());
}
