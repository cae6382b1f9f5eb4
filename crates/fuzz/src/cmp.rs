//! CMP messages, as devices and servers send them.

use std::sync::OnceLock;

use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Outcome;
use lanyard_enroll::cmp::client::{Client, Credential, Enrolling, Mac, Progress, Trust, Wish};
use lanyard_enroll::cmp::server::{Endpoint, NotReceived, Policy, Reference, Request, Server};
use lanyard_enroll::cmp::{CONTENT_TYPE, EnrollKind, Fresh, TransactionLimits, Transactions, describe};
use lanyard_enroll::secret::{Secret, SecretId, SecretKey};
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use zeroize::Zeroizing;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "cmp_message", run: message, seeds: messages },
    Target { name: "cmp_request", run: request, seeds: requests },
    Target { name: "cmp_reply", run: reply, seeds: replies },
];

/// 2026-11-27T12:00:00Z
const NOW: Timestamp = Timestamp::from_seconds(1_795_780_800);

/// A server, and a client that has asked it for a certificate.
struct Parties {
    server: Server,
    secret: Secret,
    client: Client,
    enrolling: Enrolling,
    request: Vec<u8>,
    /// Answers to it: waiting, and a refusal.
    replies: Vec<Vec<u8>>,
}

/// Bodies are read here without the protection in front of them, which no mutation gets past.
fn message(data: &[u8]) {
    if let Ok(text) = describe(data) {
        assert!(text.len() < 4_096, "one line");
    }
}

fn request(data: &[u8]) {
    let Some(parties) = parties() else { return };
    let mut transactions = Transactions::new(TransactionLimits::default());
    match parties.server.receive(data, Some(CONTENT_TYPE), &Endpoint::default(), NOW) {
        Ok(received) => {
            let secret = match received.reference() {
                Reference::Secret(id) if id == parties.secret.id() => Some(&parties.secret),
                _ => None,
            };
            let accepted =
                received.verify(secret).and_then(|v| v.accept(&parties.server, &mut transactions, NOW));
            if accepted.is_err() {
                assert_eq!(transactions.open(), 0, "what is refused changes nothing");
            }
        }
        Err(NotReceived::Rejected(rejected)) => assert!(rejected.reply().status >= 400),
        Err(NotReceived::Refused(refused)) => {
            let _draft = refused.answer(Fresh::from_random([1; 32]), NOW);
        }
    }
}

fn reply(data: &[u8]) {
    let Some(parties) = parties() else { return };
    let mut enrolling = parties.enrolling.clone();
    if let Ok(Progress::Issued(issued)) = enrolling.read(&parties.client, data, NOW) {
        assert!(issued.certificate.public_key().is_ok(), "a certificate for the key that was asked for");
    }
}

fn messages() -> Vec<Vec<u8>> {
    // Sent by OpenSSL; see the README beside them.
    let recorded: [&[u8]; 9] = [
        include_bytes!("../../enroll/src/cmp/server/vectors/ir-pbm-sha1.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/p10cr-pbm-sha1.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/cr-signed.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/kur-signed.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/rr-signed.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/genm-signed.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/pollreq-pbm-sha1.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/certconf-pbm-sha256.der"),
        include_bytes!("../../enroll/src/cmp/server/vectors/certconf-signed.der"),
    ];
    recorded.into_iter().map(<[u8]>::to_vec).chain(replies()).collect()
}

fn requests() -> Vec<Vec<u8>> {
    parties().map(|p| p.request.clone()).into_iter().chain(messages()).collect()
}

fn replies() -> Vec<Vec<u8>> {
    parties().map(|p| p.replies.clone()).unwrap_or_default()
}

fn parties() -> Option<&'static Parties> {
    static PARTIES: OnceLock<Option<Parties>> = OnceLock::new();
    PARTIES.get_or_init(make_parties).as_ref()
}

fn make_parties() -> Option<Parties> {
    let keys = MemoryKeys::default();
    let naming = Naming::new("General Hospital", "hospital.example").ok()?;
    let generation = |label: &str, n| {
        Some(Generation { number: 1, label: label.parse().ok()?, serial: Serial::from_random([n; 16]) })
    };
    let (root, issuing) = (generation("root-g1", 1)?, generation("issuing-g1", 2)?);
    let authority = Authority::create(&naming, &keys, &root, &issuing, NOW).ok()?;
    let label = "cmp".parse().ok()?;
    let spki = keys.generate(&label, KeyKind::P256).ok()?;
    let csr = csr::verify(&csr::build(&spki, "cmp", |m| keys.sign(&label, m)).ok()?).ok()?;
    let addresses = Addresses::new(vec!["lanyard.hospital.example".parse().ok()?], vec![]).ok()?;
    let profile = Profile::new(ProfileName::ControlServer, naming);
    let subject = SubjectFacts::Control { addresses };
    let serial = Serial::from_random([3; 16]);
    let signer = issue::prepare(&profile, &csr, &subject, &authority.issuing, Lifetime::Default, serial, NOW)
        .ok()?
        .sign(&keys)
        .ok()?;
    let chain = vec![signer, authority.issuing.certificate().clone()];
    let server = Server::new(chain, vec![authority.root.certificate().clone()], Policy::default()).ok()?;

    let id = SecretId::from_random([1; 5]);
    let secret = SecretKey::new([7; 32]).derive(id, StreamId::from_bytes([1; 16]), NOW);
    let credential = Credential::Secret {
        reference: id.to_string(),
        secret: Zeroizing::new(secret.reveal().to_owned()),
        mac: Mac::Pbm,
    };
    let client = Client::new(credential, Trust::SecretOnly);
    let sign = |message: &[u8]| keys.sign(&label, message);
    let wish = Wish {
        kind: EnrollKind::Initialization,
        key_or_request: &spki,
        common_name: "infusor 17",
        profile: None,
        implicit_confirm: true,
    };
    let fresh = || Fresh::from_random([5; 32]);
    let (enrolling, request) = client.enroll(&wish, &sign, &sign, [4; 16], (fresh(), NOW)).ok()?;
    let mut replies = Vec::new();
    for outcome in [
        Outcome::Pending { retry_after_seconds: 60, why: "approval is missing".into() },
        Outcome::Refused { code: "retired".into(), why: "the record is retired".into() },
    ] {
        let mut transactions = Transactions::new(TransactionLimits::default());
        let received = server.receive(&request, Some(CONTENT_TYPE), &Endpoint::default(), NOW).ok()?;
        let verified = received.verify(Some(&secret)).ok()?;
        let Ok(Request::Enroll(enroll)) = verified.accept(&server, &mut transactions, NOW) else {
            return None;
        };
        let draft = enroll.answer(&server, &outcome, &mut transactions, fresh(), NOW);
        replies.push(draft.sign(&server, sign).ok()?.body);
    }
    Some(Parties { server, secret, client, enrolling, request, replies })
}
