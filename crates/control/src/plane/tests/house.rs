//! A control plane over a log in memory, with two authorities of which the first issues, people, a device and a gateway; and others
//! who get in between a decision and its append.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::device::Basis;
use lanyard_domain::id::{GatewayId, SecretId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::Blob;
use lanyard_domain::tier::Tier;
use lanyard_pki::authority::{Authority as Made, Generation};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend as _, KeyKind, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::serial::Serial;

use crate::authority::{IssuancePermit, Wish};
use crate::evidence::testkit::{ORIGIN, PEOPLE, Person, START};
use crate::journal::SealedAt;
use crate::plane::*;
use crate::profiles::Installation;
use crate::stores::KeyStores;
use crate::world::Origin;

pub(crate) type Written = (StreamKind, StreamId, Event);

/// A log in memory. Just before the next event of a kind is appended, others get in first.
pub(crate) struct Meddled {
    world: Arc<RwLock<World>>,
    seqs: Mutex<HashMap<StreamId, u64>>,
    once: Mutex<HashSet<Digest>>,
    before: Mutex<Option<(u16, Vec<Written>)>>,
    /// Whether it can take nothing now.
    away: AtomicBool,
    /// Events, as they were recorded.
    log: Mutex<Vec<Event>>,
}

impl Meddled {
    fn append_now(&self, entries: &[Entry]) -> Result<Appended, JournalError> {
        let mut seqs = self.seqs.lock().unwrap();
        let seq = |seqs: &HashMap<StreamId, u64>, stream| seqs.get(stream).copied().unwrap_or_default();
        for entry in entries {
            let rests = entry.steady.iter().all(|(stream, had)| seq(&seqs, stream) == *had);
            if !rests || seq(&seqs, &entry.stream) != entry.expected_seq {
                return Err(JournalError::Conflict);
            }
            if let Some(once) = entry.once
                && !self.once.lock().unwrap().insert(once)
            {
                return Err(JournalError::Repeated(0));
            }
        }
        let mut world = self.world.write().unwrap();
        let pos = world.next_pos;
        for entry in entries {
            for event in &entry.events {
                let (stream, stream_kind) = (entry.stream, entry.stream_kind as u8);
                let pos = world.next_pos;
                world
                    .apply(Origin { stream, stream_kind, pos, time: START, actor: entry.actor }, Some(event));
                *seqs.entry(stream).or_default() += 1;
                self.log.lock().unwrap().push(event.clone());
            }
        }
        Ok(Appended { pos, time: START })
    }
}

impl Journal for Meddled {
    async fn append(&self, entries: Vec<Entry>, _: Timestamp) -> Result<Appended, JournalError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(JournalError::Unavailable("the disk is full".into()));
        }
        let is_it = |kind: &u16| entries.iter().flat_map(|e| &e.events).any(|e| e.kind() == *kind);
        let meddling = self.before.lock().unwrap().take_if(|(kind, _)| is_it(kind));
        for (kind, stream, event) in meddling.into_iter().flat_map(|(_, others)| others) {
            self.append_now(&[entry(self, kind, stream, event)])?;
        }
        self.append_now(&entries)
    }

    fn recent_checkpoint(&self, _: u64) -> Option<SealedAt> {
        None
    }

    fn newest_checkpoint(&self) -> Option<SealedAt> {
        None
    }

    fn level(&self, _: u64) -> &'static str {
        "durable"
    }

    async fn certificate_at(&self, pos: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let log = self.log.lock().unwrap();
        Ok(match log.get(usize::try_from(pos).unwrap()) {
            Some(Event::CertificateIssued { certificate, .. }) => Some(certificate.0.clone()),
            _ => None,
        })
    }

    async fn event_at(&self, _: u64) -> Result<Option<(StreamId, u8, u16)>, JournalError> {
        Ok(None)
    }
}

pub(crate) fn statement() -> SignedStatement {
    SignedStatement { text: String::new(), signature: Blob(Vec::new()) }
}

pub(crate) fn device() -> DeviceId {
    DeviceId::from_random([4; 16])
}

pub(crate) fn gateway() -> GatewayId {
    GatewayId::from_random([6; 16])
}

/// Two authorities of which the first issues, people, a device and a gateway.
pub(crate) struct House {
    pub(crate) control: Control<Meddled>,
    keys: Arc<MemoryKeys>,
}

impl House {
    pub(crate) fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation = |label: &str, n| Generation {
            number: u32::from(n),
            label: label.parse().unwrap(),
            serial: Serial::from_random([n; 16]),
        };
        let made = [("root-1", "issuing-1", 1), ("root-2", "issuing-2", 3)].map(|(root, issuing, n)| {
            let made = Made::create(
                &naming,
                keys.as_ref(),
                &generation(root, n),
                &generation(issuing, n + 1),
                START,
            );
            (issuing, made.unwrap().issuing.certificate().clone())
        });
        let key = "gateway-key".parse().unwrap();
        let spki = keys.generate(&key, KeyKind::P256).unwrap();
        let world = Arc::new(RwLock::new(World::default()));
        let log = Meddled {
            world: Arc::clone(&world),
            seqs: Mutex::default(),
            once: Mutex::default(),
            before: Mutex::default(),
            away: AtomicBool::default(),
            log: Mutex::default(),
        };
        let write = |kind, stream, event| log.append_now(&[entry(&log, kind, stream, event)]).unwrap();
        let system = |event| write(StreamKind::System, StreamId::SYSTEM, event);
        system(Event::LedgerStarted { origin: ORIGIN.into(), vkey: String::new(), policy: String::new() });
        for (name, certificate) in &made {
            system(planned(name));
            system(created(name, certificate));
        }
        system(Event::AuthorityActivated { name: "issuing-1".into(), statement: statement() });
        for person in [&PEOPLE.ada, &PEOPLE.sam] {
            write(StreamKind::Operator, person.id.into(), added(person));
        }
        let stream = StreamId::from(device());
        write(
            StreamKind::Device,
            stream,
            Event::DeviceRegistered { record: record(), statement: statement() },
        );
        for role in [Role::Security, Role::Biomedical] {
            write(StreamKind::Device, stream, Event::DeviceApproved { role, statement: statement() });
        }
        let secret = SecretId::from_random([1; 5]);
        write(StreamKind::Device, stream, Event::SoftKeyAccepted { secret });
        let spki_sha256 = sha256_of(&spki);
        let names = vec!["gw.hospital.example".to_owned()];
        let (site, vkey) = ("north".to_owned(), String::new());
        let gateway_added = Event::GatewayAdded { site, vkey, spki_sha256, names, statement: None };
        write(StreamKind::Gateway, gateway().into(), gateway_added);
        let stores = Arc::new(KeyStores::new(Arc::clone(&keys) as _, None));
        let installation = Installation { naming, revocation: None };
        let authority = Authority::new(&world.read().unwrap(), stores, installation).unwrap();
        let control = Control::new(world, log, authority, SecretKey::new([7; 32])).unwrap();
        Self { control, keys }
    }

    pub(crate) fn csr(&self, label: &str) -> Vec<u8> {
        let label = label.parse().unwrap();
        let spki =
            self.keys.public_spki(&label).or_else(|_| self.keys.generate(&label, KeyKind::P256)).unwrap();
        csr::build(&spki, "it", |m| self.keys.sign(&label, m)).unwrap()
    }

    /// Just before the next event of this kind, these.
    pub(crate) fn before(&self, kind: u16, events: Vec<Written>) {
        *self.control.journal.before.lock().unwrap() = Some((kind, events));
    }

    /// Lets the log take nothing, or again everything.
    pub(crate) fn log_is_away(&self, away: bool) {
        self.control.journal.away.store(away, Ordering::SeqCst);
    }

    /// Somebody's event, as it stands.
    pub(crate) fn write(&self, kind: StreamKind, stream: StreamId, event: Event) {
        let log = &self.control.journal;
        log.append_now(&[entry(log, kind, stream, event)]).unwrap();
    }

    pub(crate) fn certify_device(&self) -> Result<Certificate, ControlError> {
        let control = &self.control;
        let csr = csr::verify(&self.csr("device-key")).unwrap();
        let spki_sha256 = Digest(csr.spki_sha256());
        let ready = {
            let world = control.world();
            let permit = IssuancePermit::recognised(device(), csr);
            control.authority.prepare_device(permit, find(&world, device()).unwrap(), Wish::USUAL, START)?
        };
        let actor = OperatorId::from(StreamId::from(device()));
        control
            .on_device(device(), actor, START, Extras::default(), |_, _| {
                Ok(vec![Command::IntendIssuance {
                    basis: Basis::Credential,
                    issuance: ready.issuance,
                    protocol: "est".into(),
                    profile: ready.profile.clone(),
                    serial: ready.prepared.serial().to_string(),
                    spki_sha256,
                    tbs_sha256: Digest(ready.prepared.tbs_sha256()),
                    evidence_sha256: Digest::default(),
                }])
            })
            .now_or_never()
            .unwrap()?;
        control.sign_and_record_certificate(device(), ready, actor, START).now_or_never().unwrap()
    }

    pub(crate) fn certify_gateway(&self) -> Result<Certificate, ControlError> {
        let csr = self.csr("gateway-key");
        self.control
            .certify_gateway(gateway(), &csr, START)
            .now_or_never()
            .unwrap()
            .map(|(pem, _)| chain_from_pem(pem.as_bytes()).unwrap().remove(0))
    }

    pub(crate) fn recorded(&self, kind: u16) -> usize {
        self.control.journal.log.lock().unwrap().iter().filter(|e| e.kind() == kind).count()
    }
}

fn sha256_of(spki: &[u8]) -> Digest {
    crate::digest::sha256(spki)
}

fn entry(log: &Meddled, kind: StreamKind, stream: StreamId, event: Event) -> Entry {
    let seq = log.seqs.lock().unwrap().get(&stream).copied().unwrap_or_default();
    Entry::new((stream, kind), seq, OperatorId::from_bytes([1; 16]), vec![event])
}

pub(crate) fn planned(name: &str) -> Event {
    Event::AuthorityPlanned {
        name: name.to_owned(),
        purpose: AuthorityPurpose::Devices,
        site: None,
        under: None,
        keys: KeyStore::Sealed,
        statement: statement(),
    }
}

fn created(name: &str, certificate: &Certificate) -> Event {
    Event::AuthorityCreated {
        name: name.to_owned(),
        certificate_sha256: Digest(certificate.thumbprint()),
        certificate: Blob(certificate.der().to_vec()),
        keys: KeyStore::Sealed,
    }
}

fn added(person: &Person) -> Event {
    Event::OperatorAdded {
        name: "somebody".into(),
        roles: person.roles.clone(),
        public_key: person.public_key(),
        statement: None,
    }
}

fn record() -> DeviceRecord {
    DeviceRecord {
        vendor: "Acme".into(),
        model: "Pump X".into(),
        serial: "P-1".into(),
        site: "north".into(),
        owner: "biomed".into(),
        department: "ICU".into(),
        purpose: "infusion".into(),
        class: "infusion-pump".into(),
        tier: Tier::Low,
        ai: false,
        scopes: vec!["system/Observation.c".parse().unwrap()],
        ae_title: None,
        zone: "icu".into(),
        ek_sha256: None,
    }
}
