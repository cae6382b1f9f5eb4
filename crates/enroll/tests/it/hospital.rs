//! A small hospital made through the public API only: authority, CMP signer, devices, secrets.

use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_enroll::secret::{Secret, SecretId, SecretKey};
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

pub struct Hospital {
    pub keys: MemoryKeys,
    pub authority: Authority,
    naming: Naming,
    pub signer: Certificate,
    pub signer_label: KeyLabel,
}

/// The peers read the real clock, so these tests do too.
#[expect(clippy::disallowed_methods, reason = "openssl compares with the machine's clock")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(since.as_secs() as i64)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub fn secret(n: u8) -> Secret {
    let key = SecretKey::new([7; 32]);
    key.derive(SecretId::from_random([n; 5]), StreamId::from_bytes([n; 16]), Timestamp::from_seconds(3))
}

impl Hospital {
    pub fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = MemoryKeys::default();
        let generation = |label: &str| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random(random()),
        };
        let authority =
            Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), now())
                .unwrap();
        let signer_label: KeyLabel = "cmp".parse().unwrap();
        let csr = verified(&keys, &signer_label);
        let addresses = Addresses::new(vec!["lanyard.hospital.example".parse().unwrap()], vec![]).unwrap();
        let subject = SubjectFacts::Control { addresses };
        let signer = issue_with(&keys, &authority, &naming, (ProfileName::ControlServer, &subject), &csr);
        Self { keys, authority, naming, signer, signer_label }
    }

    pub fn device_id() -> DeviceId {
        DeviceId::from_random([0xd1; 16])
    }

    /// A device certificate for this key.
    pub fn issue(&self, csr: &VerifiedCsr) -> Certificate {
        let subject = SubjectFacts::Device { id: Self::device_id() };
        issue_with(&self.keys, &self.authority, &self.naming, (ProfileName::DeviceLdevid, &subject), csr)
    }

    pub fn chain(&self, csr: &VerifiedCsr) -> Vec<Vec<u8>> {
        vec![self.issue(csr).der().to_vec(), self.issuing().der().to_vec()]
    }

    pub fn issuing(&self) -> &Certificate {
        self.authority.issuing.certificate()
    }

    pub fn root(&self) -> &Certificate {
        self.authority.root.certificate()
    }

    /// A key and a certificate for it.
    pub fn device(&self, label: &str) -> (KeyLabel, Certificate) {
        let label: KeyLabel = label.parse().unwrap();
        let csr = verified(&self.keys, &label);
        (label, self.issue(&csr))
    }

    pub fn new_key(&self, label: &str, kind: KeyKind) -> (KeyLabel, Vec<u8>) {
        let label: KeyLabel = label.parse().unwrap();
        let spki = self.keys.generate(&label, kind).unwrap();
        (label, spki)
    }

    pub fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.keys.sign(label, message)
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
    issue::prepare(&profile, csr, subject, &authority.issuing, Lifetime::Default, serial, now())
        .unwrap()
        .sign(keys)
        .unwrap()
}
