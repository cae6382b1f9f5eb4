//! kill -9 in the middle of `ca compromise`: a fleet by several protocols is told in the order of clinical risk, goes over, and is
//! revoked, while the control plane is killed at chosen and random moments. What is judged is what others see: devices' answers,
//! lists, OCSP, a gateway, and the log.
//!
//! The test starts itself again as the control plane that is killed; the devices live in this process and notice nothing but ends
//! of connections. `LANYARD_CRASH_LOOPS` above six adds kills at random moments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanyard_agent::protocol::{Enrollment, Protocol};
use lanyard_agent::{Agent, AgentConfig, AgentError};
use lanyard_api::client::{CallError, Client};
use lanyard_api::clock::Clock;
use lanyard_api::compromise::CompromiseReport;
use lanyard_api::operator::{Recorded, StatementRequest};
use lanyard_api::signing::sign_statement;
use lanyard_control::compromise::progress::Place;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::event::{AlarmCode, Event, RevocationReason};
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::{Action, Statement};
use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::crl::Crl;
use lanyard_pki::crl::shard::{Place as Shelf, Shards};
use lanyard_pki::ocsp::{self, Ask, HashKind, Standing};
use lanyard_pki::revocation::{Freshness, Reason, Status};
use lanyard_sim::ehr::StandInEhr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::felt::{OBSERVATION, gateway};
use crate::hospital::{Hospital, Measured, Person, client, client_of, record, start};
use crate::protocols::{Pump, Ward, enroll, seconds, ward};
use crate::restart::until;

const CHILD: &str = "LANYARD_COMPROMISE_CHILD";
const SHIFT: &str = "LANYARD_COMPROMISE_SHIFT";
const LOOPS: &str = "LANYARD_CRASH_LOOPS";
const TEST: &str = "compromise_crash::a_compromise_goes_on_where_a_kill_cut_it_short";

/// Ten a second: the fleet's turns are spread over six seconds, in which the kills fall.
const PLAN: CompromisePlan = CompromisePlan {
    mode: CompromiseMode::ReplaceFirst,
    per_minute: 600,
    deadlines: Deadlines::all(4 * 3_600),
};

/// How many of which kind; the last of each kind are switched off and never hear of it.
const FLEET: [(Tier, Protocol, usize, usize); 7] = [
    (Tier::Critical, Protocol::Native, 14, 3),
    (Tier::High, Protocol::Native, 8, 2),
    (Tier::High, Protocol::Acme, 6, 1),
    (Tier::Standard, Protocol::Est, 10, 2),
    (Tier::Standard, Protocol::Cmp, 8, 1),
    (Tier::Low, Protocol::Est, 8, 2),
    (Tier::Low, Protocol::Cmp, 6, 1),
];

/// The control plane as a process of its own: says where it listens, then how far the replacement is.
async fn child(dir: &Path) {
    let clock = Clock::shifted();
    clock.advance(std::env::var(SHIFT).unwrap().parse().unwrap());
    let running = start(dir, &clock).await;
    println!("at {} {}", running.address, running.enroll_address.unwrap());
    let mut said = Seen::default();
    loop {
        let seen = Seen::of(&running.state.control.progress(clock.now()));
        if seen != said {
            println!("far {} {} {}", usize::from(seen.confirmed), seen.renewed, seen.revoked);
            said = seen;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How far a compromise is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    at: Option<(SocketAddr, SocketAddr)>,
    confirmed: bool,
    /// They have another certificate.
    renewed: usize,
    /// They have none by the compromised authority any more.
    revoked: usize,
}

impl Seen {
    fn of(all: &[lanyard_control::compromise::progress::Progress]) -> Self {
        let Some(progress) = all.last() else { return Self::default() };
        let at = |place| progress.classes.iter().map(|class| class.at(place)).sum::<usize>();
        let replaced = at(Place::Replaced);
        Self {
            at: None,
            confirmed: progress.confirmed_at.is_some(),
            renewed: at(Place::Settling) + replaced,
            revoked: replaced + at(Place::OffTheAir),
        }
    }

    fn read(&mut self, line: &str) {
        let Some((_, words)) = line.split_once("at ").or_else(|| line.split_once("far ")) else { return };
        let words: Vec<&str> = words.split(' ').collect();
        match words.as_slice() {
            [address, enroll] => self.at = Some((address.parse().unwrap(), enroll.parse().unwrap())),
            [confirmed, renewed, revoked] => {
                self.confirmed = *confirmed == "1";
                self.renewed = renewed.parse().unwrap();
                self.revoked = revoked.parse().unwrap();
            }
            _ => {}
        }
    }
}

/// A running control plane, seen from outside.
struct Plane {
    process: std::process::Child,
    seen: watch::Receiver<Seen>,
}

impl Plane {
    async fn start(dir: &Path, shift: i64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, dir)
            .env(SHIFT, shift.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (tell, seen) = watch::channel(Seen::default());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                tell.send_modify(|seen| seen.read(&line));
            }
        });
        let plane = Self { process, seen };
        plane.reaches(|seen| seen.at.is_some()).await;
        plane
    }

    async fn reaches(&self, moment: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let reached = tokio::time::timeout(Duration::from_secs(120), seen.wait_for(moment)).await;
        let reached = reached.unwrap_or_else(|_| panic!("not reached: {:?}", *self.seen.borrow()));
        *reached.expect("the control plane ended by itself")
    }

    fn kill(mut self) -> Seen {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        *self.seen.borrow()
    }
}

/// When the control plane is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// With the second person's word, before anyone can have heard that it was taken.
    Confirmed,
    Renewed(usize),
    Revoked(usize),
    After(Duration),
}

/// A device of the fleet, and what it was told.
struct Member {
    pump: Pump,
    tier: Tier,
    protocol: Protocol,
    /// By the authority that is compromised.
    old: Certificate,
    asleep: bool,
    /// All times that it was told to replace its certificate; the same each time.
    told: Mutex<BTreeSet<Timestamp>>,
    /// How often it asked for another.
    asked: AtomicUsize,
}

struct Fleet {
    members: Vec<Member>,
    devices: tempfile::TempDir,
    anchors_pem: String,
    origin: String,
    clock: Clock,
    log: Vec<u8>,
    all_over: AtomicBool,
}

impl Fleet {
    fn agent(&self, member: &Member, (address, enroll): (SocketAddr, SocketAddr)) -> Agent {
        let serial = &member.pump.serial;
        let config = AgentConfig {
            servers: vec![address.to_string()],
            anchors_pem: self.anchors_pem.clone(),
            state_dir: Some(self.devices.path().join(serial)),
            vendor: "Acme".into(),
            model: "Pump X".into(),
            serial: serial.clone(),
            event_log: "/nonexistent".into(),
            models: vec![],
            gateways: vec![],
            enrollment: Enrollment {
                servers: vec![enroll.to_string()],
                attestation_certificates: Some(self.devices.path().join(format!("{serial}.pem"))),
                ..Enrollment::default()
            },
        };
        let measured = Arc::new(Measured(self.log.clone()));
        Agent::new(config, member.pump.tpm.clone(), measured, self.clock.clone()).unwrap()
    }

    /// As a device does it: shows itself, and renews when it was told to and its turn has come. True when it has gone over.
    async fn step(&self, member: &Member, at: (SocketAddr, SocketAddr)) -> Result<bool, AgentError> {
        let agent = self.agent(member, at);
        let standing = agent.show().await?;
        if issuer(&agent) != member.old.issuer_der() {
            assert_eq!(standing.renew_at, None, "{}: told again after it has gone over", member.pump.serial);
            return Ok(true);
        }
        if let Some(turn) = standing.renew_at {
            member.told.lock().unwrap().insert(turn);
            if turn <= self.clock.now() {
                member.asked.fetch_add(1, Ordering::SeqCst);
                agent.renew_by(seconds(60)).await?;
            }
        }
        Ok(false)
    }

    /// Goes over, and shows itself from time to time until all have: a use that was not yet noted at a kill is noted then.
    async fn goes_over(&self, member: &Member, at: &watch::Receiver<Option<(SocketAddr, SocketAddr)>>) {
        let mut over = false;
        while !self.all_over.load(Ordering::SeqCst) {
            let place = *at.borrow();
            if let Some(place) = place {
                match self.step(member, place).await {
                    Ok(now) => over |= now,
                    // Ends of connections, and "later"; never a word that ends its attempts.
                    Err(error) => assert!(!error.is_refusal(), "{}: {error}", member.pump.serial),
                }
            }
            tokio::time::sleep(Duration::from_millis(if over { 2_000 } else { 200 })).await;
        }
        assert!(over, "{} has not gone over", member.pump.serial);
    }

    async fn goes_over_together(&self, at: watch::Receiver<Option<(SocketAddr, SocketAddr)>>) {
        let awake = self.members.iter().filter(|m| !m.asleep);
        futures_util::future::join_all(awake.map(|member| self.goes_over(member, &at))).await;
    }

    /// Sends a decision to a control plane that may be killed before it answers.
    async fn decide(&self, who: &Person, action: Action, client: &Client) -> Result<Recorded, CallError> {
        let statement = Statement {
            log: self.origin.clone(),
            operator: who.id,
            at: self.clock.now(),
            nonce: Digest(lanyard_control::digest::random().unwrap()),
            reason: "test".into(),
            action,
        };
        let request = StatementRequest { statement: sign_statement(&statement, &who.key).unwrap() };
        client.connect().await?.call(http::Method::POST, "/v1/statements", Some(&request)).await
    }
}

fn issuer(agent: &Agent) -> Vec<u8> {
    Certificate::parse(&agent.identities().leaf().unwrap()).unwrap().issuer_der().to_vec()
}

async fn enrolled(ward: &Ward, tier: Tier, protocol: Protocol, serial: &str) -> Member {
    let pump = ward.pump_of(DeviceRecord { tier, ..record(serial) }, protocol).await;
    ward.hospital.approve(pump.id).await;
    ward.firmware.boot(&pump.tpm);
    let agent = ward.agent(&pump);
    enroll(&agent, &pump, protocol).await.unwrap_or_else(|e| panic!("{serial}: {e}"));
    let old = Certificate::parse(&agent.identities().leaf().unwrap()).unwrap();
    let (told, asked) = (Mutex::default(), AtomicUsize::new(0));
    Member { pump, tier, protocol, old, asleep: false, told, asked }
}

async fn members(ward: &Ward) -> Vec<Member> {
    let mut members = Vec::new();
    for (tier, protocol, count, asleep) in FLEET {
        for n in 0..count {
            let mut member = enrolled(ward, tier, protocol, &format!("{tier}-{protocol}-{n}")).await;
            member.asleep = n >= count - asleep;
            members.push(member);
        }
    }
    members
}

fn moments() -> Vec<Moment> {
    let loops: u64 = std::env::var(LOOPS).ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    // Two more follow: when all who are awake have gone over, and at the deadline.
    let chosen = [Moment::Renewed(8), Moment::Revoked(4), Moment::Renewed(40)];
    // Early, while turns come; each life is about as long as a start and a few renewals.
    let random = (0..loops.saturating_sub(6)).map(|_| {
        let [a, b, ..] = lanyard_control::digest::random::<16>().unwrap();
        Moment::After(Duration::from_millis(u64::from(u16::from_be_bytes([a, b])) % 1_000))
    });
    std::iter::once(Moment::Confirmed).chain(random).chain(chosen).collect()
}

// R49, R50, R51, I3, I7: the drill "kill -9 in the middle of a compromise".
#[tokio::test(flavor = "multi_thread")]
async fn a_compromise_goes_on_where_a_kill_cut_it_short() {
    if let Ok(dir) = std::env::var(CHILD) {
        return child(Path::new(&dir)).await;
    }
    let ward = ward().await;
    let hospital = &ward.hospital;
    hospital.release(&ward.firmware).await;
    let members = members(&ward).await;
    let awake = members.iter().filter(|m| !m.asleep).count();
    let (name, successor) = ("issuing-1".to_owned(), "issuing-2".to_owned());
    let create = Action::CreateAuthority {
        name: successor.clone(),
        purpose: AuthorityPurpose::Devices,
        site: None,
        keys: KeyStore::Sealed,
    };
    hospital.decide(&hospital.security, create).await.unwrap();
    let activate = Action::ActivateAuthority { name: successor.clone() };
    hospital.decide(&hospital.admin, activate).await.unwrap();
    let declare = Action::DeclareCompromise { name: name.clone(), successor: successor.clone(), plan: PLAN };
    hospital.decide(&hospital.security, declare).await.unwrap();

    let Ward { dir, hospital, firmware, .. } = ward;
    let Hospital { devices, running, clock, admin, registrar, security, biomed, .. } = hospital;
    let (anchors_pem, origin) = (running.anchors_pem.clone(), running.origin.clone());
    running.shutdown().await;
    let (log, clock_of_fleet) = (firmware.log.clone(), clock.clone());
    let fleet = Fleet {
        members,
        devices,
        anchors_pem,
        origin,
        clock: clock_of_fleet,
        log,
        all_over: AtomicBool::new(false),
    };

    let (at, places) = watch::channel(None);
    let mut hit = Vec::new();
    let killed = async {
        for moment in moments() {
            let plane = Plane::start(dir.path(), 0).await;
            let place = plane.seen.borrow().at.unwrap();
            at.send_replace(Some(place));
            let confirm = async {
                let confirm = Action::ConfirmCompromise {
                    name: name.clone(),
                    successor: successor.clone(),
                    plan: PLAN,
                };
                let server = client_of(place.0, &fleet.anchors_pem, &clock);
                // It may be killed before it answers; whether it took it is seen in its log.
                if !plane.seen.borrow().confirmed {
                    let _ = fleet.decide(&admin, confirm, &server).await;
                }
            };
            let reached = async {
                match moment {
                    Moment::Confirmed => plane.reaches(|seen| seen.confirmed).await,
                    Moment::Renewed(n) => plane.reaches(|seen| seen.renewed >= n).await,
                    Moment::Revoked(n) => plane.reaches(|seen| seen.revoked >= n).await,
                    Moment::After(life) => {
                        tokio::time::sleep(life).await;
                        *plane.seen.borrow()
                    }
                }
            };
            match moment {
                // Not waited for.
                Moment::Confirmed => {
                    tokio::select! { biased; _ = reached => {}, () = async { confirm.await; std::future::pending().await } => {} }
                }
                _ => {
                    confirm.await;
                    reached.await;
                }
            }
            at.send_replace(None);
            let seen = plane.kill();
            println!("killed at {moment:?}: {} renewed, {} revoked", seen.renewed, seen.revoked);
            hit.push(seen);
        }
        // The last of those who are awake.
        let plane = Plane::start(dir.path(), 0).await;
        at.send_replace(plane.seen.borrow().at);
        plane.reaches(|seen| seen.revoked >= awake).await;
        fleet.all_over.store(true, Ordering::SeqCst);
        plane
    };
    let (plane, ()) = tokio::join!(killed, fleet.goes_over_together(places));
    let seen = plane.kill();
    assert_eq!((seen.renewed, seen.revoked), (awake, awake), "who sleeps may wait");

    // The deadline of those who sleep, and a kill with the first revocation.
    let deadline = 4 * 3_600;
    clock.advance(deadline);
    let plane = Plane::start(dir.path(), deadline).await;
    plane.reaches(|seen| seen.revoked > awake).await;
    let seen = plane.kill();
    println!("killed at the deadline: {} renewed, {} revoked", seen.renewed, seen.revoked);
    hit.push(seen);
    let midway = hit.iter().filter(|s| s.confirmed && s.revoked < fleet.members.len()).count();
    assert!(midway >= 3, "the kills missed it: {hit:?}");

    let running = start(dir.path(), &clock).await;
    let client = client(&running, &clock);
    let devices = tempfile::tempdir().unwrap();
    let hospital = Hospital { devices, running, clock, client, admin, registrar, security, biomed };
    let after = After { fleet, hospital };
    after.is_at_its_end().await;
    after.everyone_was_told_in_the_order_of_risk();
    let recorded = after.log_has_each_thing_once().await;
    after.nothing_by_it_is_trusted(&recorded).await;
    after.a_gateway_takes_who_went_over_and_nobody_else(dir.path()).await;
    after.who_slept_comes_back().await;
    after.hospital.running.shutdown().await;
    lanyard_store::check(&dir.path().join("log"), &lanyard_store::Trust::default()).unwrap();
}

/// The control plane after its last start, and the fleet.
struct After {
    fleet: Fleet,
    hospital: Hospital,
}

impl After {
    fn at(&self) -> (SocketAddr, SocketAddr) {
        (self.hospital.running.address, self.hospital.running.enroll_address.unwrap())
    }

    async fn is_at_its_end(&self) {
        let report = async || -> CompromiseReport {
            let reports: Vec<CompromiseReport> =
                self.hospital.look(&self.hospital.security, "/v1/compromises").await.unwrap();
            reports.into_iter().next_back().unwrap()
        };
        until(async || report().await.ended_at.is_some()).await;
        let report = report().await;
        let asleep: BTreeSet<String> = self.asleep().map(|m| m.pump.id.to_string()).collect();
        let stuck: BTreeSet<String> = report.stuck.iter().map(|s| s.id.clone()).collect();
        assert_eq!(stuck, asleep);
        assert!(report.stuck.iter().all(|s| s.off_the_air && s.owner == "biomed-team"), "{report:?}");
        for (class, tier) in
            report.classes.iter().zip([Tier::Critical, Tier::High, Tier::Standard, Tier::Low])
        {
            let of =
                |asleep| self.fleet.members.iter().filter(|m| m.tier == tier && m.asleep == asleep).count();
            assert_eq!((class.replaced, class.off_the_air), (of(false), of(true)), "{report:?}");
            assert_eq!(class.total, of(false) + of(true), "{report:?}");
        }
    }

    fn asleep(&self) -> impl Iterator<Item = &Member> {
        self.fleet.members.iter().filter(|m| m.asleep)
    }

    fn everyone_was_told_in_the_order_of_risk(&self) {
        let mut by_tier: BTreeMap<Tier, Vec<Timestamp>> = BTreeMap::new();
        for member in self.fleet.members.iter().filter(|m| !m.asleep) {
            let told = member.told.lock().unwrap();
            assert_eq!(told.len(), 1, "{}: told one time, whoever answers: {told:?}", member.pump.serial);
            by_tier.entry(member.tier).or_default().extend(told.iter());
        }
        let tiers = [Tier::Critical, Tier::High, Tier::Standard, Tier::Low].map(|tier| &by_tier[&tier]);
        for pair in tiers.windows(2) {
            let (last, first) = (pair[0].iter().max().unwrap(), pair[1].iter().min().unwrap());
            assert!(last <= first, "{last} of more risk is after {first}");
        }
        assert!(tiers[0].iter().max() < tiers[3].iter().min(), "all at once is no order");
    }

    /// Every certificate of the fleet by the compromised authority.
    async fn log_has_each_thing_once(&self) -> Vec<(DeviceId, String)> {
        let (mut confirmed, mut ended) = (None, 0);
        for (pos, event) in self.events(StreamId::SYSTEM).await {
            match event {
                Event::AuthorityCompromiseConfirmed { .. } => {
                    assert_eq!(confirmed.replace(pos), None, "confirmed twice");
                }
                Event::AuthorityRevoked { .. } => ended += 1,
                _ => {}
            }
        }
        let confirmed = confirmed.unwrap();
        assert_eq!(ended, 1);
        let mut all = Vec::new();
        for member in &self.fleet.members {
            let serial = &member.pump.serial;
            let (mut old, mut new, mut revoked, mut alarms) = (Vec::new(), 0, BTreeMap::new(), 0);
            for (pos, event) in self.events(member.pump.id.into()).await {
                match event {
                    Event::CertificateIssued { serial: number, certificate, .. } => {
                        let issued = Certificate::parse(&certificate.0).unwrap();
                        if issued.issuer_der() == member.old.issuer_der() {
                            assert!(pos < confirmed, "{serial}: issued to after the confirmation");
                            old.push(number);
                        } else {
                            new += 1;
                        }
                    }
                    Event::CertificateRevoked { serial: number, reason } => {
                        assert_eq!(reason, RevocationReason::IssuerCompromised, "{serial}");
                        *revoked.entry(number).or_insert(0) += 1;
                    }
                    Event::AlarmRaised { code: AlarmCode::RenewalLate, .. } => alarms += 1,
                    _ => {}
                }
            }
            assert_eq!(revoked.into_iter().collect::<Vec<_>>(), [(old[0].clone(), 1)], "{serial}");
            let asked = member.asked.load(Ordering::SeqCst);
            match member.asleep {
                // An answer that a kill took away is asked for again.
                false => assert!((1..=asked).contains(&new) && alarms == 0, "{serial}: {new} of {asked}"),
                // Its owner is called once, in one append with what was taken from it.
                true => assert!(new == 0 && alarms == 1, "{serial}: {new} new, {alarms} alarms"),
            }
            all.extend(old.into_iter().map(|number| (member.pump.id, number)));
        }
        assert_eq!(all.len(), self.fleet.members.len());
        let world = self.hospital.running.state.control.world();
        assert!(world.open_intents.is_empty(), "{:?}", world.open_intents);
        assert!(world.devices.values().all(|d| d.pending.is_empty()), "an intent was left open");
        all
    }

    async fn events(&self, stream: StreamId) -> Vec<(u64, Event)> {
        let store = self.hospital.running.state.control.journal.store();
        let stored = store.stream(*stream.as_bytes(), 0, 4_096).await.unwrap();
        let read = |s: lanyard_store::StoredEvent| {
            (s.header.pos, Event::from_payload(s.header.kind, &s.payload.unwrap()).unwrap())
        };
        stored.into_iter().map(read).collect()
    }

    async fn nothing_by_it_is_trusted(&self, recorded: &[(DeviceId, String)]) {
        let control = &self.hospital.running.state.control;
        let authority = {
            let world = control.world();
            let known = world.authorities.iter().find(|a| a.name == "issuing-1").unwrap();
            assert_eq!(world.authority_state(known), AuthorityState::Revoked);
            Certificate::parse(&known.certificate).unwrap()
        };
        let bundle = self.http("GET /pki/bundle.pem", "", &[]).await;
        let trusted = chain_from_pem(&bundle).unwrap();
        assert!(trusted.iter().all(|c| c.der() != authority.der()), "it is still in the bundle");
        let freshness = Freshness::at(self.hospital.clock.now());
        for (device, serial) in recorded {
            let number = serial.parse().unwrap();
            let standing = control.standing_of(authority.subject_der(), &number);
            let gone = matches!(&standing, Standing::Revoked(r) if r.reason == Reason::CaCompromise);
            assert!(gone, "{device}: {standing:?}");
            let shelf = Shelf::of(authority.subject_key_id().unwrap(), Shards::new(32).unwrap(), &number);
            let list = self.http(&format!("GET /crl/{shelf}"), "", &[]).await;
            Crl::parse(&list).unwrap().verify(&authority).unwrap();
            let octets = data_encoding::HEXLOWER.decode(serial.as_bytes()).unwrap();
            assert!(list.windows(octets.len()).any(|found| found == octets), "{device}: not on the list");
            let ask = Ask::new(&authority, &number, HashKind::Sha256, None).unwrap();
            let answer = self.http("POST /ocsp", "application/ocsp-request", &ask.request()).await;
            let answer = ocsp::verify(&answer, &ask, &authority, &freshness).unwrap();
            let said = answer.status();
            assert!(matches!(said, Status::Revoked(r) if r.reason == Reason::CaCompromise), "{said:?}");
        }
    }

    async fn http(&self, call: &str, kind: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.hospital.running.http_address.unwrap()).await.unwrap();
        let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        let length = body.len();
        let head = format!(
            "{call} HTTP/1.1\r\nhost: pki\r\nconnection: close\r\n{kind}content-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{call}: {}", String::from_utf8_lossy(&answer));
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        answer.split_off(head + 4)
    }

    async fn a_gateway_takes_who_went_over_and_nobody_else(&self, dir: &Path) {
        let ehr = StandInEhr::start().await.unwrap();
        std::fs::create_dir(dir.join("site")).unwrap();
        let gateway = gateway(&self.hospital, &dir.join("site"), &ehr).await;
        let sends = async |agent: &Agent| {
            let path = agent.data_path(vec![gateway.fhir_addr.to_string().parse().unwrap()]);
            path.post("/fhir/Observation", OBSERVATION, None).await.is_ok_and(|reply| reply.status == 201)
        };
        // Who shows evidence is trusted there, and has a newer certificate.
        let native = |m: &&Member| m.protocol == Protocol::Native && !m.asleep;
        let agent = self.fleet.agent(self.fleet.members.iter().find(native).unwrap(), self.at());
        agent.attest().await.unwrap();
        until(async || sends(&agent).await).await;
        for member in self.asleep() {
            let agent = self.fleet.agent(member, self.at());
            assert_eq!(issuer(&agent), member.old.issuer_der());
            assert!(!sends(&agent).await, "{}", member.pump.serial);
            let refused = agent.show().await.unwrap_err();
            assert!(refused.is_refusal(), "{}: {refused}", member.pump.serial);
        }
        gateway.shutdown().await;
    }

    /// By its hardware where it has any that speaks; the others with a secret that a person gives them.
    async fn who_slept_comes_back(&self) {
        for member in self.asleep().filter(|m| matches!(m.protocol, Protocol::Native | Protocol::Acme)) {
            let agent = self.fleet.agent(member, self.at());
            agent.enroll_by(member.protocol, None, seconds(60)).await.unwrap();
            assert_ne!(issuer(&agent), member.old.issuer_der(), "{}", member.pump.serial);
            agent.show().await.unwrap();
        }
    }
}
