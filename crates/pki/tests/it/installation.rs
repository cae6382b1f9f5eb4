//! A small hospital made through the public API only.

use lanyard_domain::id::{DeviceId, GatewayId};
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{self, Authority, Generation, Issuer};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::ocsp;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

/// 2026-11-22T12:00:00Z
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);

pub struct Installation {
    pub keys: MemoryKeys,
    pub authority: Authority,
    naming: Naming,
}

pub fn random_serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

impl Installation {
    pub fn new() -> Self {
        let naming = Self::naming();
        let keys = MemoryKeys::default();
        let generation =
            |label: &str| Generation { number: 1, label: label.parse().unwrap(), serial: random_serial() };
        let authority =
            Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), NOW)
                .unwrap();
        Self { keys, authority, naming }
    }

    pub fn naming() -> Naming {
        Naming::new("General Hospital", "hospital.example").unwrap()
    }

    /// With authorities whose keys are of these kinds.
    pub fn of_kinds(root: KeyKind, issuing: KeyKind) -> Self {
        let naming = Self::naming();
        let keys = MemoryKeys::default();
        let generation = |label: &str, kind| {
            let label: KeyLabel = label.parse().unwrap();
            keys.generate(&label, kind).unwrap();
            Generation { number: 1, label, serial: random_serial() }
        };
        let (root, issuing) = (generation("root-g1", root), generation("issuing-g1", issuing));
        let prepared = authority::prepare_root(&naming, &root, &keys, NOW).unwrap();
        let root = Issuer::new(prepared.sign(&keys).unwrap(), root.label, &keys).unwrap();
        let prepared = authority::prepare_issuing(&naming, &issuing, &root, None, &keys, NOW).unwrap();
        let issuing = Issuer::new(prepared.sign(&keys).unwrap(), issuing.label, &keys).unwrap();
        Self { keys, authority: Authority { root, issuing }, naming }
    }

    pub fn device_id() -> DeviceId {
        DeviceId::from_random([0xd1; 16])
    }

    pub fn subjects() -> [(ProfileName, SubjectFacts); 3] {
        let addresses = Addresses::new(
            vec!["lanyard.hospital.example".parse().unwrap()],
            vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        )
        .unwrap();
        let gateway =
            SubjectFacts::Gateway { id: GatewayId::from_random([0x6a; 16]), addresses: addresses.clone() };
        [
            (ProfileName::DeviceLdevid, SubjectFacts::Device { id: Self::device_id() }),
            (ProfileName::GatewayServer, gateway),
            (ProfileName::ControlServer, SubjectFacts::Control { addresses }),
        ]
    }

    pub fn csr(&self) -> VerifiedCsr {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        let spki = self.keys.generate(&label, KeyKind::P256).unwrap();
        csr::verify(&csr::build(&spki, "test", |m| self.keys.sign(&label, m)).unwrap()).unwrap()
    }

    pub fn issue(&self, profile: ProfileName, subject: &SubjectFacts, csr: &VerifiedCsr) -> Certificate {
        let profile = Profile::new(profile, self.naming.clone());
        let issuer = &self.authority.issuing;
        issue::prepare(&profile, csr, subject, issuer, Lifetime::Default, random_serial(), NOW)
            .unwrap()
            .sign(&self.keys)
            .unwrap()
    }

    /// A delegated OCSP responder of the issuing CA, and the label of its key.
    pub fn ocsp_responder(&self) -> (KeyLabel, Certificate) {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        self.keys.generate(&label, KeyKind::P256).unwrap();
        let issuer = &self.authority.issuing;
        let prepared =
            ocsp::prepare_responder(&self.naming, &label, issuer, random_serial(), &self.keys, NOW).unwrap();
        (label, prepared.sign(&self.keys).unwrap())
    }

    pub fn scep_ra(&self) -> Certificate {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        self.keys.generate_to_decrypt(&label, KeyKind::Rsa2048).unwrap();
        let issuer = &self.authority.issuing;
        authority::prepare_ra(&self.naming, &label, issuer, random_serial(), &self.keys, NOW)
            .unwrap()
            .sign(&self.keys)
            .unwrap()
    }

    pub fn device(&self) -> Certificate {
        let (profile, subject) = Self::subjects()[0].clone();
        self.issue(profile, &subject, &self.csr())
    }
}
