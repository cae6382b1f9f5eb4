//! The world: what all events of the log fold to, in memory. Rebuilt from the log at start, moved on in log order by
//! the journal, never written by anything else.

use serde::{Deserialize, Serialize};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lanyard_domain::access::{DeviceView, ReleaseName};
use lanyard_domain::application::Application;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::device::{Device, OpenSecret, Recorded, Stage};
use lanyard_domain::endorsement::{EndorsementUse, accepted_for};
use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{
    ApplicationId, DeviceId, GatewayId, IssuanceId, OperatorId, ReleaseId, SecretId, StreamId,
};
use lanyard_domain::maintenance::Window;
use lanyard_domain::operator::Operator;
use lanyard_domain::release::{Release, ReleaseState};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Verdict, evaluate};
use lanyard_domain::watched::Watched;
use lanyard_pki::certificate::Certificate;

use crate::compromise::Compromise;
use crate::digest::{label_key, sha256};
use crate::inventory::Inventory;
use crate::names::Own;
use crate::snapshot::{shared, sorted};

/// A maker's endorsement authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endorsement {
    /// DER certificate.
    pub certificate: Vec<u8>,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Certified grade of what it endorses.
    pub grade: Option<String>,
    /// What it was accepted for.
    pub uses: Vec<EndorsementUse>,
}

impl Endorsement {
    /// Whether it was accepted for this.
    pub fn accepts(&self, wanted: EndorsementUse) -> bool {
        accepted_for(&self.uses, wanted)
    }
}

/// A gateway as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Which.
    pub id: GatewayId,
    /// Site slug.
    pub site: String,
    /// Its decision log's verifier key.
    pub vkey: String,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub spki_sha256: Digest,
    /// Names it serves.
    pub names: Vec<String>,
    /// Certificates that it may use.
    pub certificates: Vec<GatewayCertificate>,
    /// Its decision log as last anchored.
    pub anchored: Option<Anchored>,
    /// Ended by an admin; stays known, because its log lies under ours.
    pub removed: bool,
    /// Position of the admission.
    pub added_pos: u64,
    /// Events so far.
    pub seq: u64,
}

/// A certificate of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCertificate {
    /// Serial number, hex.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// Its end.
    pub not_after: Timestamp,
}

/// A checkpoint of a gateway's log that lies under the main log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Tree size of the gateway's log.
    pub size: u64,
    /// The note.
    pub note: String,
    /// Position of the anchoring leaf in the main log.
    pub pos: u64,
}

/// One of our authorities as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAuthority {
    /// Its name, and the label of its key.
    pub name: String,
    /// DER; empty while it is planned.
    pub certificate: Vec<u8>,
    /// What it is for.
    pub purpose: AuthorityPurpose,
    /// The site that it issues for; all without.
    pub site: Option<String>,
    /// Position of the decision that let it issue.
    pub activated: Option<u64>,
    /// Ended by a person.
    pub retired: bool,
    /// Who ordered it; may not activate it.
    pub planner: Option<OperatorId>,
    /// Where its key is.
    pub keys: KeyStore,
    /// The root (DER) of somebody else that its certificate must end in.
    pub under: Option<Vec<u8>>,
    /// What stands above a certificate that somebody else made (DER): its issuer first, the root last.
    pub above: Vec<Vec<u8>>,
}

/// An intent to sign for one of our own services or authorities, or for a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIntent {
    /// The serial number that the certificate would have.
    pub serial: String,
    /// The gateway that it is for; ourselves without.
    pub gateway: Option<GatewayId>,
}

/// A certificate profile as the log knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownProfile {
    /// The text in force.
    pub active: Option<String>,
    /// The text that waits for a second person, and who proposed it.
    pub proposed: Option<(String, OperatorId)>,
}

/// Who may have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A device.
    Device(DeviceId),
    /// An application.
    Application(ApplicationId),
}

impl From<Subject> for StreamId {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Device(id) => id.into(),
            Subject::Application(id) => id.into(),
        }
    }
}

/// An ACME account that speaks for a device or an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// For whom.
    pub subject: Subject,
    /// Its key, JSON (RFC 7517).
    pub jwk: String,
    /// What its address is made of: the thumbprint of its first key.
    pub first_sha256: Digest,
    /// Ended by its owner, or replaced by another key.
    pub ended: bool,
}

/// An RA's certificate is renewed every five days; clients that kept one for a month are still understood.
pub const MOST_RAS: usize = 7;

/// Everything that events fold to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Origin of the log, once it has started.
    pub origin: Option<String>,
    /// Next position.
    pub next_pos: u64,
    /// Time of the last event.
    pub last_time: Timestamp,
    /// Events so far in the system stream.
    pub system_seq: u64,
    /// Devices. In parts of their own in a snapshot.
    #[serde(skip)]
    pub devices: HashMap<DeviceId, Device>,
    #[serde(serialize_with = "sorted")]
    labels: HashMap<Digest, DeviceId>,
    #[serde(serialize_with = "sorted")]
    endorsement_keys: HashMap<Digest, DeviceId>,
    retiring: BTreeSet<DeviceId>,
    /// Releases.
    #[serde(serialize_with = "sorted")]
    pub releases: HashMap<ReleaseId, Release>,
    /// Operators.
    #[serde(serialize_with = "sorted")]
    pub operators: HashMap<OperatorId, Operator>,
    /// Events so far in each operator's stream.
    #[serde(serialize_with = "sorted")]
    pub operator_seq: HashMap<OperatorId, u64>,
    /// Position of each operator's first event.
    #[serde(serialize_with = "sorted")]
    pub operator_pos: HashMap<OperatorId, u64>,
    /// Endorsement authorities.
    #[serde(with = "shared")]
    pub endorsements: Vec<Arc<Endorsement>>,
    /// Gateways.
    #[serde(serialize_with = "sorted")]
    pub gateways: HashMap<GatewayId, Gateway>,
    /// Our authorities, newest last.
    pub authorities: Vec<KnownAuthority>,
    /// What was about to be signed for ourselves or a gateway, and is neither recorded nor given up.
    pub open_intents: BTreeMap<IssuanceId, OpenIntent>,
    /// Certificates of the RAs that answer SCEP, by authority, newest last; at most [`MOST_RAS`] of each.
    #[serde(serialize_with = "sorted")]
    pub ras: HashMap<String, Vec<Vec<u8>>>,
    /// The newest certificate of each authority's OCSP responder.
    #[serde(serialize_with = "sorted")]
    pub responders: HashMap<String, Vec<u8>>,
    /// Certificate profiles by name.
    pub profiles: BTreeMap<String, KnownProfile>,
    /// Maintenance windows by site.
    pub maintenance: BTreeMap<String, Vec<Window>>,
    /// Compromises of authorities, oldest first.
    pub compromises: Vec<Compromise>,
    /// Certificates that have not ended.
    pub inventory: Inventory,
    /// Servers whose certificates are watched, by address.
    pub watched: BTreeMap<String, Watched>,
    /// Applications.
    #[serde(serialize_with = "sorted")]
    pub applications: HashMap<ApplicationId, Application>,
    #[serde(serialize_with = "sorted")]
    application_names: HashMap<String, ApplicationId>,
    /// The control plane's own listeners.
    pub own: Own,
    #[serde(serialize_with = "sorted")]
    accounts: HashMap<Digest, Account>,
    #[serde(serialize_with = "sorted")]
    account_ids: HashMap<AccountKey, Digest>,
    #[serde(serialize_with = "sorted")]
    secrets: HashMap<SecretId, Subject>,
    serial_numbers: BTreeSet<(SerialKey, DeviceId)>,
}

/// Where an event came from: the parts of a leaf header that the fold needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Stream.
    pub stream: StreamId,
    /// Its kind code.
    pub stream_kind: u8,
    /// Position.
    pub pos: u64,
    /// Time.
    pub time: Timestamp,
    /// Who.
    pub actor: OperatorId,
}

/// What an event touched, so that it can be told to those who keep a view of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// A device.
    Device(DeviceId),
    /// A release: every device that runs it may have changed.
    Release(ReleaseId),
    /// A gateway.
    Gateway(GatewayId),
    /// So much that every view has to be taken anew.
    Everyone,
    /// Nothing that anyone keeps a view of.
    Nothing,
}

/// The first bytes of a serial number's digest: what a million devices' index is sorted by in 24 bytes each.
type SerialKey = [u8; 8];

fn serial_key(serial: &str) -> SerialKey {
    sha256(serial.as_bytes()).0.first_chunk().copied().unwrap_or_default()
}

/// What an account's address is made of.
pub type AccountKey = [u8; 16];

/// The address of the account whose first key this is: nothing else needs to be recorded.
pub fn account_id(first: &Digest) -> AccountKey {
    first.0.first_chunk().copied().unwrap_or_default()
}

/// Opens an intent, and closes the one that was carried out or given up.
fn settle(open: &mut BTreeMap<IssuanceId, OpenIntent>, gateway: Option<GatewayId>, event: Option<&Event>) {
    match event {
        Some(Event::IssuanceIntended { issuance, serial, .. }) => {
            open.insert(*issuance, OpenIntent { serial: serial.clone(), gateway });
        }
        Some(Event::GatewayCertified { serial, .. }) => {
            open.retain(|_, intent| intent.gateway != gateway || intent.serial != *serial);
        }
        // Its own serial number, which the event does not repeat, names the intent.
        Some(Event::AuthorityCreated { certificate, .. }) => {
            if let Ok(made) = Certificate::parse(&certificate.0) {
                let serial = made.serial().to_string();
                open.retain(|_, intent| intent.serial != serial);
            }
        }
        Some(
            Event::IssuanceAbandoned { issuance, .. }
            | Event::ServerCertified { issuance, .. }
            | Event::ResponderCertified { issuance, .. }
            | Event::RaCertified { issuance, .. },
        ) => {
            open.remove(issuance);
        }
        _ => {}
    }
}

impl World {
    /// Folds one event in. A payload that was erased folds as nothing but its place in the stream.
    pub fn apply(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        self.next_pos = origin.pos + 1;
        self.last_time = self.last_time.max(origin.time);
        let recorded = Recorded { pos: origin.pos, time: origin.time };
        match origin.stream_kind {
            k if k == StreamKind::Device as u8 => self.apply_device(origin, event, recorded),
            k if k == StreamKind::Release as u8 => self.apply_release(origin, event),
            k if k == StreamKind::Operator as u8 => self.apply_operator(origin, event),
            k if k == StreamKind::Gateway as u8 => self.apply_gateway(origin, event),
            k if k == StreamKind::Application as u8 => self.apply_application(origin, event, recorded),
            _ => self.apply_system(origin, event),
        }
    }

    fn apply_device(&mut self, origin: Origin, event: Option<&Event>, recorded: Recorded) -> Touched {
        let id = DeviceId::from(origin.stream);
        let secret = self.devices.get(&id).and_then(|d| d.secret.as_ref()).map(|s| s.id);
        self.apply_holdings(Subject::Device(id), secret, origin, event);
        let next = match (self.devices.remove(&id), event) {
            (Some(device), Some(event)) => Some(device.apply(event, origin.actor, recorded)),
            (Some(mut device), None) => {
                device.seq += 1;
                device.last_pos = origin.pos;
                Some(device)
            }
            (None, Some(event)) => Device::begin(id, event, origin.actor, recorded),
            (None, None) => None,
        };
        if let Some(device) = next {
            self.note_profile(&device.certificates, event);
            if device.seq == 1 {
                let key = label_key(&device.record.vendor, &device.record.model, &device.record.serial);
                self.labels.insert(key, id);
                self.serial_numbers.insert((serial_key(&device.record.serial), id));
            }
            if let Some(identity) = &device.identity {
                // The first owner keeps it: a second binding is refused before it is recorded (I2).
                if let Some(key) = identity.hardware_key() {
                    self.endorsement_keys.entry(key).or_insert(id);
                }
            }
            if device.stage == Stage::Retiring {
                self.retiring.insert(id);
            } else {
                self.retiring.remove(&id);
            }
            self.devices.insert(id, device);
        }
        Touched::Device(id)
    }

    /// Which profile a certificate was made by says the intent before it, which only its holder remembers.
    fn note_profile(&mut self, held: &[lanyard_domain::device::Certificate], event: Option<&Event>) {
        let Some(Event::CertificateIssued { serial, .. }) = event else { return };
        if let Some(made) = held.iter().rfind(|c| c.serial == *serial) {
            self.inventory.made_by(serial, &made.profile);
        }
    }

    fn bind_account(&mut self, key: Digest, subject: Subject, jwk: &str) {
        // The first owner keeps it: a second binding is refused before it is recorded.
        self.accounts.entry(key).or_insert_with(|| Account {
            subject,
            jwk: jwk.to_owned(),
            first_sha256: key,
            ended: false,
        });
        self.account_ids.entry(account_id(&key)).or_insert(key);
    }

    /// The address goes on to the successor (RFC 8555 7.3.5); the old key never gets another.
    fn end_account(&mut self, key: &Digest, successor: Option<&Digest>) {
        let Some(ended) = self.accounts.get_mut(key) else { return };
        ended.ended = true;
        let first = ended.first_sha256;
        if let Some((successor, account)) = successor.and_then(|s| Some((*s, self.accounts.get_mut(s)?))) {
            account.first_sha256 = first;
            self.account_ids.remove(&account_id(&successor));
            self.account_ids.insert(account_id(&first), successor);
        }
    }

    /// What devices and applications have alike: certificates, one-time secrets (`secret` is the last one), ACME accounts.
    fn apply_holdings(
        &mut self,
        subject: Subject,
        secret: Option<SecretId>,
        origin: Origin,
        event: Option<&Event>,
    ) {
        match event {
            Some(Event::CertificateIssued { certificate, serial, not_before, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (*not_before, *not_after));
            }
            Some(Event::CertificateRevoked { serial, reason }) => {
                self.inventory.revoke(serial, *reason, origin.time);
            }
            Some(Event::EnrollmentSecretIssued { secret: new, .. }) => {
                if let Some(before) = secret {
                    self.secrets.remove(&before);
                }
                self.secrets.insert(*new, subject);
            }
            Some(Event::AcmeAccountBound { account_sha256, jwk }) => {
                self.bind_account(*account_sha256, subject, jwk);
            }
            Some(Event::AcmeAccountEnded { account_sha256, successor }) => {
                self.end_account(account_sha256, successor.as_ref());
            }
            _ => {}
        }
    }

    fn apply_application(&mut self, origin: Origin, event: Option<&Event>, recorded: Recorded) -> Touched {
        let id = ApplicationId::from(origin.stream);
        let secret = self.applications.get(&id).and_then(|a| a.secret.as_ref()).map(|s| s.id);
        self.apply_holdings(Subject::Application(id), secret, origin, event);
        if let Some(Event::ApplicationRemoved { .. }) = event {
            self.application_names.retain(|_, of| *of != id);
            for account in self.accounts.values_mut().filter(|a| a.subject == Subject::Application(id)) {
                account.ended = true;
            }
        }
        let next = match (self.applications.remove(&id), event) {
            (Some(application), Some(event)) => Some(application.apply(event, recorded)),
            (Some(mut application), None) => {
                application.seq += 1;
                Some(application)
            }
            (None, Some(event)) => Application::begin(id, event, origin.actor),
            (None, None) => None,
        };
        if let Some(application) = next {
            self.note_profile(&application.certificates, event);
            if application.seq == 1 {
                for name in &application.record.dns {
                    self.application_names.insert(name.clone(), id);
                }
            }
            self.applications.insert(id, application);
        }
        Touched::Nothing
    }

    fn apply_release(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = ReleaseId::from(origin.stream);
        if let Some(Event::ReleaseProposed { record, .. }) = event {
            self.releases.insert(
                id,
                Release {
                    id,
                    record: record.clone(),
                    state: ReleaseState::Proposed,
                    proposer: origin.actor,
                    seq: 0,
                },
            );
        }
        if let Some(release) = self.releases.get_mut(&id) {
            release.seq += 1;
            match event {
                Some(Event::ReleaseApproved { .. }) => release.state = ReleaseState::Approved,
                Some(Event::ReleaseWithdrawn { .. }) => release.state = ReleaseState::Withdrawn,
                _ => {}
            }
        }
        Touched::Release(id)
    }

    fn apply_operator(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = OperatorId::from(origin.stream);
        *self.operator_seq.entry(id).or_default() += 1;
        match event {
            Some(Event::OperatorAdded { name, roles, public_key, .. }) => {
                let operator = Operator {
                    id,
                    name: name.clone(),
                    roles: roles.clone(),
                    public_key: *public_key,
                    active: true,
                };
                self.operators.insert(id, operator);
                self.operator_pos.insert(id, origin.pos);
            }
            Some(Event::OperatorRemoved { .. }) => {
                if let Some(operator) = self.operators.get_mut(&id) {
                    operator.active = false;
                }
            }
            _ => {}
        }
        Touched::Nothing
    }

    fn apply_gateway(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = GatewayId::from(origin.stream);
        if let Some(Event::GatewayAdded { site, vkey, spki_sha256, names, .. }) = event {
            self.gateways.insert(
                id,
                Gateway {
                    id,
                    site: site.clone(),
                    vkey: vkey.clone(),
                    spki_sha256: *spki_sha256,
                    names: names.clone(),
                    certificates: Vec::new(),
                    anchored: None,
                    removed: false,
                    added_pos: origin.pos,
                    seq: 0,
                },
            );
        }
        let Some(gateway) = self.gateways.get_mut(&id) else { return Touched::Nothing };
        gateway.seq += 1;
        settle(&mut self.open_intents, Some(id), event);
        match event {
            Some(Event::GatewayCertified { certificate_sha256, not_after, certificate, serial }) => {
                // How long a gateway's lives says its profile; its beginning is of no use to anyone but lists.
                let validity = (origin.time, *not_after);
                self.inventory.issued(
                    &certificate.0,
                    serial,
                    (origin.stream, origin.stream_kind),
                    (origin.pos, origin.time),
                    validity,
                );
                gateway.certificates.retain(|c| c.not_after > origin.time);
                gateway.certificates.push(GatewayCertificate {
                    serial: serial.clone(),
                    sha256: *certificate_sha256,
                    not_after: *not_after,
                });
            }
            Some(Event::CertificateRevoked { serial, reason }) => {
                gateway.certificates.retain(|c| c.serial != *serial);
                self.inventory.revoke(serial, *reason, origin.time);
            }
            Some(Event::GatewayRemoved { reason, .. }) => {
                gateway.removed = true;
                let reason = reason.unwrap_or(RevocationReason::Retired);
                for certificate in gateway.certificates.drain(..) {
                    self.inventory.revoke(&certificate.serial, reason, origin.time);
                }
            }
            Some(Event::GatewayCheckpointAnchored { size, note, .. }) => {
                gateway.anchored = Some(Anchored { size: *size, note: note.clone(), pos: origin.pos });
            }
            _ => {}
        }
        Touched::Gateway(id)
    }

    fn apply_system(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        self.system_seq += 1;
        settle(&mut self.open_intents, None, event);
        if let Some(event) = event {
            self.own.follow(event);
            if self.follow_compromise(origin, event) {
                return Touched::Everyone;
            }
        }
        match event {
            Some(Event::LedgerStarted { origin, .. }) => self.origin = Some(origin.clone()),
            Some(Event::ServerCertified { certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
            }
            Some(Event::ResponderCertified { authority, certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
                self.responders.insert(authority.clone(), certificate.0.clone());
            }
            Some(Event::RaCertified { authority, certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
                let of_it = self.ras.entry(authority.clone()).or_default();
                of_it.push(certificate.0.clone());
                if of_it.len() > MOST_RAS {
                    of_it.remove(0);
                }
            }
            Some(Event::ProfileProposed { name, text, .. }) => {
                self.profiles.entry(name.clone()).or_default().proposed = Some((text.clone(), origin.actor));
            }
            Some(Event::ProfileApproved { name, .. }) => {
                if let Some(known) = self.profiles.get_mut(name) {
                    known.active = known.proposed.take().map(|(text, _)| text).or(known.active.take());
                }
            }
            Some(Event::MaintenanceSet { site, windows, .. }) if windows.is_empty() => {
                self.maintenance.remove(site);
            }
            Some(Event::MaintenanceSet { site, windows, .. }) => {
                self.maintenance.insert(site.clone(), windows.clone());
            }
            Some(Event::ServerWatched { record, .. }) => {
                let new = || Watched::new(record.clone());
                let watched = self.watched.entry(record.address.clone()).or_insert_with(new);
                watched.record = record.clone();
            }
            Some(Event::ServerUnwatched { address, .. }) => {
                self.watched.remove(address);
            }
            Some(Event::ServerSeen { address, certificate }) => {
                if let Some(watched) = self.watched.get_mut(address) {
                    watched.seen = Some(certificate.clone());
                    watched.told.clear();
                }
            }
            Some(Event::WatchAlarmRaised { address, alarm, .. }) => {
                if let Some(watched) = self.watched.get_mut(address) {
                    watched.told.push(*alarm);
                }
            }
            Some(Event::AuthorityPlanned { name, purpose, site, keys, under, .. }) => {
                self.authorities.push(KnownAuthority {
                    name: name.clone(),
                    certificate: Vec::new(),
                    purpose: *purpose,
                    site: site.clone(),
                    activated: None,
                    retired: false,
                    planner: Some(origin.actor),
                    keys: *keys,
                    under: under.as_ref().map(|root| root.0.clone()),
                    above: Vec::new(),
                });
            }
            Some(Event::AuthorityImported { name, certificate, above, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.certificate = certificate.0.clone();
                    known.above = above.iter().map(|c| c.0.clone()).collect();
                }
            }
            Some(Event::AuthorityCreated { name, certificate, keys, .. }) => {
                self.authority_created(name, &certificate.0, *keys, origin.pos);
            }
            Some(Event::AuthorityActivated { name, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.activated = Some(origin.pos);
                }
            }
            Some(Event::AuthorityRetired { name, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.retired = true;
                }
            }
            Some(Event::EndorsementAdded { certificate, certificate_sha256, grade, uses, .. }) => {
                self.endorsements.push(Arc::new(Endorsement {
                    certificate: certificate.0.clone(),
                    sha256: *certificate_sha256,
                    grade: grade.clone(),
                    uses: uses.clone(),
                }));
            }
            _ => {}
        }
        Touched::Nothing
    }

    fn take_stock(
        &mut self,
        origin: Origin,
        certificate: &[u8],
        serial: &str,
        validity: (Timestamp, Timestamp),
    ) {
        let subject = (origin.stream, origin.stream_kind);
        self.inventory.issued(certificate, serial, subject, (origin.pos, origin.time), validity);
    }

    /// The first start's authorities come without a plan: a root, and an issuing one that is active at once.
    fn authority_created(&mut self, name: &str, certificate: &[u8], keys: KeyStore, pos: u64) {
        if let Some(planned) = self.authorities.iter_mut().find(|a| a.name == name) {
            planned.certificate = certificate.to_vec();
            return;
        }
        let root = name.starts_with("root");
        self.authorities.push(KnownAuthority {
            name: name.to_owned(),
            certificate: certificate.to_vec(),
            purpose: if root { AuthorityPurpose::Root } else { AuthorityPurpose::Devices },
            site: None,
            activated: (!root).then_some(pos),
            retired: false,
            planner: None,
            keys,
            under: None,
            above: Vec::new(),
        });
    }

    /// Where an authority is in its life: of those for one purpose and site, the one activated last issues.
    pub fn authority_state(&self, of: &KnownAuthority) -> AuthorityState {
        if of.retired {
            return AuthorityState::Retired;
        }
        if let Some(compromise) = self.compromise_of(&of.name) {
            return match compromise.ended {
                Some(_) => AuthorityState::Revoked,
                None => AuthorityState::Compromised,
            };
        }
        if of.certificate.is_empty() {
            return AuthorityState::Planned;
        }
        if of.purpose == AuthorityPurpose::Root {
            // Those of the first start were never ordered, and sign from the beginning.
            return match (of.planner, of.activated) {
                (Some(_), None) => AuthorityState::Created,
                _ => AuthorityState::Active,
            };
        }
        let Some(activated) = of.activated else { return AuthorityState::Created };
        let overtaken = self.authorities.iter().any(|other| {
            (other.purpose, &other.site) == (of.purpose, &of.site)
                && !other.retired
                && self.compromise_of(&other.name).is_none()
                && other.activated.is_some_and(|later| later > activated)
        });
        if overtaken { AuthorityState::Draining } else { AuthorityState::Active }
    }

    /// Whom a one-time secret was made for, and the secret, if it is the last one made for them.
    pub fn by_secret(&self, secret: SecretId) -> Option<(Subject, &OpenSecret)> {
        let subject = *self.secrets.get(&secret)?;
        let open = match subject {
            Subject::Device(id) => self.devices.get(&id)?.secret.as_deref(),
            Subject::Application(id) => self.applications.get(&id)?.secret.as_deref(),
        };
        open.filter(|s| s.id == secret).map(|open| (subject, open))
    }

    /// The ACME account of this key (its RFC 7638 thumbprint).
    pub fn account(&self, account_sha256: &Digest) -> Option<&Account> {
        self.accounts.get(account_sha256)
    }

    /// The account at this address: the first half of its first key's thumbprint; and the thumbprint of its key now.
    pub fn account_at(&self, id: &AccountKey) -> Option<(Digest, &Account)> {
        let key = self.account_ids.get(id)?;
        self.accounts.get(key).map(|account| (*key, account))
    }

    /// The application that serves a DNS name.
    pub fn by_name(&self, dns: &str) -> Option<&Application> {
        self.application_names.get(dns).and_then(|id| self.applications.get(id))
    }

    /// Devices registered under this maker's serial number, whatever vendor and model.
    pub fn by_serial_number(&self, serial: &str) -> impl Iterator<Item = &Device> + '_ {
        let (key, serial) = (serial_key(serial), serial.to_owned());
        self.serial_numbers
            .range((key, DeviceId::from_bytes([0; 16]))..)
            .take_while(move |(found, _)| *found == key)
            .filter_map(|(_, id)| self.devices.get(id))
            .filter(move |device| device.record.serial == serial)
    }

    /// The device that was registered under this label.
    pub fn by_label(&self, vendor: &str, model: &str, serial: &str) -> Option<&Device> {
        self.labels.get(&label_key(vendor, model, serial)).and_then(|id| self.devices.get(id))
    }

    /// The device that an endorsement key belongs to, retired ones included.
    pub fn by_endorsement_key(&self, ek_sha256: &Digest) -> Option<DeviceId> {
        self.endorsement_keys.get(ek_sha256).copied()
    }

    /// Devices whose retirement still has to be proven.
    pub fn retiring(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.retiring.iter().copied()
    }

    /// The device that one of its current certificates names by thumbprint.
    pub fn holds(&self, device: DeviceId, certificate: &Digest) -> Option<&Device> {
        let is_it = |c: &lanyard_domain::device::Certificate| c.sha256 == *certificate && self.stands(c);
        self.devices.get(&device).filter(|d| d.certificates.iter().any(is_it))
    }

    /// Devices whose last evidence matched `release`.
    pub fn running(&self, release: ReleaseId) -> Vec<DeviceId> {
        let runs = |d: &&Device| {
            d.evidence.as_ref().is_some_and(|e| e.firmware == Some(release) || e.model == Some(release))
        };
        self.devices.values().filter(runs).map(|d| d.id).collect()
    }

    /// What an enforcement point keeps of a device.
    pub fn view(&self, device: &Device, now: Timestamp) -> DeviceView {
        let trust = evaluate(device, &self.releases, now);
        let name = |id: Option<ReleaseId>| {
            id.and_then(|id| self.releases.get(&id))
                .map(|r| ReleaseName { id: r.id, version: r.record.version.clone() })
        };
        let evidence = device.evidence.as_ref();
        // Degraded by time alone is left to the enforcement point's own clock: the view would age otherwise.
        let by_time_only = trust.verdict == Verdict::Degraded;
        DeviceView {
            device: device.id,
            site: device.record.site.clone(),
            vendor: device.record.vendor.clone(),
            model: device.record.model.clone(),
            serial: device.record.serial.clone(),
            tier: device.record.tier,
            ai: device.record.ai,
            scopes: device.record.scopes.clone(),
            verdict: if by_time_only { Verdict::Trusted } else { trust.verdict },
            reasons: if by_time_only { Vec::new() } else { trust.reasons },
            fresh_until: trust.fresh_until,
            untrusted_after: trust.untrusted_after,
            certificates: device.certificates.iter().filter(|c| self.stands(c)).map(|c| c.sha256).collect(),
            firmware: name(evidence.and_then(|e| e.firmware)),
            ai_model: name(evidence.and_then(|e| e.model)),
            evidence_pos: evidence.map(|e| e.pos),
            evidence_sha256: evidence.map(|e| e.sha256),
            as_of: device.last_pos,
        }
    }

    /// Digest of the policy in force, as it stands in leaf headers (I4).
    pub fn policy_digest() -> Digest {
        sha256(lanyard_domain::access::POLICY.as_bytes())
    }
}
