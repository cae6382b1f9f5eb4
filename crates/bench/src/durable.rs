//! From a request's bytes to a recorded certificate: what `control` does between proofs and answer, on the real journal,
//! store and rules: intent recorded, certificate signed, certificate recorded.
//!
//! In scope: the issuance alone; evidence and key certification that come before it are in `renewal`. Many devices ask at
//! the same time, so that one fsync carries many records.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lanyard_control::journal::{Claim, Entry, Journal, Space};
use lanyard_control::world::World;
use lanyard_domain::device::{Command, Context as Facts};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{DeviceId, IssuanceId};
use lanyard_domain::text::Digest;
use lanyard_ledger::note::NoteSigner;
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::profile::SubjectFacts;
use lanyard_server::journal::LedgerJournal;
use lanyard_sim::rng::fresh;
use lanyard_store::{Options, Store};

use crate::issuance::Office;
use crate::table::{Row, in_sequence};
use crate::{Settings, cpu, disk, life, p256};

/// Devices that ask at the same time.
const DEVICES: [u32; 2] = [64, 1024];
/// All that ask, one after the other: a device may have 32 certificates.
const POOL: u32 = 8_192;
/// Certificates of each.
const EACH: u32 = 24;

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for devices in DEVICES {
        let (ours, per_core) = runtime.block_on(measure(settings, devices))?;
        rows.push(Row {
            ours: Some(ours),
            limit: Some(in_sequence(raw.sign, raw.verify) * cpu::cores() as f64),
            target: if devices == 1024 { ">= 3k per core" } else { "" },
            note: format!(
                "{per_core:.0} per core; two records each; limit: one verify and one sign on {} cores, no disk",
                cpu::cores()
            ),
            ..Row::rate(format!("CSR to recorded certificate, {devices} at once"))
        });
    }
    Ok(rows)
}

struct Desk {
    office: Office,
    world: Arc<RwLock<World>>,
    journal: LedgerJournal,
}

/// Rate, and rate per core.
async fn measure(settings: &Settings, devices: u32) -> Result<(f64, f64)> {
    let folder = disk::folder()?;
    let signer = NoteSigner::from_seed("bench.example/log", &[7; 32])?;
    let store = Store::open(&folder.path().join("log"), Options::new(signer, folder.path().join("anchor")))?;
    let world = Arc::new(RwLock::new(World::default()));
    let journal = LedgerJournal::new(store.clone(), Arc::clone(&world), |_, _| {});
    for number in 0..POOL {
        let admitted = entry(life::device(number), 0, life::admitted(number)?);
        journal.append(vec![admitted], life::NOW).await?;
    }
    let desk = Arc::new(Desk { office: Office::open()?, world, journal });
    let (start, before) = (Instant::now(), cpu::used()?);
    let mut tasks = Vec::new();
    for number in 0..devices {
        let (desk, time) = (Arc::clone(&desk), settings.time);
        tasks.push(tokio::spawn(async move {
            let mut count = 0u32;
            while start.elapsed() < time {
                let device = number + devices * (count / EACH);
                ensure!(device < POOL, "more devices are needed for so long a time: `--seconds`");
                desk.issue(life::device(device)).await?;
                count += 1;
            }
            Ok(count as usize)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let per_core = cpu::per_core(count, before, cpu::used()?);
    store.close().await.context("the log did not close")?;
    Ok((rate, per_core))
}

impl Desk {
    async fn issue(&self, device: DeviceId) -> Result<()> {
        let office = &self.office;
        let csr = csr::verify(&office.request)?;
        let subject = SubjectFacts::Device { id: device };
        let issuer = &office.authority.issuing;
        let lifetime = Lifetime::Default;
        let prepared =
            issue::prepare(&office.profile, &csr, &subject, issuer, lifetime, office.serial()?, life::NOW)?;
        let issuance = IssuanceId::from_random(fresh()?);
        let intent = Command::IntendIssuance {
            basis: lanyard_domain::device::Basis::Evidence,
            issuance,
            protocol: "renew".to_owned(),
            profile: office.profile.name().to_string(),
            serial: prepared.serial().to_string(),
            spki_sha256: Digest(prepared.spki_sha256()),
            tbs_sha256: Digest(prepared.tbs_sha256()),
            evidence_sha256: Digest::default(),
        };
        // The claim on the key is this device's own from its second request on, as after a lost answer.
        let claims = vec![Claim { space: Space::TlsKey, key: key_of(device) }];
        self.record(device, intent, claims).await?;
        let certificate = prepared.sign(&office.keys)?;
        let issued = Command::RecordCertificate {
            issuance,
            serial: certificate.serial().to_string(),
            certificate: certificate.der().to_vec(),
            certificate_sha256: Digest(certificate.thumbprint()),
            spki_sha256: Digest(certificate.spki_sha256()),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        };
        self.record(device, issued, Vec::new()).await
    }

    /// Decides by the real rules on the folded world and records.
    async fn record(&self, id: DeviceId, command: Command<'static>, claims: Vec<Claim>) -> Result<()> {
        let entry = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            let device = world.devices.get(&id).context("the device is not in the world")?;
            let facts = Facts { now: life::NOW, releases: &world.releases };
            Entry { claims, ..entry(id, device.seq, device.decide(command, facts)?.events) }
        };
        self.journal.append(vec![entry], life::NOW).await?;
        Ok(())
    }
}

fn entry(device: DeviceId, expected_seq: u64, events: Vec<Event>) -> Entry {
    Entry::new((device.into(), StreamKind::Device), expected_seq, life::actor(), events)
}

/// Stands for the digest of this device's key: the request itself is the same for all.
fn key_of(device: DeviceId) -> Digest {
    Digest(lanyard_ledger::hash::sha256(&[device.as_bytes()]).0)
}
