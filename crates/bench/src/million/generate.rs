//! Makes the hospital: people and their decisions, devices by one-time secrets, certificates over the last months, revocations.
//!
//! What each step records is what the control plane records: the decisions are signed and by whom the rules ask for them, each
//! event is what `Device::decide` gives on the folded world, certificates are prepared, linted and signed by the authority and
//! profile in force, and everything goes through the server's journal. Only this is different: hundreds of devices
//! share one transaction, and a device keeps its key when it renews.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::signing::sign_statement;
use lanyard_control::digest::{label_key, sha256};
use lanyard_control::journal::{Claim, Entry, Journal, Space};
use lanyard_control::world::World;
use lanyard_domain::authority::AuthorityPurpose;
use lanyard_domain::device::{Basis, Command, Context as Facts, Device, Recorded};
use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{DeviceId, IssuanceId, OperatorId, SecretId, StreamId};
use lanyard_domain::operator::{Operator, Role};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::{Action, SignedStatement, Statement};
use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{Lifetime, prepare};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::profile::{HardwareNames, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_server::state::Plane;
use lanyard_sim::fleet::concurrently;
use lanyard_sim::operators::{Desk, VirtualOperator};
use lanyard_sim::rng::{SeededRng, fresh};
use lanyard_sim::tls;

use super::{Home, Made, ORIGIN};

/// A device has at most 32 that have not ended; one more is left for what is issued while the bench measures.
const EACH: usize = 31;
/// All of it happened in these: certificates live ninety, so all are valid, and a share of them is about to end.
const SPAN_SECONDS: i64 = 75 * 86_400;
/// Devices of one transaction.
const BATCH: usize = 256;
/// Transactions under way.
const AT_ONCE: usize = 4;
const SITES: [&str; 6] =
    ["north-campus", "south-campus", "children", "cardiology", "rehabilitation", "outpatient"];

const PROFILE: &str = r#"
name = "listed-monitor"
description = "Monitors whose certificates live long enough to be listed"
subject = "device"
classes = ["patient-monitor"]
[key]
types = ["p256"]
[names]
alternative = ["uri-id", "machine-dns"]
[usage]
purposes = ["clientAuth"]
[validity]
default = "90d"
longest = "90d"
[revocation]
mode = "crl-ocsp"
"#;

/// A device as its own side knows it.
struct Unit {
    id: DeviceId,
    secret: Option<SecretId>,
    csr: VerifiedCsr,
}

pub async fn generate(home: &Home, certificates: usize) -> Result<Made> {
    let devices = certificates.div_ceil(EACH).max(1);
    let clock = Clock::shifted();
    clock.advance(-SPAN_SECONDS);
    let began = Instant::now();
    let running = home.start(&clock).await?;
    let people = People::admit(&running, &clock).await?;
    people.security.key().write(&home.key_file())?;
    let plane = Arc::clone(&running.state.control);

    let batches: Vec<Range<usize>> =
        (0..devices).step_by(BATCH).map(|first| first..devices.min(first + BATCH)).collect();
    let people = Arc::new(people);
    let units = concurrently(batches, AT_ONCE, |range| {
        let (plane, people, now) = (Arc::clone(&plane), Arc::clone(&people), clock.now());
        async move { people.register(&plane, range, now).await }
    });
    let units: Vec<Arc<Vec<Unit>>> =
        units.await.into_iter().map(|made| Ok(Arc::new(made?))).collect::<Result<_>>()?;
    eprintln!("  {devices} devices registered, {:.0} s", began.elapsed().as_secs_f64());

    let mut issued = 0;
    for round in 0..EACH {
        clock.advance(SPAN_SECONDS / EACH as i64);
        let now = clock.now();
        let left = certificates - issued;
        let count = units.iter().map(|batch| batch.len()).sum::<usize>().min(left);
        let mut room = count;
        let wanted: Vec<(Arc<Vec<Unit>>, usize)> = units
            .iter()
            .map(|batch| {
                let some = batch.len().min(room);
                room -= some;
                (Arc::clone(batch), some)
            })
            .filter(|(_, some)| *some > 0)
            .collect();
        let outcomes = concurrently(wanted, AT_ONCE, |(batch, some)| {
            let plane = Arc::clone(&plane);
            async move { issue(&plane, batch.get(..some).unwrap_or_default(), round == 0, now).await }
        });
        outcomes.await.into_iter().collect::<Result<Vec<()>>>()?;
        issued += count;
        eprintln!("  {issued} certificates, {:.0} s", began.elapsed().as_secs_f64());
    }
    ensure!(issued == certificates, "{issued} of {certificates} were issued");
    clock.advance(SPAN_SECONDS % EACH as i64);
    let revoked = people.revoke(&plane, &units, clock.now()).await?;
    drop(plane);
    running.shutdown().await;
    let made = Made { certificates, revoked, devices, operator: people.security.id };
    home.whole(&made)?;
    eprintln!("  {revoked} revoked, {:.0} s", began.elapsed().as_secs_f64());
    Ok(made)
}

/// `count` more certificates, each for another device, under new keys: what a running server records between two snapshots.
pub async fn some_more(plane: &Arc<Plane>, count: usize, now: Timestamp) -> Result<()> {
    let mut ids: Vec<DeviceId> = {
        let world = plane.world();
        let room = |d: &&Device| d.barred.is_none() && d.certificates.len() <= EACH;
        world.devices.values().filter(room).map(|d| d.id).take(count).collect()
    };
    ids.sort_unstable();
    ensure!(ids.len() == count, "only {} devices may have another certificate", ids.len());
    let batches: Vec<Vec<DeviceId>> = ids.chunks(BATCH).map(<[DeviceId]>::to_vec).collect();
    let outcomes = concurrently(batches, AT_ONCE, |batch| {
        let plane = Arc::clone(plane);
        async move {
            let units = batch.iter().map(|id| Unit::new(*id, None)).collect::<Result<Vec<_>>>()?;
            issue(&plane, &units, true, now).await
        }
    });
    outcomes.await.into_iter().collect::<Result<Vec<()>>>().map(|_| ())
}

impl Unit {
    fn new(id: DeviceId, secret: Option<SecretId>) -> Result<Self> {
        let (keys, label) = (MemoryKeys::default(), "device".parse::<KeyLabel>()?);
        let spki = keys.generate(&label, KeyKind::P256)?;
        let request = csr::build(&spki, "device", |message| keys.sign(&label, message))?;
        Ok(Self { id, secret, csr: csr::verify(&request)? })
    }
}

/// Intents, signatures, certificates; as `control::certify` does for one.
async fn issue(plane: &Plane, units: &[Unit], new_key: bool, now: Timestamp) -> Result<()> {
    let issuers = plane.authority.issuers();
    let (mut intents, mut ready) = (Vec::with_capacity(units.len()), Vec::with_capacity(units.len()));
    for unit in units {
        let world = plane.world();
        let device = world.devices.get(&unit.id).context("a device is not in the world")?;
        let profile = issuers.profiles().for_device(device, None)?;
        let site = Some(device.record.site.as_str());
        let ca = issuers.active(AuthorityPurpose::Devices, site).context("no authority is active")?;
        let names = HardwareNames::new(Some(&device.record.serial), None).unwrap_or_default();
        let subject = SubjectFacts::DeviceHardware { id: unit.id, names };
        let serial = Serial::from_random(fresh()?);
        let prepared = prepare(profile, &unit.csr, &subject, ca.issuer()?, Lifetime::Default, serial, now)?;
        let (issuance, spki) = (IssuanceId::from_random(fresh()?), Digest(unit.csr.spki_sha256()));
        let mut commands = Vec::new();
        if let Some(secret) = unit.secret.filter(|_| new_key) {
            commands.push(Command::UseSecret { secret, spki_sha256: spki });
        }
        commands.push(Command::IntendIssuance {
            basis: Basis::Credential,
            issuance,
            protocol: "est".to_owned(),
            profile: profile.name().to_owned(),
            serial: prepared.serial().to_string(),
            spki_sha256: spki,
            tbs_sha256: Digest(prepared.tbs_sha256()),
            evidence_sha256: Digest::default(),
        });
        let events = decided(&world, device, commands, now)?;
        let claims = vec![Claim { space: Space::TlsKey, key: spki }];
        intents.push(Entry { claims, ..entry(device, own(unit.id), events) });
        ready.push((unit.id, issuance, prepared));
    }
    plane.journal.append(intents, now).await?;
    let mut records = Vec::with_capacity(units.len());
    for (id, issuance, prepared) in ready {
        let certificate = prepared.sign(plane.keys())?;
        let world = plane.world();
        let device = world.devices.get(&id).context("a device is not in the world")?;
        let command = Command::RecordCertificate {
            issuance,
            serial: certificate.serial().to_string(),
            certificate: certificate.der().to_vec(),
            certificate_sha256: Digest(certificate.thumbprint()),
            spki_sha256: Digest(certificate.spki_sha256()),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        };
        records.push(entry(device, own(id), decided(&world, device, vec![command], now)?));
    }
    plane.journal.append(records, now).await?;
    Ok(())
}

fn decided(world: &World, device: &Device, commands: Vec<Command<'_>>, now: Timestamp) -> Result<Vec<Event>> {
    let facts = Facts { now, releases: &world.releases };
    let mut events = Vec::new();
    let last = commands.len();
    let mut after = None::<Device>;
    for (number, command) in (1..).zip(commands) {
        let before = after.as_ref().unwrap_or(device);
        let made = before.decide(command, facts)?.events;
        if number < last {
            after = Some(folded(before.clone(), &made, now));
        }
        events.extend(made);
    }
    Ok(events)
}

fn folded(device: Device, events: &[Event], now: Timestamp) -> Device {
    events.iter().fold(device, |device, event| {
        let recorded = Recorded { pos: device.last_pos, time: now };
        device.apply(event, OperatorId::from_bytes([0; 16]), recorded)
    })
}

fn own(device: DeviceId) -> OperatorId {
    OperatorId::from(StreamId::from(device))
}

fn entry(device: &Device, actor: OperatorId, events: Vec<Event>) -> Entry {
    Entry::new((device.id.into(), StreamKind::Device), device.seq, actor, events)
}

struct People {
    registrar: VirtualOperator,
    security: VirtualOperator,
    biomedical: VirtualOperator,
}

impl People {
    async fn admit(running: &lanyard_server::Running, clock: &Clock) -> Result<Self> {
        let server: Server = running.address.to_string().parse()?;
        let client = Client::new(vec![server], tls::anonymous(&running.anchors_pem, clock)?);
        let desk = Desk::new(client, clock.clone(), &running.origin);
        let admin = VirtualOperator::new("Admin", &[Role::Admin])?;
        let secret = running.bootstrap_secret.as_ref().context("the first start gave no bootstrap secret")?;
        desk.bootstrap(&admin, secret).await?;
        let people = Self {
            registrar: VirtualOperator::new("Registrar", &[Role::Registrar])?,
            security: VirtualOperator::new("Security", &[Role::Security])?,
            biomedical: VirtualOperator::new("Biomedical", &[Role::Biomedical])?,
        };
        for person in [&people.registrar, &people.security, &people.biomedical] {
            desk.decide(&admin, person.admission(), "hired").await?;
        }
        let propose = Action::ProposeProfile { text: PROFILE.to_owned() };
        desk.decide(&people.registrar, propose, "monitors of the wards").await?;
        let text_sha256 = sha256(PROFILE.as_bytes());
        let approve = Action::ApproveProfile { name: "listed-monitor".to_owned(), text_sha256 };
        desk.decide(&people.security, approve, "read").await?;
        Ok(people)
    }

    async fn register(&self, plane: &Plane, range: Range<usize>, now: Timestamp) -> Result<Vec<Unit>> {
        let (mut units, mut entries) = (Vec::with_capacity(range.len()), Vec::with_capacity(range.len() * 4));
        for number in range {
            let world = plane.world();
            let by = |who: &VirtualOperator| world.operators.get(&who.id).cloned().context("nobody");
            let (registrar, security, biomedical) =
                (by(&self.registrar)?, by(&self.security)?, by(&self.biomedical)?);
            let (id, record) = (DeviceId::from_random(fresh()?), record(number)?);
            let action = Action::RegisterDevice { device: id, record: record.clone() };
            let (statement, once) = signed(&self.registrar, action, now)?;
            let first = Device::register(record.clone(), &registrar, statement)?.events;
            let recorded = Recorded { pos: 0, time: now };
            let begun = first.first().and_then(|event| Device::begin(id, event, registrar.id, recorded));
            let mut device = begun.context("a device does not begin")?;
            let key = label_key(&record.vendor, &record.model, &record.serial);
            let claims = vec![Claim { space: Space::Label, key }];
            let stream = Entry { expected_seq: 0, claims, once, ..entry(&device, registrar.id, first) };
            entries.push(stream);
            for (who, operator, role) in [
                (&self.security, &security, Role::Security),
                (&self.biomedical, &biomedical, Role::Biomedical),
            ] {
                let (statement, once) = signed(who, Action::ApproveDevice { device: id, role }, now)?;
                let command = Command::Approve { by: operator, role, statement };
                entries.push(step(&world, &mut device, operator, once, command, now)?);
            }
            let (secret, expires) = (SecretId::from_random(fresh()?), now.plus_seconds(20 * 86_400));
            let action = Action::IssueSecret { device: id, secret, expires };
            let (statement, once) = signed(&self.registrar, action, now)?;
            let command = Command::IssueSecret { by: &registrar, secret, expires, statement };
            entries.push(step(&world, &mut device, &registrar, once, command, now)?);
            units.push(Unit::new(id, Some(secret))?);
        }
        plane.journal.append(entries, now).await?;
        Ok(units)
    }

    /// Every hundredth device as a whole, and one certificate of every third: two in a hundred of all, for every reason that a
    /// person may give.
    async fn revoke(&self, plane: &Arc<Plane>, units: &[Arc<Vec<Unit>>], now: Timestamp) -> Result<usize> {
        const WHY: [RevocationReason; 7] = [
            RevocationReason::Retired,
            RevocationReason::Compromised,
            RevocationReason::Superseded,
            RevocationReason::Transferred,
            RevocationReason::Recalled,
            RevocationReason::Lost,
            RevocationReason::Stolen,
        ];
        let rng = SeededRng::new(7);
        let mut rng = rng.fork("revoked");
        let mut revoked = 0;
        for batch in units {
            let mut entries = Vec::new();
            for unit in batch.iter() {
                let (whole, one) = (rng.index(100) == 0, rng.index(3) == 0);
                if !whole && !one {
                    continue;
                }
                let reason = WHY.get(rng.index(WHY.len())).copied().unwrap_or(RevocationReason::Retired);
                let world = plane.world();
                let by = world.operators.get(&self.security.id).context("nobody")?;
                let device = world.devices.get(&unit.id).context("a device is not in the world")?;
                let held = device.certificates.len();
                let command = if whole {
                    let action = Action::RevokeDevice { device: unit.id, reason };
                    revoked += held;
                    (signed(&self.security, action, now)?, None)
                } else {
                    let Some(one) = device.certificates.get(rng.index(held.max(1))) else { continue };
                    let serials = vec![one.serial.clone()];
                    let action =
                        Action::RevokeCertificates { device: unit.id, serials: serials.clone(), reason };
                    revoked += 1;
                    (signed(&self.security, action, now)?, Some(serials))
                };
                let ((statement, once), serials) = command;
                let command = match serials {
                    None => Command::Revoke { by, reason, statement },
                    Some(serials) => Command::RevokeCertificates { by, serials, reason, statement },
                };
                let events = decided(&world, device, vec![command], now)?;
                entries.push(Entry { once, ..entry(device, by.id, events) });
            }
            if !entries.is_empty() {
                plane.journal.append(entries, now).await?;
            }
        }
        Ok(revoked)
    }
}

/// One person's command on a device that is not in the world yet.
fn step(
    world: &World,
    device: &mut Device,
    by: &Operator,
    once: Option<Digest>,
    command: Command<'_>,
    now: Timestamp,
) -> Result<Entry> {
    let events = decided(world, device, vec![command], now)?;
    let entry = Entry { once, ..entry(device, by.id, events) };
    for event in &entry.events {
        let recorded = Recorded { pos: device.last_pos, time: now };
        *device = device.clone().apply(event, by.id, recorded);
    }
    Ok(entry)
}

/// A decision as the log keeps it, and what makes it good once.
fn signed(who: &VirtualOperator, action: Action, at: Timestamp) -> Result<(SignedStatement, Option<Digest>)> {
    let statement = Statement {
        log: ORIGIN.to_owned(),
        operator: who.id,
        at,
        nonce: Digest(fresh()?),
        reason: "as ordered by the wards".to_owned(),
        action,
    };
    let signed = sign_statement(&statement, who.key())?;
    let once = Some(sha256(signed.text.as_bytes()));
    Ok((signed, once))
}

fn record(number: usize) -> Result<DeviceRecord> {
    let site = SITES.get(number % SITES.len()).copied().unwrap_or("north-campus");
    Ok(DeviceRecord {
        vendor: "Meridian Monitoring".to_owned(),
        model: "Bedside 7".to_owned(),
        serial: format!("BM-{number:07}"),
        site: site.to_owned(),
        owner: format!("biomed-{}@hospital.example", number % 40),
        department: "Intensive care".to_owned(),
        purpose: "Continuous monitoring at the bedside".to_owned(),
        class: "patient-monitor".to_owned(),
        tier: Tier::Standard,
        ai: false,
        scopes: vec!["system/Observation.c".parse()?],
        ae_title: None,
        zone: "monitoring".to_owned(),
        ek_sha256: None,
    })
}
