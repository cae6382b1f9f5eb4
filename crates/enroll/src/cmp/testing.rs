//! A hospital for unit tests: authority, CMP signer, devices, secrets, and messages that may be anything.

use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::PublicKey;

use super::Fresh;
use super::crmf::{self, CertificateId};
use super::header::{CMP2000, Header};
use super::mac::MacAlgorithm;
use super::message::{Kind, Unprotected};
use super::name::{NULL_DN, common_name};
use super::server::{Draft, Endpoint, NotReceived, Policy, Refusal, Request, Server};
use super::tlv::write_plain_algorithm;
use super::transactions::Transactions;
use crate::Reply;
use crate::secret::{Secret, SecretId, SecretKey};

/// 2026-11-27T12:00:00Z
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_780_800);

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn fresh() -> Fresh {
    Fresh::from_random(random())
}

pub(crate) fn secret(n: u8) -> Secret {
    let key = SecretKey::new([7; 32]);
    key.derive(SecretId::from_random([n; 5]), StreamId::from_bytes([n; 16]), Timestamp::from_seconds(3))
}

/// A certificate and its key's label.
pub(crate) struct Device {
    pub label: KeyLabel,
    pub certificate: Certificate,
}

pub(crate) struct Hospital {
    pub keys: MemoryKeys,
    pub authority: Authority,
    naming: Naming,
    pub signer: Device,
    pub device: Device,
}

impl Hospital {
    pub(crate) fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = MemoryKeys::default();
        let generation = |label: &str| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random(random()),
        };
        let authority =
            Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), NOW)
                .unwrap();
        let addresses = Addresses::new(vec!["lanyard.hospital.example".parse().unwrap()], vec![]).unwrap();
        let control = (ProfileName::ControlServer, SubjectFacts::Control { addresses });
        let make = |label: &str, (profile, subject): (ProfileName, SubjectFacts)| {
            let label: KeyLabel = label.parse().unwrap();
            let csr = verified(&keys, &label);
            let certificate = issue_with(&keys, &authority, &naming, (profile, &subject), &csr);
            Device { label, certificate }
        };
        let signer = make("cmp", control);
        let id = DeviceId::from_random([0xd1; 16]);
        let device = make("device", (ProfileName::DeviceLdevid, SubjectFacts::Device { id }));
        Self { keys, authority, naming, signer, device }
    }

    pub(crate) fn issue(&self, csr: &VerifiedCsr) -> Certificate {
        let id = DeviceId::from_random([0xd1; 16]);
        let subject = SubjectFacts::Device { id };
        issue_with(&self.keys, &self.authority, &self.naming, (ProfileName::DeviceLdevid, &subject), csr)
    }

    pub(crate) fn chain(&self, csr: &VerifiedCsr) -> Vec<Vec<u8>> {
        vec![self.issue(csr).der().to_vec(), self.issuing().der().to_vec()]
    }

    pub(crate) fn another_device(&self, label: &str) -> Device {
        let label: KeyLabel = label.parse().unwrap();
        let csr = verified(&self.keys, &label);
        Device { certificate: self.issue(&csr), label }
    }

    pub(crate) fn issuing(&self) -> &Certificate {
        self.authority.issuing.certificate()
    }

    pub(crate) fn root(&self) -> &Certificate {
        self.authority.root.certificate()
    }

    pub(crate) fn new_key(&self, kind: KeyKind) -> (KeyLabel, Vec<u8>) {
        let label: KeyLabel = format!("k{}", data_encoding::HEXLOWER.encode(&random::<8>())).parse().unwrap();
        let spki = self.keys.generate(&label, kind).unwrap();
        (label, spki)
    }

    pub(crate) fn server(&self, policy: Policy) -> Server {
        let chain = vec![self.signer.certificate.clone(), self.issuing().clone()];
        Server::new(chain, vec![self.root().clone()], policy).unwrap()
    }

    pub(crate) fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.keys.sign(label, message)
    }

    pub(crate) fn finish(&self, server: &Server, draft: Draft) -> Reply {
        draft.sign(server, |m| self.sign(&self.signer.label, m)).unwrap()
    }

    /// CertReqMessages for a new key, and the key's label.
    pub(crate) fn cert_req(&self, old: Option<&CertificateId>) -> Vec<u8> {
        let (label, spki) = self.new_key(KeyKind::P256);
        let key = PublicKey::parse(&spki).unwrap();
        let request = crmf::write_request(&key, &common_name("pump"), old);
        crmf::write(&key, &request, &self.sign(&label, &request).unwrap())
    }
}

fn verified(keys: &MemoryKeys, label: &KeyLabel) -> VerifiedCsr {
    let spki = keys.generate(label, KeyKind::P256).unwrap();
    csr::verify(&csr::build(&spki, "test", |m| keys.sign(label, m)).unwrap()).unwrap()
}

fn issue_with(
    keys: &MemoryKeys,
    authority: &Authority,
    naming: &Naming,
    (profile, subject): (ProfileName, &SubjectFacts),
    csr: &VerifiedCsr,
) -> Certificate {
    let profile = Profile::new(profile, naming.clone());
    let serial = Serial::from_random(random());
    issue::prepare(&profile, csr, subject, &authority.issuing, Lifetime::Default, serial, NOW)
        .unwrap()
        .sign(keys)
        .unwrap()
}

/// A message to be, all of it open to change.
pub(crate) struct Letter {
    pub header: Header,
    pub kind: Kind,
    pub content: Vec<u8>,
    pub extra: Vec<Vec<u8>>,
}

impl Letter {
    pub(crate) fn new(kind: Kind, content: Vec<u8>) -> Self {
        let header = Header {
            version: CMP2000,
            sender: Some(NULL_DN.to_vec()),
            recipient: Some(NULL_DN.to_vec()),
            time: Some(NOW),
            protection: None,
            sender_key_id: None,
            transaction: Some(random::<16>().to_vec()),
            sender_nonce: Some(random::<16>().to_vec()),
            recipient_nonce: None,
            implicit_confirm: false,
            confirm_by: None,
            profile: None,
        };
        Self { header, kind, content, extra: Vec::new() }
    }

    /// The next message of the transaction that `reply` belongs to.
    pub(crate) fn after(reply: &Header, kind: Kind, content: Vec<u8>) -> Self {
        let mut letter = Self::new(kind, content);
        letter.header.transaction = reply.transaction.clone();
        letter.header.recipient_nonce = reply.sender_nonce.clone();
        letter
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Header)) -> Self {
        edit(&mut self.header);
        self
    }

    /// Protected with a secret.
    pub(crate) fn mac(mut self, secret: &Secret) -> Vec<u8> {
        let algorithm = MacAlgorithm::pbm(&[9; 16]);
        self.header.sender_key_id.get_or_insert_with(|| secret.id().to_string().into_bytes());
        self.header.protection.get_or_insert_with(|| algorithm.to_der());
        let message = Unprotected::new(&self.header, self.kind, &self.content);
        let tag = algorithm.tag(secret.reveal().as_bytes(), &message.protected());
        message.with(&tag, &[])
    }

    /// Addressed as a message that this device signs.
    pub(crate) fn by(mut self, device: &Device, hospital: &Hospital) -> Self {
        let mut algorithm = Vec::new();
        write_plain_algorithm(&mut algorithm, &super::oid::ECDSA_WITH_SHA256);
        self.header.sender = Some(device.certificate.subject_der().to_vec());
        self.header.sender_key_id = device.certificate.subject_key_id().map(<[u8]>::to_vec);
        self.header.protection = Some(algorithm);
        self.extra = vec![device.certificate.der().to_vec(), hospital.issuing().der().to_vec()];
        self
    }

    pub(crate) fn sign(self, hospital: &Hospital, label: &KeyLabel) -> Vec<u8> {
        let message = Unprotected::new(&self.header, self.kind, &self.content);
        let signature = hospital.sign(label, &message.protected()).unwrap();
        let extra: Vec<&[u8]> = self.extra.iter().map(Vec::as_slice).collect();
        message.with(&signature, &extra)
    }

    /// Addressed and signed.
    pub(crate) fn signed(self, hospital: &Hospital, device: &Device) -> Vec<u8> {
        self.by(device, hospital).sign(hospital, &device.label)
    }
}

/// The first three steps of the server over `/.well-known/cmp`.
pub(crate) fn ask(
    server: &Server,
    transactions: &mut Transactions,
    message: &[u8],
    secret: Option<&Secret>,
    now: Timestamp,
) -> Result<Request, Refusal> {
    let received = match server.receive(message, Some(super::CONTENT_TYPE), &Endpoint::default(), now) {
        Ok(received) => received,
        Err(NotReceived::Refused(refused)) => return Err(refused.refusal().clone()),
        Err(NotReceived::Rejected(rejected)) => panic!("{rejected}"),
    };
    received
        .verify(secret)
        .and_then(|verified| verified.accept(server, transactions, now))
        .map_err(|refused| refused.refusal().clone())
}
