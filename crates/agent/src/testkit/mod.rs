//! Test kit: software TPMs of one maker, an installation's CA, and a control plane that checks what it is sent.

mod plane;

use std::sync::{Arc, LazyLock};

use lanyard_api::clock::Clock;
use lanyard_api::device::{Issued, Standing};
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{Lifetime, prepare};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::path::Anchors;
use lanyard_pki::profile::template::Template;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::tls;

use crate::tpm::soft::{MakerCa, SoftTpm};
use crate::tpm::{KeySlot, RootOfTrust};

pub(crate) use plane::{Fail, Plane};

pub(crate) const DEVICE: DeviceId = DeviceId::from_bytes([0x41; 16]);

static MAKER: LazyLock<MakerCa> =
    LazyLock::new(|| MakerCa::new("Acme Chips", Timestamp::from_seconds(1_700_000_000)).unwrap());
static HOSPITAL: LazyLock<Hospital> = LazyLock::new(Hospital::new);

struct Hospital {
    naming: Naming,
    keys: Arc<MemoryKeys>,
    authority: Authority,
}

fn serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

impl Hospital {
    fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation =
            |label: &str| Generation { number: 1, label: label.parse().unwrap(), serial: serial() };
        let (root, issuing) = (generation("root"), generation("issuing"));
        let authority = Authority::create(&naming, &*keys, &root, &issuing, Clock::system().now()).unwrap();
        Self { naming, keys, authority }
    }

    fn certify(&self, profile: &Profile, csr: &VerifiedCsr, subject: &SubjectFacts) -> Certificate {
        let (now, issuer) = (Clock::system().now(), &self.authority.issuing);
        let prepared = prepare(profile, csr, subject, issuer, Lifetime::Default, serial(), now).unwrap();
        prepared.sign(&*self.keys).unwrap()
    }

    fn anchors(&self) -> Anchors {
        Anchors::new(vec![self.authority.root.certificate().clone()]).unwrap()
    }
}

pub(crate) fn soft_tpm() -> SoftTpm {
    SoftTpm::in_memory(&MAKER, "chip", "1").unwrap()
}

pub(crate) fn anchors_pem() -> String {
    HOSPITAL.authority.root.certificate().to_pem()
}

/// A certificate for the key in `slot`, as the control plane would answer.
pub(crate) fn issue(root: &dyn RootOfTrust, slot: KeySlot) -> Issued {
    let public = Public::parse(&root.load_tls_key(slot).unwrap()).unwrap();
    let request = csr::build(&spki_der(&public), "device", |m| root.sign_tls(slot, m)).unwrap();
    issued(&csr::verify(&request).unwrap(), standing(300))
}

pub(crate) fn issued(csr: &VerifiedCsr, standing: Standing) -> Issued {
    let profile = Profile::new(ProfileName::DeviceLdevid, HOSPITAL.naming.clone());
    let leaf = HOSPITAL.certify(&profile, csr, &SubjectFacts::Device { id: DEVICE });
    Issued {
        device: DEVICE,
        chain_pem: leaf.to_pem() + &HOSPITAL.authority.issuing.certificate().to_pem(),
        renew_at: Timestamp::from_seconds(2_000_000_000),
        not_after: Timestamp::from_seconds(2_100_000_000),
        standing,
    }
}

pub(crate) fn standing(next_in_seconds: u32) -> Standing {
    Standing {
        verdict: Verdict::Trusted,
        reasons: vec![],
        restore: vec![],
        next_in_seconds,
        stage: "in_service".into(),
        pos: 7,
        level: "durable".into(),
        renew_at: None,
    }
}

const APPLICATION: &str = "name = 'server'\ndescription = 'a server'\nsubject = 'application'\n\
    names.alternative = ['uri-id', 'machine-dns', 'ip']\nusage.purposes = ['serverAuth']\n";

/// What the server at 127.0.0.1 shows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Control,
    Gateway,
    /// An application of the hospital, with a good certificate for the address that is dialled.
    Application,
}

pub(crate) fn server_config(role: Role, gate: tls::Gate) -> rustls::ServerConfig {
    let label: KeyLabel = format!("server-{}", serial()).parse().unwrap();
    let spki = HOSPITAL.keys.generate(&label, KeyKind::P256).unwrap();
    let request = csr::build(&spki, "server", |m| HOSPITAL.keys.sign(&label, m)).unwrap();
    let request = csr::verify(&request).unwrap();
    let addresses = Addresses::new(vec![], vec!["127.0.0.1".parse().unwrap()]).unwrap();
    let naming = HOSPITAL.naming.clone();
    let (profile, subject) = match role {
        Role::Control => {
            (Profile::new(ProfileName::ControlServer, naming), SubjectFacts::Control { addresses })
        }
        Role::Gateway => {
            let id = GatewayId::from_bytes([0x42; 16]);
            (Profile::new(ProfileName::GatewayServer, naming), SubjectFacts::Gateway { id, addresses })
        }
        Role::Application => {
            let id = Some(ApplicationId::from_bytes([0x43; 16]));
            let template = Template::parse(APPLICATION).unwrap();
            (template.profile(None, naming, None).unwrap(), SubjectFacts::Application { id, addresses })
        }
    };
    let leaf = HOSPITAL.certify(&profile, &request, &subject);
    let identity = tls::IdentityStore::empty();
    let chain = [leaf, HOSPITAL.authority.issuing.certificate().clone()];
    identity.replace(&chain, HOSPITAL.keys.clone(), label).unwrap();
    let peers = tls::Peers { anchors: tls::AnchorStore::new(HOSPITAL.anchors()), gate };
    let clock = tls::Clock::new(|| Clock::system().now());
    tls::server_config(identity, peers, tls::ClientCertificates::Optional, clock).unwrap()
}
