//! A hospital's CA and an EST server around the engine, as small as the tests allow: it knows one secret, and grants
//! what the test says.

use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_enroll::est::client::{Answer, Outgoing, REASON};
use lanyard_enroll::est::keygen::{self, MadeKey};
use lanyard_enroll::est::{Base64Style, Credential, CsrTemplate, Incoming, Request, Wish, parse, render};
use lanyard_enroll::secret::{Secret, SecretId, SecretKey};
use lanyard_enroll::{Authentication, EnrollmentRequest, Outcome, Reply};
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::oid;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};

/// 2026-11-22T12:00:00Z
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);
/// This connection's channel binding.
pub const BINDING: [u8; 32] = [0xcb; 32];

pub struct Hospital {
    pub keys: MemoryKeys,
    pub authority: Authority,
    naming: Naming,
}

/// A request and its key.
pub struct Made {
    pub csr: Vec<u8>,
    pub key: PublicKey,
}

fn random_serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

impl Hospital {
    pub fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = MemoryKeys::default();
        let generation =
            |label: &str| Generation { number: 1, label: label.parse().unwrap(), serial: random_serial() };
        let authority =
            Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), NOW)
                .unwrap();
        Self { keys, authority, naming }
    }

    pub fn secret() -> Secret {
        let key = SecretKey::new([7; 32]);
        key.derive(SecretId::from_random([1; 5]), StreamId::from_bytes([2; 16]), NOW.plus_seconds(3600))
    }

    pub fn make(&self, kind: KeyKind) -> Made {
        let label: KeyLabel = format!("k{}", random_serial()).parse().unwrap();
        let spki = self.keys.generate(&label, kind).unwrap();
        let csr = csr::build(&spki, "pump 7", |m| self.keys.sign(&label, m)).unwrap();
        Made { csr, key: PublicKey::parse(&spki).unwrap() }
    }

    /// The leaf and its issuer.
    pub fn issue(&self, request: &EnrollmentRequest) -> Outcome {
        let profile = Profile::new(ProfileName::DeviceLdevid, self.naming.clone());
        let subject = SubjectFacts::Device { id: DeviceId::from_random([0xd1; 16]) };
        let issuer = &self.authority.issuing;
        let prepared =
            issue::prepare(&profile, &request.csr, &subject, issuer, Lifetime::Default, random_serial(), NOW);
        let leaf = prepared.unwrap().sign(&self.keys).unwrap();
        let chain = [leaf.der().to_vec(), issuer.certificate().der().to_vec()];
        Outcome::Issued { chain: chain.to_vec() }
    }

    pub fn issued(&self) -> Certificate {
        let made = self.make(KeyKind::P256);
        let request = EnrollmentRequest {
            protocol: lanyard_enroll::Protocol::Est,
            profile: None,
            csr: csr::verify(&made.csr).unwrap(),
            authentication: Authentication::Certificate(Vec::new()),
        };
        let Outcome::Issued { chain } = self.issue(&request) else { panic!("not issued") };
        Certificate::parse(&chain[0]).unwrap()
    }

    /// The CA's certificates.
    pub fn bundle(&self) -> Vec<Vec<u8>> {
        let authority = &self.authority;
        [&authority.issuing, &authority.root].map(|issuer| issuer.certificate().der().to_vec()).to_vec()
    }

    /// What the server layer does with a request; `decide` stands for the use case.
    pub fn answer(&self, incoming: &Incoming<'_>, decide: impl Fn(&EnrollmentRequest) -> Outcome) -> Reply {
        match parse(incoming) {
            Err(error) => error.reply(),
            Ok(request) => self.grant(request, decide),
        }
    }

    fn grant(&self, request: Request, decide: impl Fn(&EnrollmentRequest) -> Outcome) -> Reply {
        let Request { label, style, wish } = request;
        match wish {
            Wish::CaCertificates => {
                let bundle = self.bundle();
                render::ca_certificates(&bundle.iter().map(Vec::as_slice).collect::<Vec<_>>(), style)
            }
            Wish::CsrAttributes => match label {
                None => render::csr_attributes(None, style),
                Some(_) => render::csr_attributes(Some(&template()), style),
            },
            Wish::Enroll(enroll) => match prove(&enroll.credential) {
                Err(refused) => render::outcome(&refused, style),
                Ok(proven) => render::outcome(&decide(&enroll.into_request(label.as_ref(), proven)), style),
            },
            Wish::ServerKeygen(wish) => match prove(&wish.credential) {
                Err(refused) => render::outcome(&refused, style),
                Ok(proven) => {
                    let kind = match wish.wanted {
                        Some(PublicKeyKind::P384) => KeyKind::P384,
                        _ => KeyKind::P256,
                    };
                    let key = MadeKey::generate(kind).unwrap();
                    keygen::reply(&decide(&key.request(label.as_ref(), proven)), &key, style)
                }
            },
        }
    }
}

pub fn template() -> CsrTemplate {
    CsrTemplate { key: Some(PublicKeyKind::P384), extended_key_usages: vec![oid::CLIENT_AUTH] }
}

fn prove(credential: &Credential) -> Result<Authentication, Outcome> {
    match credential {
        Credential::Certificate(chain) => Ok(Authentication::Certificate(chain.clone())),
        Credential::Secret(presented) => {
            let proven = Hospital::secret().prove(presented.reveal());
            proven.map(Authentication::Secret).ok_or_else(|| Outcome::Refused {
                code: "secret_unknown".into(),
                why: "this enrollment secret is not known".into(),
            })
        }
    }
}

/// What the server's HTTP and TLS layers make of a client's request.
pub fn incoming<'a>(out: &'a Outgoing, certificates: &'a [Vec<u8>]) -> Incoming<'a> {
    let header =
        |wanted: &str| out.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    Incoming {
        method: out.method,
        path: &out.path,
        content_type: header("content-type"),
        authorization: header("authorization"),
        body: &out.body,
        certificates,
        channel_binding: Some(&BINDING),
    }
}

/// A request by hand.
pub fn post<'a>(path: &'a str, body: &'a [u8]) -> Incoming<'a> {
    Incoming {
        method: "POST",
        path,
        content_type: Some("application/pkcs10"),
        authorization: None,
        body,
        certificates: &[],
        channel_binding: Some(&BINDING),
    }
}

/// What the client's HTTP layer makes of a server's reply.
pub fn answer(reply: &Reply) -> Answer<'_> {
    Answer {
        status: reply.status,
        content_type: header(reply, "content-type"),
        retry_after: header(reply, "retry-after"),
        reason: header(reply, REASON),
        body: &reply.body,
    }
}

pub fn header<'a>(reply: &'a Reply, wanted: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

/// Base64 with line ends after so many characters.
pub fn wrapped(der: &[u8], width: usize) -> Vec<u8> {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
    [lines.join(&b"\n"[..]), b"\n".to_vec()].concat()
}

pub fn longest_line(body: &[u8]) -> usize {
    body.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap_or(0)
}

pub const STYLES: [(usize, Base64Style); 2] = [(64, Base64Style::Wrapped64), (76, Base64Style::Wrapped76)];
