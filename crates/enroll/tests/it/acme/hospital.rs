//! An authority that issues to gateways by name, made through the public API only.

use std::sync::Arc;

use lanyard_domain::id::{GatewayId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_enroll::secret::{Secret, SecretId, SecretKey};
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::path::Anchors;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::tls::{self, AnchorStore, ClientCertificates, Clock, Gate, IdentityStore, Peers};
use rustls::ServerConfig;

pub struct Hospital {
    keys: Arc<MemoryKeys>,
    authority: Authority,
    naming: Naming,
}

/// The clients read the real clock, so these tests do too.
#[expect(clippy::disallowed_methods, reason = "the clients compare with the machine's clock")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(since.as_secs() as i64)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub fn record() -> StreamId {
    StreamId::from_bytes([2; 16])
}

pub fn secret(n: u8) -> Secret {
    SecretKey::new([7; 32]).derive(SecretId::from_random([n; 5]), record(), Timestamp::from_seconds(3))
}

impl Hospital {
    pub fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation = |label: &str| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random(random()),
        };
        let (root, issuing) = (generation("root-g1"), generation("issuing-g1"));
        let authority = Authority::create(&naming, &*keys, &root, &issuing, now()).unwrap();
        Self { keys, authority, naming }
    }

    pub fn root_pem(&self) -> String {
        self.authority.root.certificate().to_pem()
    }

    /// Leaf and issuing CA for these names.
    pub fn issue(&self, csr: &VerifiedCsr, names: &[String]) -> Vec<Vec<u8>> {
        let names = names.iter().map(|n| n.parse().unwrap()).collect();
        let subject = SubjectFacts::Gateway {
            id: GatewayId::from_random(random()),
            addresses: Addresses::new(names, vec![]).unwrap(),
        };
        let leaf = self.sign(ProfileName::GatewayServer, &subject, csr);
        vec![leaf.der().to_vec(), self.authority.issuing.certificate().der().to_vec()]
    }

    fn sign(&self, profile: ProfileName, subject: &SubjectFacts, csr: &VerifiedCsr) -> Certificate {
        let profile = Profile::new(profile, self.naming.clone());
        let (issuer, serial) = (&self.authority.issuing, Serial::from_random(random()));
        issue::prepare(&profile, csr, subject, issuer, Lifetime::Default, serial, now())
            .unwrap()
            .sign(&*self.keys)
            .unwrap()
    }

    /// TLS for `localhost`.
    pub fn tls(&self) -> ServerConfig {
        let label: KeyLabel = "server".parse().unwrap();
        let spki = self.keys.generate(&label, KeyKind::P256).unwrap();
        let csr = csr::build(&spki, "server", |m| self.keys.sign(&label, m)).unwrap();
        let addresses = Addresses::new(vec!["localhost".parse().unwrap()], vec![]).unwrap();
        let csr = csr::verify(&csr).unwrap();
        let leaf = self.sign(ProfileName::ControlServer, &SubjectFacts::Control { addresses }, &csr);
        let chain = [leaf, self.authority.issuing.certificate().clone()];
        let identity = IdentityStore::empty();
        identity.replace(&chain, self.keys.clone(), label).unwrap();
        let anchors = Anchors::new(vec![self.authority.root.certificate().clone()]).unwrap();
        let peers = Peers { anchors: AnchorStore::new(anchors), gate: Gate::any_valid() };
        tls::server_config(identity, peers, ClientCertificates::Optional, Clock::new(now)).unwrap()
    }
}
