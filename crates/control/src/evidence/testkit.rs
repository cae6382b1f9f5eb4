//! A small hospital in memory: real keys, real decisions, real quotes of a software attestation key, and a log whose
//! story a test may bend before it is sealed and exported.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use lanyard_attest::appraise::{Appraisal as Input, ExpectModel, appraise};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tcg::build::{LogBuilder, pcr_after};
use lanyard_attest::tcg::{BASELINE_PCRS, QUOTED_PCRS};
use lanyard_attest::tpm::keys::AK_ATTRIBUTES;
use lanyard_attest::tpm::structures::{
    Attest, Body, ClockInfo, Curve, HashAlg, Key, PcrSelection, Public, Scheme, Signature, Symmetric,
};
use lanyard_domain::authority::KeyStore;
use lanyard_domain::device::{AppraisalFacts, Command, Device};
use lanyard_domain::event::{AccessRecord, Event, StreamKind};
use lanyard_domain::id::{DecisionId, DeviceId, GatewayId, IssuanceId, OperatorId, ReleaseId, StreamId};
use lanyard_domain::maker::MakerCertificate;
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::release::{ReferencePcr, ReleaseContent, ReleaseRecord};
use lanyard_domain::statement::{Action, SignedStatement, Statement};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_ledger::Hash;
use lanyard_ledger::bundle::{Builder, Opening, TrustPolicy};
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::cosign::Cosigner;
use lanyard_ledger::leaf::{self, LeafHeader, Prev};
use lanyard_ledger::note::{Note, NoteSigner};
use lanyard_ledger::tile::{MemoryTiles, TreeWriter};
use lanyard_ledger::tree::inclusion_proof;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::crl;
use lanyard_pki::csr;
use lanyard_pki::issue::{Lifetime, prepare};
use lanyard_pki::key::{KeyBackend, KeyKind, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::revocation::{Reason as RevocationWhy, Revocation};
use lanyard_pki::serial::Serial;

use super::collect::{GatewayPart, Parts, StoredLeaf, Subject, make_claim, put_together};
use super::{Claim, History, Line};
use crate::appraise::{clock_info, facts, references};
use crate::digest::sha256;
use crate::journal::SealedAt;
use crate::plane::decide_all;
use crate::world::World;

pub const ORIGIN: &str = "hospital.example/ledger";
const GATEWAY_ORIGIN: &str = "gateway.hospital.example/decisions";
/// 2026-11-22T12:00:00Z
pub const START: Timestamp = Timestamp::from_seconds(1_795_348_800);
/// Channel binding of every connection here.
const CHANNEL: [u8; 32] = [0xcc; 32];

pub fn device() -> DeviceId {
    DeviceId::from_random([0xd1; 16])
}
pub fn other_device() -> DeviceId {
    DeviceId::from_random([0xd2; 16])
}
pub fn release() -> ReleaseId {
    ReleaseId::from_random([0xe1; 16])
}
pub fn gateway() -> GatewayId {
    GatewayId::from_random([0x6a; 16])
}

/// An operator with a key.
pub struct Person {
    pub id: OperatorId,
    pub roles: Vec<Role>,
    name: &'static str,
    key: Ed25519KeyPair,
}

impl Person {
    pub fn new(n: u8, name: &'static str, roles: &[Role]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[n; 32]).unwrap();
        Self { id: OperatorId::from_random([n; 16]), roles: roles.to_vec(), name, key }
    }

    pub fn public_key(&self) -> Digest {
        Digest(self.key.public_key().as_ref().try_into().unwrap())
    }

    pub fn sign(&self, at: Timestamp, action: Action) -> SignedStatement {
        self.sign_for(ORIGIN, at, action)
    }

    pub fn sign_for(&self, log: &str, at: Timestamp, action: Action) -> SignedStatement {
        let nonce = sha256(format!("{at} {action:?}").as_bytes());
        let statement = Statement {
            log: log.to_owned(),
            operator: self.id,
            at,
            nonce,
            reason: "as the procedure asks".to_owned(),
            action,
        };
        let mut signed =
            SignedStatement { text: serde_json::to_string(&statement).unwrap(), signature: Blob(Vec::new()) };
        signed.signature = Blob(self.key.sign(&signed.signed_bytes()).as_ref().to_vec());
        signed
    }

    /// The same person with another key.
    pub fn with_key_of(&self, n: u8) -> Self {
        Self { id: self.id, roles: self.roles.clone(), ..Self::new(n, "", &[]) }
    }
    pub fn added(&self, statement: Option<SignedStatement>) -> Event {
        Event::OperatorAdded {
            name: self.name.to_owned(),
            roles: self.roles.clone(),
            public_key: self.public_key(),
            statement,
        }
    }

    fn as_operator(&self) -> lanyard_domain::operator::Operator {
        lanyard_domain::operator::Operator {
            id: self.id,
            name: self.name.to_owned(),
            roles: self.roles.clone(),
            public_key: self.public_key(),
            active: true,
        }
    }
}

/// Who works here.
pub struct People {
    pub ada: Person,
    pub rita: Person,
    pub sam: Person,
    pub bea: Person,
    /// Holds every role, and signs nothing in a good story.
    pub mia: Person,
}

pub static PEOPLE: LazyLock<People> = LazyLock::new(|| People {
    ada: Person::new(0xa1, "Ada", &[Role::Admin]),
    rita: Person::new(0xa2, "Rita", &[Role::Registrar]),
    sam: Person::new(0xa3, "Sam", &[Role::Security]),
    bea: Person::new(0xa4, "Bea", &[Role::Biomedical]),
    mia: Person::new(0xa5, "Mia", &Role::ALL),
});

/// An attestation key in software that quotes as a TPM would.
pub struct SoftAk {
    key: EcdsaKeyPair,
    pub public: Public,
}

impl SoftAk {
    pub fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let public = Public {
            name_alg: HashAlg::Sha256,
            attributes: AK_ATTRIBUTES,
            auth_policy: vec![],
            key: Key::Ecc {
                symmetric: Symmetric::Null,
                scheme: Scheme::Ecdsa(HashAlg::Sha256),
                curve: Curve::P256,
                x: x.to_vec(),
                y: y.to_vec(),
            },
        };
        Self { key, public }
    }

    /// Evidence of a boot into `kernel`.
    pub fn evidence(&self, kernel: &[u8], nonce: &[u8; 32], clock: ClockInfo) -> Vec<u8> {
        let (event_log, extends) = boot(kernel).finish();
        let pcrs: Vec<(u8, [u8; 32])> = QUOTED_PCRS.iter().map(|p| (*p, pcr_after(&extends, *p))).collect();
        let values: Vec<u8> = pcrs.iter().flat_map(|(_, v)| *v).collect();
        let selection = PcrSelection::of(HashAlg::Sha256, &QUOTED_PCRS);
        let body = Body::Quote { selection, pcr_digest: HashAlg::Sha256.digest(&values) };
        let attest = Attest {
            qualified_signer: self.public.name(),
            extra_data: nonce.to_vec(),
            clock,
            firmware_version: 1,
            body,
        };
        let quote = attest.encode();
        let fixed = self.key.sign(&aws_lc_rs::rand::SystemRandom::new(), &quote).unwrap();
        let signature = Signature::ecdsa_from_fixed(HashAlg::Sha256, fixed.as_ref()).unwrap().encode();
        TpmEvidence { quote, signature, pcrs, event_log }.encode()
    }
}

fn boot(kernel: &[u8]) -> LogBuilder {
    LogBuilder::new().s_crtm_version("4.2.0").separators().ipl("vmlinuz", kernel)
}

/// A line that is not in a log yet.
#[derive(Clone)]
pub struct Draft {
    pub kind: StreamKind,
    pub stream: StreamId,
    pub actor: OperatorId,
    pub time: Timestamp,
    pub event: Event,
    /// What the header says when it lies.
    pub header_kind: Option<u16>,
    pub erased: bool,
}

/// Drafts in a signed tree.
pub struct Sealed {
    pub signer: NoteSigner,
    pub leaves: Vec<StoredLeaf>,
    tiles: MemoryTiles,
    root: Hash,
}

impl Sealed {
    pub fn new(origin: &str, seed: u8, drafts: &[Draft]) -> Self {
        let signer = NoteSigner::from_seed(origin, &[seed; 32]).unwrap();
        let (mut tiles, mut tree) = (MemoryTiles::default(), TreeWriter::new());
        let mut heads: HashMap<(u8, StreamId), (u64, Prev)> = HashMap::new();
        let mut leaves = Vec::new();
        for (pos, draft) in (0u64..).zip(drafts) {
            let stream = (draft.kind as u8, draft.stream);
            let before = heads.get(&stream).copied();
            let header = LeafHeader {
                kind: draft.header_kind.unwrap_or(draft.event.kind()),
                pos,
                time_micros: draft.time.as_micros(),
                stream_kind: draft.kind as u8,
                stream: *draft.stream.as_bytes(),
                seq: before.map_or(0, |(seq, _)| seq + 1),
                prev: before.map(|(_, prev)| prev),
                actor: *draft.actor.as_bytes(),
                policy: Hash(World::policy_digest().0),
            };
            let payload = draft.event.to_payload().unwrap();
            let salt = sha256(format!("{origin} salt {pos}").as_bytes()).0;
            let entry = leaf::encode(&header, &leaf::commit(&salt, &payload)).to_vec();
            let hash = leaf::leaf_hash(&entry);
            heads.insert(stream, (header.seq, Prev { pos, leaf: hash }));
            tiles.apply(tree.append(&[hash]));
            let open = (!draft.erased).then_some((salt, payload));
            let (salt, payload) = open.map_or((None, None), |(s, p)| (Some(s), Some(p)));
            leaves.push(StoredLeaf { entry, header, salt, payload });
        }
        Self { signer, leaves, tiles, root: tree.root() }
    }

    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }
    pub fn root(&self) -> Hash {
        self.root
    }
    pub fn vkey(&self) -> String {
        self.signer.verifier().vkey()
    }
    pub fn note(&self) -> Note {
        let origin = self.signer.verifier().name().to_owned();
        Checkpoint { origin, size: self.size(), root: self.root }.sign(&self.signer).unwrap()
    }
    pub fn history(&self) -> History {
        History::new(self.leaves.iter().map(|l| l.line().unwrap()).collect())
    }
    pub fn proof(&self, pos: u64) -> Result<Vec<Hash>, String> {
        inclusion_proof(&self.tiles, pos, self.size()).map_err(|e| e.to_string())
    }
}

/// What happened, in two logs.
#[derive(Clone)]
pub struct Story {
    pub main: Vec<Draft>,
    pub gateway: Vec<Draft>,
    pub evidence: Vec<Vec<u8>>,
    pub now: Timestamp,
    pub ak: Arc<SoftAk>,
    pki: Arc<Pki>,
}

struct Pki {
    keys: MemoryKeys,
    authority: Authority,
    naming: Naming,
}

pub fn witness() -> Cosigner {
    Cosigner::from_seed("witness.example", &[0x77; 32]).unwrap()
}

pub const GRADE: &str = "FIPS 140-3 level 2";

impl Story {
    /// Up to the device's approval: people, authorities, a release, a gateway.
    pub fn begin() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = MemoryKeys::default();
        let generation = |label: &str, n| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random([n; 16]),
        };
        let (root, issuing) = (generation("root-g1", 1), generation("issuing-g1", 2));
        let authority = Authority::create(&naming, &keys, &root, &issuing, START).unwrap();
        let mut story = Self {
            main: Vec::new(),
            gateway: Vec::new(),
            evidence: Vec::new(),
            now: START,
            ak: Arc::new(SoftAk::new()),
            pki: Arc::new(Pki { keys, authority, naming }),
        };
        story.found();
        story
    }

    /// The whole good story: in service, one reading, attested again.
    pub fn good() -> Self {
        static GOOD: LazyLock<Story> = LazyLock::new(|| {
            let mut story = Story::begin();
            story.register();
            story.approve();
            story.enroll();
            story.attest(b"kernel");
            story.read();
            story.attest(b"kernel");
            story
        });
        GOOD.clone()
    }

    pub fn add(&mut self, kind: StreamKind, stream: impl Into<StreamId>, actor: OperatorId, event: Event) {
        self.now = self.now.plus_seconds(10);
        let draft = Draft {
            kind,
            stream: stream.into(),
            actor,
            time: self.now,
            event,
            header_kind: None,
            erased: false,
        };
        self.main.push(draft);
    }

    fn on_device(&mut self, actor: OperatorId, events: Vec<Event>) {
        for event in events {
            self.add(StreamKind::Device, device(), actor, event);
        }
    }

    fn found(&mut self) {
        let itself = OperatorId::from_bytes([0; 16]);
        let system = |story: &mut Self, actor, event| {
            story.add(StreamKind::System, StreamId::SYSTEM, actor, event);
        };
        let vkey = Sealed::new(ORIGIN, 1, &[]).vkey();
        let started = Event::LedgerStarted { origin: ORIGIN.to_owned(), vkey, policy: "p/1".to_owned() };
        system(self, itself, started);
        let pki = Arc::clone(&self.pki);
        for (name, issuer) in [("root-g1", &pki.authority.root), ("issuing-g1", &pki.authority.issuing)] {
            let der = issuer.certificate().der().to_vec();
            let certificate_sha256 = sha256(&der);
            let created = Event::AuthorityCreated {
                name: name.to_owned(),
                certificate: Blob(der),
                certificate_sha256,
                keys: KeyStore::Sealed,
            };
            system(self, itself, created);
        }
        let people = &*PEOPLE;
        let ada = &people.ada;
        self.add(StreamKind::Operator, ada.id, ada.id, ada.added(None));
        for person in [&people.rita, &people.sam, &people.bea, &people.mia] {
            let signed = ada.sign(
                self.now,
                Action::AddOperator {
                    operator: person.id,
                    name: person.name.to_owned(),
                    roles: person.roles.clone(),
                    public_key: person.public_key(),
                },
            );
            self.add(StreamKind::Operator, person.id, ada.id, person.added(Some(signed)));
        }
        let maker = Blob(pki.authority.root.certificate().der().to_vec());
        let grade = Some(GRADE.to_owned());
        let action =
            Action::AddEndorsement { certificate: maker.clone(), grade: grade.clone(), uses: Vec::new() };
        let statement = people.sam.sign(self.now, action);
        let certificate_sha256 = sha256(&maker.0);
        let added = Event::EndorsementAdded {
            certificate: maker,
            certificate_sha256,
            grade,
            uses: Vec::new(),
            statement,
        };
        system(self, people.sam.id, added);
        self.release();
        let vkey = Sealed::new(GATEWAY_ORIGIN, 2, &[]).vkey();
        let (site, names) = ("north-campus".to_owned(), vec!["gw.hospital.example".to_owned()]);
        let spki_sha256 = Digest([0x5c; 32]);
        let action = Action::AddGateway {
            gateway: gateway(),
            site: site.clone(),
            spki_sha256,
            vkey: vkey.clone(),
            names: names.clone(),
        };
        let statement = Some(people.ada.sign(self.now, action));
        let added = Event::GatewayAdded { site, vkey, spki_sha256, names, statement };
        self.add(StreamKind::Gateway, gateway(), people.ada.id, added);
    }

    fn release(&mut self) {
        let people = &*PEOPLE;
        let (_, extends) = boot(b"kernel").finish();
        let pcr = |p: &u8| ReferencePcr { pcr: *p, value: Digest(pcr_after(&extends, *p)) };
        let record = ReleaseRecord {
            vendor: "Acme".to_owned(),
            model: "Pump 7".to_owned(),
            version: "4.2.0".to_owned(),
            security_version: 3,
            minimum_security_version: 1,
            not_after: None,
            content: ReleaseContent::Firmware {
                pcrs: BASELINE_PCRS.iter().map(pcr).collect(),
                events: Vec::new(),
            },
        };
        let action = Action::ProposeRelease { release: release(), record: record.clone() };
        let statement = people.rita.sign(self.now, action);
        let proposed = Event::ReleaseProposed { record, statement };
        self.add(StreamKind::Release, release(), people.rita.id, proposed);
        let statement = people.sam.sign(self.now, Action::ApproveRelease { release: release() });
        self.add(StreamKind::Release, release(), people.sam.id, Event::ReleaseApproved { statement });
    }

    /// `by` gives `whose` the key of `new`.
    pub fn replace_key(&mut self, by: &Person, whose: OperatorId, new: &Person) {
        let public_key = new.public_key();
        let statement = by.sign(self.now, Action::ReplaceOperatorKey { operator: whose, public_key });
        let event = Event::OperatorKeyReplaced { public_key, statement };
        self.add(StreamKind::Operator, whose, by.id, event);
    }
    /// Quarantined and released by this person.
    pub fn quarantined_and_released(&mut self, by: &Person) {
        let statement = by.sign(self.now, Action::QuarantineDevice { device: device() });
        let event = Event::DeviceQuarantined { reasons: Vec::new(), statement: Some(statement) };
        self.add(StreamKind::Device, device(), by.id, event);
        let statement = by.sign(self.now, Action::ReleaseDevice { device: device() });
        self.add(StreamKind::Device, device(), by.id, Event::QuarantineReleased { statement });
    }
    pub fn withdraw_release(&mut self) {
        let statement = PEOPLE.sam.sign(self.now, Action::WithdrawRelease { release: release() });
        self.add(StreamKind::Release, release(), PEOPLE.sam.id, Event::ReleaseWithdrawn { statement });
    }

    pub fn register(&mut self) {
        let rita = &PEOPLE.rita;
        for (id, serial) in [(device(), "A-100"), (other_device(), "A-101")] {
            let record = record(serial);
            let statement =
                rita.sign(self.now, Action::RegisterDevice { device: id, record: record.clone() });
            let events = Device::register(record, &rita.as_operator(), statement).unwrap().events;
            for event in events {
                self.add(StreamKind::Device, id, rita.id, event);
            }
        }
    }

    pub fn approve(&mut self) {
        self.approved_by(&PEOPLE.sam, Role::Security);
        self.approved_by(&PEOPLE.bea, Role::Biomedical);
    }

    pub fn approved_by(&mut self, by: &Person, role: Role) {
        let statement = by.sign(self.now, Action::ApproveDevice { device: device(), role });
        self.on_device(by.id, vec![Event::DeviceApproved { role, statement }]);
    }

    pub fn world(&self) -> World {
        Sealed::new(ORIGIN, 1, &self.main).history().world(|_| true)
    }

    /// Decides as the server would, and records.
    pub fn decide(&mut self, commands: Vec<Command<'_>>, actor: OperatorId) {
        let world = self.world();
        let now = self.now.plus_seconds(10);
        let events = decide_all(&world, world.devices.get(&device()).unwrap(), commands, now).unwrap();
        // One transaction has one time.
        for event in events {
            self.add(StreamKind::Device, device(), actor, event);
            self.now = now;
            if let Some(last) = self.main.last_mut() {
                last.time = now;
            }
        }
    }

    pub fn enroll(&mut self) {
        let itself = OperatorId::from(StreamId::from(device()));
        let maker = sha256(self.pki.authority.root.certificate().der());
        let bound = Event::IdentityBound {
            ek_sha256: Digest([0xee; 32]),
            ek_certificate_sha256: Digest([0xec; 32]),
            endorsement_sha256: maker,
            ak_public: Blob(self.ak.public.encode()),
            ak_name_sha256: sha256(&self.ak.public.name()),
            grade: Some(GRADE.to_owned()),
        };
        self.on_device(itself, vec![bound]);
        let facts = self.appraise(Purpose::Enroll, b"kernel");
        let evidence_sha256 = facts.evidence_sha256;
        let pki = Arc::clone(&self.pki);
        let label = "device".parse().unwrap();
        let spki = pki.keys.generate(&label, KeyKind::P256).unwrap();
        let request = csr::build(&spki, "pump", |m| pki.keys.sign(&label, m)).unwrap();
        let request = csr::verify(&request).unwrap();
        let profile = Profile::new(ProfileName::DeviceLdevid, pki.naming.clone());
        let subject = SubjectFacts::Device { id: device() };
        let issuer = &pki.authority.issuing;
        let serial = Serial::from_random([7; 16]);
        let prepared =
            prepare(&profile, &request, &subject, issuer, Lifetime::Default, serial, self.now).unwrap();
        let issuance = IssuanceId::from_random([9; 16]);
        let intent = Command::IntendIssuance {
            basis: lanyard_domain::device::Basis::Evidence,
            issuance,
            protocol: "enroll".to_owned(),
            profile: profile.name().to_string(),
            serial: prepared.serial().to_string(),
            spki_sha256: Digest(prepared.spki_sha256()),
            tbs_sha256: Digest(prepared.tbs_sha256()),
            evidence_sha256,
        };
        self.decide(vec![Command::RecordAppraisal(facts), intent], itself);
        let certificate = prepared.sign(&pki.keys).unwrap();
        let issued = Command::RecordCertificate {
            issuance,
            serial: certificate.serial().to_string(),
            certificate: certificate.der().to_vec(),
            certificate_sha256: sha256(certificate.der()),
            spki_sha256: Digest(certificate.spki_sha256()),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        };
        self.decide(vec![issued], itself);
    }

    /// The maker says by a list that it revoked these; its authority is the story's own root.
    pub fn take_maker_list(&mut self, number: u64, revoked: &[Serial]) -> Digest {
        let pki = Arc::clone(&self.pki);
        let at = self.now.plus_seconds(-600);
        let revocation =
            Revocation { at: Timestamp::from_seconds(at.as_seconds()), reason: RevocationWhy::KeyCompromise };
        let entries: Vec<crl::Entry> =
            revoked.iter().map(|serial| crl::Entry { serial: *serial, revocation }).collect();
        let contents = crl::Contents {
            number,
            scope: &crl::Scope::All,
            kind: &crl::Kind::Complete { freshest: None },
            this_update: Timestamp::from_seconds(self.now.as_seconds()),
            next_update: self.now.plus_seconds(7 * 86_400),
            entries: &entries,
        };
        let list = crl::prepare(&pki.authority.root, &contents).unwrap().sign(&pki.keys).unwrap().der;
        let root = pki.authority.root.certificate().der();
        let contents = crate::makers::list::verify(&list, &[], root).unwrap();
        let (authority_sha256, list_sha256, list) = (sha256(root), sha256(&list), Blob(list));
        let action = Action::TakeMakerList { authority_sha256, issuers: Vec::new(), list };
        let statement = PEOPLE.sam.sign(self.now, action);
        let taken = Event::MakerListTaken {
            authority_sha256,
            issuers: Vec::new(),
            list_sha256,
            number: contents.number.map(|n| n.to_string()),
            this_update: contents.this_update.unwrap(),
            next_update: contents.next_update,
            statement,
        };
        self.add(StreamKind::System, StreamId::SYSTEM, PEOPLE.sam.id, taken);
        list_sha256
    }

    /// Its hardware spoke for it by the certificate with this serial number, and these lists were asked.
    pub fn show_maker(&mut self, serial: Serial, lists: Vec<Digest>) {
        let root = self.pki.authority.root.certificate();
        let certificate = MakerCertificate {
            issuer_sha256: crate::makers::list::issuer_sha256(root),
            serial: serial.to_string(),
        };
        let shown = Command::ShowMakerCertificates {
            endorsement_sha256: sha256(root.der()),
            certificates: vec![certificate],
            lists,
        };
        self.decide(vec![shown], OperatorId::from(StreamId::from(device())));
    }

    /// What follows from the lists for the device, as a round would record it.
    pub fn draw_from_lists(&mut self) {
        let hits = self.world().newly_listed().remove(&device()).unwrap_or_default();
        let command = |hit: crate::makers::Hit| Command::FindMakerRevocation(hit.into());
        self.decide(hits.into_iter().map(command).collect(), OperatorId::from_bytes([0; 16]));
    }

    pub fn attest(&mut self, kernel: &[u8]) {
        let facts = self.appraise(Purpose::Attest, kernel);
        self.decide(vec![Command::RecordAppraisal(facts)], OperatorId::from(StreamId::from(device())));
    }

    /// Fresh evidence, appraised as the server does.
    pub fn appraise(&mut self, purpose: Purpose, kernel: &[u8]) -> AppraisalFacts {
        let sealed = Sealed::new(ORIGIN, 1, &self.main);
        let checkpoint = SealedAt {
            size: sealed.size(),
            root: Digest(sealed.root().0),
            note: sealed.note().to_string(),
            superseded: None,
        };
        let reference = CheckpointRef { size: checkpoint.size, root: checkpoint.root.0 };
        let nonce = qualifying_data(purpose, &reference, *device().as_bytes(), CHANNEL);
        let clock = ClockInfo { clock: sealed.size() * 10_000, reset_count: 5, restart_count: 0, safe: true };
        let bytes = self.ak.evidence(kernel, &nonce, clock);
        let world = self.world();
        let device = world.devices.get(&device()).unwrap();
        let (firmware, models) = references(&world, device);
        let result = appraise(&Input {
            evidence: &TpmEvidence::parse(&bytes).unwrap(),
            ak: &self.ak.public,
            expected_nonce: &nonce,
            firmware: &firmware,
            models: &models,
            expect_model: ExpectModel::None,
            previous: device.evidence.as_ref().map(|e| clock_info(e.boot)),
            now: self.now.plus_seconds(10),
        });
        let facts = facts(&result, sha256(&bytes), &nonce, purpose, CHANNEL, &checkpoint).unwrap();
        self.evidence.push(bytes);
        facts
    }

    /// The gateway lets one reading through, and its log is anchored.
    pub fn read(&mut self) {
        let world = self.world();
        let known = world.devices.get(&device()).unwrap();
        let evidence = known.evidence.as_ref().unwrap();
        let heard_pos = self.main.len() as u64 - 1;
        let record = AccessRecord {
            decision: DecisionId::from_random([0xde; 16]),
            gateway: gateway(),
            device: Some(device()),
            certificate_sha256: known.certificates.first().map(|c| c.sha256),
            path: "fhir".to_owned(),
            interaction: "create Observation".to_owned(),
            allowed: true,
            verdict: Some(Verdict::Trusted),
            reasons: Vec::new(),
            policy: lanyard_domain::access::POLICY.to_owned(),
            evidence_pos: Some(evidence.pos),
            evidence_sha256: Some(evidence.sha256),
            firmware: evidence.firmware,
            model: evidence.model,
            heard_pos,
            request_sha256: Some(Digest([1; 32])),
            forwarded_sha256: Some(Digest([2; 32])),
        };
        let completed = Event::AccessCompleted {
            decision: record.decision,
            status: 201,
            location: Some("Observation/17".to_owned()),
            response_sha256: Digest([3; 32]),
        };
        let noise = AccessRecord {
            decision: DecisionId::from_random([0xdf; 16]),
            device: Some(other_device()),
            allowed: false,
            ..record.clone()
        };
        for (stream, event) in [
            (other_device(), Event::AccessDecided(Box::new(noise))),
            (device(), Event::AccessDecided(Box::new(record))),
            (device(), completed),
        ] {
            self.now = self.now.plus_seconds(1);
            self.gateway.push(Draft {
                kind: StreamKind::Device,
                stream: stream.into(),
                actor: OperatorId::from(StreamId::from(stream)),
                time: self.now,
                event,
                header_kind: None,
                erased: false,
            });
        }
        let anchored = Event::GatewayCheckpointAnchored {
            gateway: gateway(),
            size: 0,
            note: String::new(),
            note_sha256: Digest::default(),
            vkey: String::new(),
        };
        self.add(StreamKind::Gateway, gateway(), OperatorId::from_bytes([0; 16]), anchored);
    }

    /// The claim about the reading, as an honest exporter makes it.
    pub fn claim_of_reading(&self) -> Claim {
        let lines: Vec<Line> = self.sealed_gateway().leaves.iter().map(|l| l.line().unwrap()).collect();
        self.claim(Subject::Reading { decided: &lines[1], completed: &lines[2] })
    }

    /// The claim about the device's state at a time.
    pub fn claim_at(&self, at: Timestamp) -> Claim {
        self.claim(Subject::Device { at })
    }

    fn claim(&self, subject: Subject<'_>) -> Claim {
        let history = Sealed::new(ORIGIN, 1, &self.main).history();
        make_claim(&history, ORIGIN, device(), subject, self.now).unwrap()
    }

    pub fn sealed_gateway(&self) -> Sealed {
        Sealed::new(GATEWAY_ORIGIN, 2, &self.gateway)
    }

    /// The main log as it is exported: the gateway's anchor filled in, the export appended.
    pub fn sealed(&self, claim: &str, by: &Person) -> Sealed {
        let mut story = self.clone();
        let gateway_log = self.sealed_gateway();
        for draft in &mut story.main {
            if let Event::GatewayCheckpointAnchored { size, note, note_sha256, vkey, .. } = &mut draft.event
                && note.is_empty()
            {
                *size = gateway_log.size();
                *note = gateway_log.note().to_string();
                *note_sha256 = sha256(note.as_bytes());
                *vkey = gateway_log.vkey();
            }
        }
        let claim_sha256 = Claim::digest_of(claim);
        let statement = by.sign(self.now, Action::ExportEvidence { device: device(), claim_sha256 });
        story.add(StreamKind::Device, device(), by.id, Event::EvidenceExported { claim_sha256, statement });
        Sealed::new(ORIGIN, 1, &story.main)
    }

    /// The file, structurally good, whatever it means.
    pub fn bundle(&self, claim: &Claim) -> Vec<u8> {
        self.bundle_of(&claim.to_text().unwrap(), |_| true)
    }

    /// The file with only those leaves of the main log for which `shown` holds.
    pub fn bundle_of(&self, claim: &str, shown: impl Fn(&StoredLeaf) -> bool) -> Vec<u8> {
        let main = self.sealed(claim, &PEOPLE.sam);
        self.with_parts(claim, &main, |mut parts| {
            parts.main.retain(shown);
            put_together(parts).unwrap()
        })
    }

    /// A file of all leaves of the main log, for stories that the collector itself refuses.
    pub fn raw_bundle(&self, claim: &str) -> Vec<u8> {
        self.raw_builder(claim).build().unwrap()
    }

    /// The same with the gateway's log.
    pub fn raw_bundle_with_gateway(&self, claim: &str) -> Vec<u8> {
        let log = self.sealed_gateway();
        let mut builder = self.raw_builder(claim);
        let index = builder.sub_log(&log.vkey(), &log.note().to_string(), &[]).unwrap();
        add_all(&mut builder, index, &log);
        builder.build().unwrap()
    }

    fn raw_builder(&self, claim: &str) -> Builder {
        let main = self.sealed(claim, &PEOPLE.sam);
        let mut builder = Builder::new(claim.as_bytes().to_vec(), &main.vkey(), &main.note(), &[]).unwrap();
        add_all(&mut builder, 0, &main);
        builder
    }

    pub fn with_parts<T>(&self, claim: &str, main: &Sealed, then: impl FnOnce(Parts<'_>) -> T) -> T {
        let gateway_log = self.sealed_gateway();
        let mut note = main.note();
        note.push(witness().cosign(&note, 1_795_400_000).unwrap()).unwrap();
        let (note, vkey, gateway_note, gateway_vkey) =
            (note.to_string(), main.vkey(), gateway_log.note().to_string(), gateway_log.vkey());
        let witnesses = [witness().verifier().vkey()];
        let about_reading = Claim::parse(claim.as_bytes()).is_ok_and(|c| c.reading.is_some());
        let proof = |pos| gateway_log.proof(pos);
        let part = GatewayPart {
            vkey: &gateway_vkey,
            note: &gateway_note,
            leaves: gateway_log
                .leaves
                .iter()
                .filter(|l| l.header.stream == *device().as_bytes())
                .cloned()
                .collect(),
            proof: &proof,
        };
        then(Parts {
            claim,
            vkey: &vkey,
            note: &note,
            witnesses: &witnesses,
            main: main.leaves.clone(),
            proof: &|pos| main.proof(pos),
            gateway: about_reading.then_some(part),
            attachments: self.evidence.clone(),
        })
    }

    /// The first draft of the main log that fits, to be bent.
    pub fn find(&mut self, fits: impl Fn(&Event) -> bool) -> &mut Draft {
        self.main
            .iter_mut()
            .find(|d| fits(&d.event) && (d.kind != StreamKind::Device || d.stream == device().into()))
            .unwrap()
    }

    /// What the gateway decided.
    pub fn decided(&mut self) -> &mut AccessRecord {
        match &mut self.gateway[1].event {
            Event::AccessDecided(record) => record,
            _ => unreachable!(),
        }
    }
}

fn add_all(builder: &mut Builder, log: usize, sealed: &Sealed) {
    for leaf in &sealed.leaves {
        let opening = Opening { salt: &leaf.salt.unwrap(), payload: leaf.payload.as_ref().unwrap() };
        let proof = sealed.proof(leaf.header.pos).unwrap();
        builder.leaf(log, &leaf.entry, Some(opening), proof).unwrap();
    }
}

fn record(serial: &str) -> DeviceRecord {
    DeviceRecord {
        vendor: "Acme".to_owned(),
        model: "Pump 7".to_owned(),
        serial: serial.to_owned(),
        site: "north-campus".to_owned(),
        owner: "pumps@hospital.example".to_owned(),
        department: "ICU".to_owned(),
        purpose: "infusion".to_owned(),
        class: "infusion-pump".to_owned(),
        tier: Tier::High,
        ai: false,
        scopes: vec!["system/Observation.c".parse().unwrap()],
        ae_title: None,
        zone: "clinical".to_owned(),
        ek_sha256: None,
    }
}

/// The reader's trust: this log, this witness.
pub fn trust() -> TrustPolicy {
    TrustPolicy {
        main_log_vkeys: Some(vec![Sealed::new(ORIGIN, 1, &[]).vkey()]),
        witness_vkeys: vec![witness().verifier().vkey()],
        quorum: 1,
    }
}
