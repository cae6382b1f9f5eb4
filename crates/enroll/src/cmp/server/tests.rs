//! Every rule of the server, each with the message that breaks it.

use lanyard_pki::csr::CsrError;
use lanyard_pki::spki::SignatureRefused;
use lanyard_pki::write;

use super::*;
use crate::cmp::confirm::Confirmation;
use crate::cmp::crmf::{CertificateId, RequestRefused};
use crate::cmp::header::Header;
use crate::cmp::mac::{Hash, MacAlgorithm};
use crate::cmp::message::{Kind, Parts};
use crate::cmp::name::common_name;
use crate::cmp::revocation::{self, RevocationReason};
use crate::cmp::status::{FailInfo, Status, StatusInfo};
use crate::cmp::testing::{Hospital, Letter, NOW, ask, fresh, secret};
use crate::cmp::transactions::{Settlement, TransactionLimits, Transactions};
use crate::cmp::{CONTENT_TYPE, EnrollKind, Question, Sender, oid, poll};
use crate::{Authentication, Outcome};

struct Bench {
    hospital: Hospital,
    server: Server,
    transactions: Transactions,
}

impl Bench {
    fn new() -> Self {
        Self::with(Policy::default(), TransactionLimits::default())
    }

    fn with(policy: Policy, limits: TransactionLimits) -> Self {
        let hospital = Hospital::new();
        let server = hospital.server(policy);
        Self { hospital, server, transactions: Transactions::new(limits) }
    }

    fn ask(&mut self, message: &[u8]) -> Result<Request, Refusal> {
        ask(&self.server, &mut self.transactions, message, Some(&secret(1)), NOW)
    }

    fn ir(&self) -> Letter {
        Letter::new(Kind::Ir, self.hospital.cert_req(None))
    }

    /// An ir that `outcome` answers: the answer's header and body.
    fn answered(&mut self, letter: Letter, outcome: &Outcome) -> (Header, Vec<u8>) {
        let message = letter.mac(&secret(1));
        let Ok(Request::Enroll(enroll)) = self.ask(&message) else { panic!("not an enrollment") };
        let issued = Outcome::Issued { chain: self.hospital.chain(&enroll.request.csr) };
        let outcome = if matches!(outcome, Outcome::Issued { .. }) { &issued } else { outcome };
        let draft = enroll.answer(&self.server, outcome, &mut self.transactions, fresh(), NOW);
        let reply = self.hospital.finish(&self.server, draft);
        assert_eq!(reply.status, 200);
        let parts = Parts::of(&reply.body).unwrap();
        (parts.header().unwrap(), parts.body().unwrap().whole.to_vec())
    }

    /// A certificate that waits for its certConf: the answer's header, and the certificate.
    fn unconfirmed(&mut self) -> (Header, Certificate) {
        let (header, body) = self.answered(self.ir(), &Outcome::Issued { chain: vec![] });
        let body = only(&body, write::SEQUENCE, "ip").unwrap();
        let reply = crate::cmp::cert_reply::CertReply::read(body).unwrap();
        (header, Certificate::parse(reply.certificate.unwrap()).unwrap())
    }

    fn settled(&mut self) -> Vec<Settlement> {
        self.transactions.take_settled().into_iter().map(|s| s.how).collect()
    }
}

use crate::cmp::tlv::only;

fn pending() -> Outcome {
    Outcome::Pending { retry_after_seconds: 60, why: "approval is missing".into() }
}

fn accepted(certificate: &Certificate) -> Confirmation {
    let hash = Hash::Sha256.digest(certificate.der()).as_ref().to_vec();
    Confirmation { hash, request_id: 0, status: None, hash_algorithm: None }
}

fn refusal_of(result: Result<Request, Refusal>) -> Refusal {
    result.map(|request| format!("{request:?}")).expect_err("it was served")
}

#[test]
fn bytes_without_a_header_are_answered_by_http_alone() {
    let bench = Bench::new();
    let good = bench.ir().mac(&secret(1));
    let large = vec![0x30; MAX + 1];
    for (body, content_type, status) in [
        (good.as_slice(), None, 415),
        (&good, Some("application/pkcs10"), 415),
        (&large, Some(CONTENT_TYPE), 413),
        (b"".as_slice(), Some(CONTENT_TYPE), 400),
        (b"hello", Some(CONTENT_TYPE), 400),
        (&good[..good.len() - 1], Some(CONTENT_TYPE), 400),
    ] {
        match bench.server.receive(body, content_type, &Endpoint::default(), NOW) {
            Err(NotReceived::Rejected(rejected)) => assert_eq!(rejected.reply().status, status),
            other => panic!("{other:?}"),
        }
    }
    for content_type in [CONTENT_TYPE, "Application/PKIXCMP; charset=x"] {
        assert!(bench.server.receive(&good, Some(content_type), &Endpoint::default(), NOW).is_ok());
    }
}

const MAX: usize = crate::cmp::MAX_MESSAGE_BYTES;

// RFC 9483 3.1 and 3.5, rule by rule.
#[test]
fn every_rule_for_headers_refuses() {
    let mut bench = Bench::new();
    type Edit = fn(&mut Header);
    let cases: [(Edit, Refusal, FailInfo); 14] = [
        (|h| h.version = 1, Refusal::Version(1), FailInfo::UnsupportedVersion),
        (|h| h.version = 4, Refusal::Version(4), FailInfo::UnsupportedVersion),
        (|h| h.transaction = None, Refusal::TransactionId, FailInfo::BadRequest),
        (|h| h.transaction = Some(vec![1; 15]), Refusal::TransactionId, FailInfo::BadRequest),
        (|h| h.sender_nonce = None, Refusal::SenderNonce, FailInfo::BadSenderNonce),
        (|h| h.sender_nonce = Some(vec![1; 15]), Refusal::SenderNonce, FailInfo::BadSenderNonce),
        (|h| h.recipient_nonce = Some(vec![1; 16]), Refusal::UnexpectedNonce, FailInfo::BadRecipientNonce),
        (|h| h.recipient = Some(common_name("other")), Refusal::Recipient, FailInfo::WrongAuthority),
        (
            |h| h.time = Some(NOW.plus_seconds(901)),
            Refusal::Clock {
                theirs: NOW.plus_seconds(901),
                ours: NOW,
                apart_seconds: 901,
                tolerated_seconds: 900,
            },
            FailInfo::BadTime,
        ),
        (
            |h| h.time = Some(NOW.plus_seconds(-901)),
            Refusal::Clock {
                theirs: NOW.plus_seconds(-901),
                ours: NOW,
                apart_seconds: 901,
                tolerated_seconds: 900,
            },
            FailInfo::BadTime,
        ),
        (|h| h.sender_key_id = Some(b"aibaeaqc".to_vec()), Refusal::Mac, FailInfo::BadMessageCheck),
        (|h| h.sender_key_id = Some(vec![0xff; 8]), Refusal::Mac, FailInfo::BadMessageCheck),
        (
            |h| h.protection = Some(MacAlgorithm::pbm(&[1; 7]).to_der()),
            Refusal::Algorithm(crate::cmp::AlgorithmRefused::Salt(7)),
            FailInfo::BadAlg,
        ),
        (
            |h| {
                let mut other = Vec::new();
                crate::cmp::tlv::write_plain_algorithm(&mut other, &oid::SHA256);
                h.protection = Some(other);
            },
            Refusal::Algorithm(crate::cmp::AlgorithmRefused::Unknown(oid::SHA256)),
            FailInfo::BadAlg,
        ),
    ];
    for (edit, refusal, fail) in cases {
        let message = bench.ir().edit(edit).mac(&secret(1));
        assert_eq!(refusal_of(bench.ask(&message)), refusal);
        assert_eq!(refusal.fail_info(), fail, "{refusal}");
    }
    assert_eq!(bench.transactions.open(), 0, "a refused message leaves nothing");
}

// The failure drill: a clock ten minutes off on either side is served, as is a device without one.
#[test]
fn a_clock_ten_minutes_off_is_tolerated_and_told_beyond_fifteen() {
    let mut bench = Bench::new();
    for (time, served) in
        [(Some(600), true), (Some(-600), true), (Some(900), true), (None, true), (Some(1200), false)]
    {
        let message = bench.ir().edit(|h| h.time = time.map(|s| NOW.plus_seconds(s))).mac(&secret(1));
        let asked = bench.ask(&message);
        assert_eq!(asked.is_ok(), served, "{time:?}");
        if let Err(refusal) = asked {
            let text = refusal.to_string();
            assert!(
                text.contains("12:20:00") && text.contains("12:00:00") && text.contains("1200"),
                "{text}"
            );
        }
    }
}

#[test]
fn messages_that_no_client_sends_are_refused() {
    let mut bench = Bench::new();
    for kind in [Kind::Ip, Kind::Cp, Kind::Kup, Kind::Rp, Kind::PkiConf, Kind::Genp, Kind::PollRep] {
        let message = Letter::new(kind, vec![0x30, 0]).mac(&secret(1));
        assert_eq!(refusal_of(bench.ask(&message)), Refusal::Kind, "{kind:?}");
    }
    // nested [20], as a registration authority sends it.
    let mut nested = bench.ir().mac(&secret(1));
    let at = nested.windows(2).position(|w| w[0] == 0xa0 && w[1] == 0x81).unwrap();
    nested[at] = 0xa0 | 20;
    assert_eq!(refusal_of(bench.ask(&nested)), Refusal::Kind);
    let unprotected = Letter::new(Kind::Genm, vec![0x30, 0]).signed(&bench.hospital, &bench.hospital.device);
    let parts = Parts::of(&unprotected).unwrap();
    let bare = {
        let protected = parts.protected();
        let content = only(&protected, write::SEQUENCE, "part").unwrap().content.to_vec();
        let mut out = Vec::new();
        write::bytes(&mut out, write::SEQUENCE, &content);
        out
    };
    assert_eq!(refusal_of(bench.ask(&bare)), Refusal::Unprotected);
}

#[test]
fn path_and_header_must_ask_for_the_same_profile() {
    let bench = Bench::new();
    let endpoint = Endpoint::from_path("/.well-known/cmp/p/infusion").unwrap();
    for (asked, fits) in [(None, true), (Some("infusion"), true), (Some("imaging"), false)] {
        let letter = bench.ir().edit(|h| h.profile = asked.map(str::to_owned));
        let received = bench.server.receive(&letter.mac(&secret(1)), Some(CONTENT_TYPE), &endpoint, NOW);
        match received {
            Ok(received) => assert!(fits && received.profile() == Some("infusion")),
            Err(NotReceived::Refused(refused)) => {
                assert!(!fits && *refused.refusal() == Refusal::TwoProfiles);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // In the header alone.
    let letter = bench.ir().edit(|h| h.profile = Some("imaging".into()));
    let received =
        bench.server.receive(&letter.mac(&secret(1)), Some(CONTENT_TYPE), &Endpoint::default(), NOW);
    assert_eq!(received.unwrap().profile(), Some("imaging"));
}

// R36: a secret of another id, or none, is the same no as a wrong one.
#[test]
fn only_the_secret_that_is_named_proves_the_sender() {
    let bench = Bench::new();
    let message = bench.ir().mac(&secret(1));
    let receive = || bench.server.receive(&message, Some(CONTENT_TYPE), &Endpoint::default(), NOW).unwrap();
    assert_eq!(receive().reference(), Reference::Secret(secret(1).id()));
    let expired = crate::secret::SecretKey::new([8; 32]).derive(
        secret(1).id(),
        lanyard_domain::id::StreamId::from_bytes([1; 16]),
        NOW,
    );
    for wrong in [None, Some(&secret(2)), Some(&expired)] {
        assert_eq!(*receive().verify(wrong).unwrap_err().refusal(), Refusal::Mac);
    }
    let verified = receive().verify(Some(&secret(1))).unwrap();
    assert!(matches!(verified.authentication(), Authentication::Secret(p) if p.id() == secret(1).id()));
}

#[test]
fn a_signed_message_must_come_from_the_certificate_that_it_names() {
    let mut bench = Bench::new();
    let request = || Letter::new(Kind::Cr, bench.hospital.cert_req(None));
    let (device, other) = (&bench.hospital.device, bench.hospital.another_device("other"));
    let hospital = &bench.hospital;
    let mut no_certificate = request().by(device, hospital);
    no_certificate.extra.clear();
    let wrong_name = request().by(device, hospital).edit(|h| h.sender = Some(common_name("pump")));
    let mut broken = request().by(device, hospital);
    broken.extra = vec![vec![0x30, 0]];
    let mut as_ca = request().by(device, hospital);
    as_ca.header.sender = Some(hospital.issuing().subject_der().to_vec());
    as_ca.header.sender_key_id = None;
    let mut ed25519 = Vec::new();
    crate::cmp::tlv::write_plain_algorithm(&mut ed25519, &oid::ED25519);
    let wrong_algorithm = request().by(device, hospital).edit(|h| h.protection = Some(ed25519));
    let cases = [
        (no_certificate.sign(hospital, &device.label), Refusal::NoSigner),
        (wrong_name.sign(hospital, &device.label), Refusal::NoSigner),
        (request().by(device, hospital).sign(hospital, &other.label), Refusal::Signature),
        (as_ca.sign(hospital, hospital.authority.issuing.label()), Refusal::SignerUsage),
        (wrong_algorithm.sign(hospital, &device.label), Refusal::Signature),
    ];
    let broken = broken.sign(hospital, &device.label);
    let good = request().signed(hospital, device);
    for (message, refusal) in cases {
        assert_eq!(refusal_of(bench.ask(&message)), refusal);
        assert_eq!(refusal.fail_info(), FailInfo::BadMessageCheck);
    }
    assert!(matches!(refusal_of(bench.ask(&broken)), Refusal::SignerCertificate(_)));
    let Ok(Request::Enroll(enroll)) = bench.ask(&good) else { panic!("a good one is served") };
    let Authentication::Certificate(chain) = &enroll.request.authentication else { panic!("signed") };
    assert_eq!(chain.len(), 2, "the leaf and its issuer");
    assert_eq!(enroll.kind(), EnrollKind::Certification);
}

#[test]
fn a_sender_key_id_that_is_not_the_certificates_is_refused() {
    let mut bench = Bench::new();
    // The CMP signer has a subjectKeyIdentifier; devices may have none.
    let signer = &bench.hospital.signer;
    assert!(signer.certificate.subject_key_id().is_some());
    let letter = |edit: fn(&mut Header)| {
        let letter = Letter::new(Kind::Genm, vec![0x30, 0]).by(signer, &bench.hospital).edit(edit);
        letter.sign(&bench.hospital, &signer.label)
    };
    let (wrong, without) =
        (letter(|h| h.sender_key_id = Some(vec![1; 20])), letter(|h| h.sender_key_id = None));
    assert_eq!(refusal_of(bench.ask(&wrong)), Refusal::NoSigner);
    assert!(matches!(bench.ask(&without), Ok(Request::Inform(_))));
}

// RFC 9483 4.1.3 and 4.2: a secret does not renew and does not revoke.
#[test]
fn key_updates_and_revocations_need_a_signature_of_the_certificate() {
    let mut bench = Bench::new();
    let own = CertificateId::of(&bench.hospital.device.certificate);
    let foreign = CertificateId::of(&bench.hospital.signer.certificate);
    let kur = bench.hospital.cert_req(Some(&own));
    let rr = revocation::write(&own, RevocationReason::Superseded);
    for (kind, content) in [(Kind::Kur, kur.clone()), (Kind::Rr, rr.clone())] {
        let refusal = refusal_of(bench.ask(&Letter::new(kind, content).mac(&secret(1))));
        assert_eq!((refusal.clone(), refusal.fail_info()), (Refusal::MustBeSigned, FailInfo::WrongIntegrity));
    }
    let of_another = Letter::new(Kind::Kur, bench.hospital.cert_req(Some(&foreign)))
        .signed(&bench.hospital, &bench.hospital.device);
    assert_eq!(refusal_of(bench.ask(&of_another)), Refusal::OldCertificate);
    let without =
        Letter::new(Kind::Kur, bench.hospital.cert_req(None)).signed(&bench.hospital, &bench.hospital.device);
    for good in [Letter::new(Kind::Kur, kur).signed(&bench.hospital, &bench.hospital.device), without] {
        assert!(matches!(bench.ask(&good), Ok(Request::Enroll(_))));
    }
    for (certificate, is_own) in [(own, true), (foreign, false)] {
        let rr = revocation::write(&certificate, RevocationReason::KeyCompromise);
        let message = Letter::new(Kind::Rr, rr).signed(&bench.hospital, &bench.hospital.device);
        let Ok(Request::Revoke(revoke)) = bench.ask(&message) else { panic!("a revocation") };
        assert_eq!((revoke.request.is_own, revoke.request.certificate.clone()), (is_own, certificate));
        assert_eq!(revoke.request.reason, RevocationReason::KeyCompromise);
        assert_eq!(refusal_of(bench.ask(&message)), Refusal::TransactionInUse, "a replay");
    }
    let unnamed = Letter::new(Kind::Rr, vec![0x30, 4, 0x30, 2, 0x30, 0]);
    let unnamed = unnamed.signed(&bench.hospital, &bench.hospital.device);
    assert!(matches!(refusal_of(bench.ask(&unnamed)), Refusal::Revocation(_)));
}

// I1: a certificate is for who holds the key.
#[test]
fn requests_that_do_not_prove_their_key_are_refused() {
    let mut bench = Bench::new();
    let good = bench.hospital.cert_req(None);
    let message = only(&good, write::SEQUENCE, "messages").unwrap().inner().unwrap();
    let mut fields = message.fields();
    let (request, proof) = (fields.any().unwrap(), fields.any().unwrap());
    let other = bench.hospital.cert_req(None);
    let other = only(&other, write::SEQUENCE, "messages").unwrap().inner().unwrap();
    let other_proof = {
        let mut fields = other.fields();
        fields.any().unwrap();
        fields.any().unwrap()
    };
    let build = |parts: &[&[u8]]| {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| write::bytes(o, write::SEQUENCE, &parts.concat()));
        out
    };
    // Of the request: certReqId 1, no key.
    let numbered = {
        let mut changed = request.whole.to_vec();
        let at = changed.windows(3).position(|w| w == [2, 1, 0]).unwrap();
        changed[at + 2] = 1;
        changed
    };
    let keyless = {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| o.extend([2, 1, 0, 0x30, 0]));
        out
    };
    let with_input = {
        let mut out = Vec::new();
        write::tlv(&mut out, 0xa1, |o| {
            o.extend([0xa0, 0]);
            o.extend_from_slice(proof.content);
        });
        out
    };
    let possession = RequestRefused::Possession(CsrError::Possession(SignatureRefused::Invalid));
    for (content, refused, fail) in [
        (build(&[request.whole]), RequestRefused::NoProof, FailInfo::BadPop),
        (build(&[request.whole, &[0x80, 0]]), RequestRefused::RaVerified, FailInfo::BadPop),
        (build(&[request.whole, &[0xa2, 0]]), RequestRefused::OtherProof, FailInfo::BadPop),
        (build(&[request.whole, &with_input]), RequestRefused::ProofInput, FailInfo::BadPop),
        (build(&[request.whole, other_proof.whole]), possession, FailInfo::BadPop),
        (build(&[&numbered, proof.whole]), RequestRefused::Number(1), FailInfo::BadRequest),
        (build(&[&keyless, proof.whole]), RequestRefused::NoKey, FailInfo::BadCertTemplate),
        (vec![0x30, 0], RequestRefused::NotOne(0), FailInfo::BadRequest),
    ] {
        let refusal = refusal_of(bench.ask(&Letter::new(Kind::Ir, content).mac(&secret(1))));
        assert_eq!(refusal, Refusal::Request(refused));
        assert_eq!(refusal.fail_info(), fail, "{refusal}");
    }
    let mut two = Vec::new();
    write::bytes(&mut two, write::SEQUENCE, &[message.whole, message.whole].concat());
    let refusal = refusal_of(bench.ask(&Letter::new(Kind::Ir, two).mac(&secret(1))));
    assert_eq!(refusal, Refusal::Request(RequestRefused::NotOne(2)));
    // p10cr: another key's signature.
    let (label, spki) = bench.hospital.new_key(lanyard_pki::key::KeyKind::P256);
    let mut csr = lanyard_pki::csr::build(&spki, "pump", |m| bench.hospital.sign(&label, m)).unwrap();
    *csr.last_mut().unwrap() ^= 1;
    let refusal = refusal_of(bench.ask(&Letter::new(Kind::P10cr, csr).mac(&secret(1))));
    assert_eq!(refusal.fail_info(), FailInfo::BadPop);
    assert_eq!(bench.transactions.open(), 0);
}

// I12
#[test]
fn a_cut_at_any_byte_and_a_change_of_any_protected_bit_is_refused() {
    let mut bench = Bench::new();
    let own = CertificateId::of(&bench.hospital.device.certificate);
    let kur = Letter::new(Kind::Kur, bench.hospital.cert_req(Some(&own)));
    let kur = kur.signed(&bench.hospital, &bench.hospital.device);
    let ir = bench.ir().mac(&secret(1));
    for (message, bits) in [(ir, 8), (kur, 2)] {
        let extra: Vec<Vec<u8>> = Parts::of(&message)
            .unwrap()
            .extra_certificates()
            .unwrap()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        for at in 0..message.len() {
            let cut = bench.server.receive(&message[..at], Some(CONTENT_TYPE), &Endpoint::default(), NOW);
            assert!(matches!(cut, Err(NotReceived::Rejected(_))), "cut at {at}");
            for bit in 0..bits {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                let received = bench.server.receive(&changed, Some(CONTENT_TYPE), &Endpoint::default(), NOW);
                let Ok(received) = received else { continue };
                let Ok(verified) = received.verify(Some(&secret(1))) else { continue };
                // What came along in extraCerts is not protected (RFC 9810 5.1): it shows in the chain, whose signatures
                // the use case checks.
                let Authentication::Certificate(chain) = verified.authentication() else {
                    panic!("bit {bit} at {at} was served")
                };
                assert!(*chain != extra, "bit {bit} at {at} was served and does not show");
            }
        }
        assert!(bench.ask(&message).is_ok());
    }
}

#[test]
fn an_answer_is_protected_as_the_request_was() {
    let mut bench = Bench::new();
    let letter = bench.ir().edit(|h| h.version = 3);
    let asked = letter.header.clone();
    let (header, _) = bench.answered(letter, &Outcome::Issued { chain: vec![] });
    assert_eq!(header.version, 3);
    assert_eq!(header.transaction, asked.transaction);
    assert_eq!(header.recipient_nonce, asked.sender_nonce);
    assert_eq!(header.recipient, asked.sender);
    assert_eq!(header.sender_key_id, Some(secret(1).id().to_string().into_bytes()));
    assert_eq!(header.sender.as_deref(), Some(bench.hospital.signer.certificate.subject_der()));
    assert_eq!(header.confirm_by, Some(NOW.plus_seconds(600)));
    assert!(header.sender_nonce.is_some() && header.sender_nonce != asked.sender_nonce);
    // PBM again, another salt.
    assert_ne!(header.protection, Some(MacAlgorithm::pbm(&[9; 16]).to_der()));
    let algorithm = only(header.protection.as_ref().unwrap(), write::SEQUENCE, "a").unwrap();
    assert_eq!(algorithm.algorithm().unwrap().0, oid::PASSWORD_BASED_MAC);
    // To who has proven nothing: signed.
    let message = bench.ir().mac(&secret(1));
    let received = bench.server.receive(&message, Some(CONTENT_TYPE), &Endpoint::default(), NOW).unwrap();
    let draft = received.verify(None).unwrap_err().answer(fresh(), NOW);
    let reply = bench.hospital.finish(&bench.server, draft);
    let parts = Parts::of(&reply.body).unwrap();
    let key = bench.hospital.signer.certificate.public_key().unwrap();
    assert_eq!(parts.kind(), Some(Kind::Error));
    key.verify(&oid::ECDSA_WITH_SHA256, &parts.protected(), parts.protection.unwrap()).unwrap();
    let status = parts.body().unwrap().fields().any().unwrap();
    assert!(StatusInfo::read(status).unwrap().says(FailInfo::BadMessageCheck));
}

#[test]
fn a_signer_that_fails_makes_no_answer() {
    let mut bench = Bench::new();
    let message = Letter::new(Kind::Genm, vec![0x30, 0]).signed(&bench.hospital, &bench.hospital.device);
    let Ok(Request::Inform(inform)) = bench.ask(&message) else { panic!("a question") };
    let draft = inform.answer(&crate::cmp::Answers::default(), fresh(), NOW);
    assert_eq!(draft.sign(&bench.server, |_| Err("the HSM is away")), Err("the HSM is away"));
}

// RFC 9810 5.3.18
#[test]
fn a_confirmation_settles_the_certificate_as_it_says() {
    let mut bench = Bench::new();
    let rejection = StatusInfo::rejection(FailInfo::BadCertTemplate, "no SAN");
    let cases: Vec<(fn(&mut Confirmation), Option<StatusInfo>, Settlement)> = vec![
        (|_| {}, None, Settlement::Confirmed),
        (|_| {}, Some(StatusInfo::new(Status::Accepted, "")), Settlement::Confirmed),
        (|_| {}, Some(StatusInfo::new(Status::GrantedWithMods, "")), Settlement::Confirmed),
        (|_| {}, Some(rejection), Settlement::Rejected("no SAN".into())),
        (|c| c.request_id = -1, None, Settlement::Confirmed),
    ];
    for (edit, status, how) in cases {
        let (header, certificate) = bench.unconfirmed();
        let mut statement = accepted(&certificate);
        statement.status = status;
        edit(&mut statement);
        let message = Letter::after(&header, Kind::CertConf, statement.write()).mac(&secret(1));
        let Ok(Request::Confirm(confirm)) = bench.ask(&message) else { panic!("{how:?}") };
        let reply = bench.hospital.finish(&bench.server, confirm.answer(fresh(), NOW));
        assert_eq!(Parts::of(&reply.body).unwrap().kind(), Some(Kind::PkiConf));
        let settled = bench.transactions.take_settled();
        assert_eq!(settled.len(), 1);
        assert_eq!((&settled[0].how, &settled[0].certificate), (&how, &certificate));
        assert_eq!(settled[0].sender, Sender::Secret(secret(1).id()));
        assert_eq!(refusal_of(bench.ask(&message)), Refusal::UnknownTransaction, "said twice");
    }
    // Nothing said of it rejects it.
    let (header, _) = bench.unconfirmed();
    let message = Letter::after(&header, Kind::CertConf, vec![0x30, 0]).mac(&secret(1));
    assert!(bench.ask(&message).is_ok());
    assert_eq!(bench.settled(), [Settlement::Rejected(String::new())]);
    // cmp2021 may say the hash.
    let (header, certificate) = bench.unconfirmed();
    let mut statement = accepted(&certificate);
    statement.hash = Hash::Sha512.digest(certificate.der()).as_ref().to_vec();
    statement.hash_algorithm = Some(oid::SHA512);
    let letter = Letter::after(&header, Kind::CertConf, statement.write()).edit(|h| h.version = 3);
    assert!(bench.ask(&letter.mac(&secret(1))).is_ok());
    assert_eq!(bench.settled(), [Settlement::Confirmed]);
}

#[test]
fn a_confirmation_that_makes_no_sense_is_refused() {
    let mut bench = Bench::new();
    let (header, certificate) = bench.unconfirmed();
    let inconsistent = StatusInfo { fail: 1 << 31, ..StatusInfo::new(Status::Accepted, "") };
    type Edit = Box<dyn Fn(&mut Confirmation)>;
    let cases: Vec<(Edit, Refusal, FailInfo)> = vec![
        (Box::new(|c| c.request_id = 1), Refusal::RequestId(1), FailInfo::BadRequest),
        (
            Box::new(|c| c.hash_algorithm = Some(oid::SHA256)),
            Refusal::HashNeedsVersion3,
            FailInfo::BadRequest,
        ),
        (
            Box::new(move |c| c.status = Some(inconsistent.clone())),
            Refusal::Confirmation,
            FailInfo::BadRequest,
        ),
        (
            Box::new(|c| c.status = Some(StatusInfo::new(Status::Waiting, ""))),
            Refusal::Confirmation,
            FailInfo::BadRequest,
        ),
    ];
    for (edit, refusal, fail) in cases {
        let mut statement = accepted(&certificate);
        edit(&mut statement);
        let message = Letter::after(&header, Kind::CertConf, statement.write()).mac(&secret(1));
        assert_eq!(refusal_of(bench.ask(&message)), refusal);
        assert_eq!(refusal.fail_info(), fail);
    }
    let mut weak = accepted(&certificate);
    weak.hash_algorithm = Some(oid::SHA1);
    let letter = Letter::after(&header, Kind::CertConf, weak.write()).edit(|h| h.version = 3);
    assert_eq!(refusal_of(bench.ask(&letter.mac(&secret(1)))), Refusal::HashAlgorithm);
    let one = accepted(&certificate).write();
    let content = only(&one, write::SEQUENCE, "c").unwrap().content;
    let mut two = Vec::new();
    write::bytes(&mut two, write::SEQUENCE, &[content, content].concat());
    let message = Letter::after(&header, Kind::CertConf, two).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&message)), Refusal::Confirmation);
    assert!(bench.settled().is_empty(), "none of these ended it");
    // Another sender, another nonce.
    let good = || Letter::after(&header, Kind::CertConf, accepted(&certificate).write());
    let by_device = good().signed(&bench.hospital, &bench.hospital.device);
    assert_eq!(refusal_of(bench.ask(&by_device)), Refusal::OtherSender);
    let other_nonce = good().edit(|h| h.recipient_nonce = Some(vec![1; 16])).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&other_nonce)), Refusal::RecipientNonce);
    let no_nonce = good().edit(|h| h.recipient_nonce = None).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&no_nonce)), Refusal::RecipientNonce);
    // The hash of another certificate ends it, and that is told.
    let mut other = accepted(&certificate);
    other.hash[0] ^= 1;
    let message = Letter::after(&header, Kind::CertConf, other.write()).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&message)), Refusal::OtherCertificate);
    assert_eq!(bench.settled(), [Settlement::OtherCertificate]);
}

#[test]
fn a_request_that_waits_is_asked_about_by_its_sender_only() {
    let mut bench = Bench::new();
    let (header, body) = bench.answered(bench.ir(), &pending());
    let reply = crate::cmp::cert_reply::CertReply::read(only(&body, write::SEQUENCE, "ip").unwrap()).unwrap();
    assert_eq!((reply.status.status, reply.status.text.as_str()), (Status::Waiting, "approval is missing"));
    let poll = |header: &Header, number| Letter::after(header, Kind::PollReq, poll::write_request(number));
    let by_device = poll(&header, 0).signed(&bench.hospital, &bench.hospital.device);
    assert_eq!(refusal_of(bench.ask(&by_device)), Refusal::OtherSender);
    assert_eq!(refusal_of(bench.ask(&poll(&header, 7).mac(&secret(1)))), Refusal::RequestId(7));
    let stale = poll(&header, 0).edit(|h| h.recipient_nonce = Some(vec![1; 16])).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&stale)), Refusal::RecipientNonce);
    let confirm = accepted(&bench.hospital.device.certificate).write();
    let confirm = Letter::after(&header, Kind::CertConf, confirm).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&confirm)), Refusal::NotNow);
    // The same request reaches the use case again, with what the sender shows now.
    let Ok(Request::Enroll(enroll)) = bench.ask(&poll(&header, 0).mac(&secret(1))) else {
        panic!("asked again")
    };
    let key = enroll.request.csr.spki_sha256();
    let draft = enroll.answer(&bench.server, &pending(), &mut bench.transactions, fresh(), NOW);
    let reply = bench.hospital.finish(&bench.server, draft);
    let parts = Parts::of(&reply.body).unwrap();
    assert_eq!(parts.kind(), Some(Kind::PollRep));
    let not_yet = poll::NotYet::read(parts.body().unwrap()).unwrap();
    assert_eq!((not_yet.after_seconds, not_yet.why.as_str()), (60, "approval is missing"));
    let next = parts.header().unwrap();
    // The nonce of the answer before is used up.
    assert_eq!(refusal_of(bench.ask(&poll(&header, 0).mac(&secret(1)))), Refusal::RecipientNonce);
    let Ok(Request::Enroll(enroll)) = bench.ask(&poll(&next, 0).mac(&secret(1))) else {
        panic!("asked again")
    };
    assert_eq!(enroll.request.csr.spki_sha256(), key);
    // A restart forgets it, and says so.
    let mut restarted = Transactions::new(TransactionLimits::default());
    let message = poll(&next, 0).mac(&secret(1));
    let asked = ask(&bench.server, &mut restarted, &message, Some(&secret(1)), NOW);
    let refusal = refusal_of(asked);
    assert_eq!(refusal, Refusal::UnknownTransaction);
    assert!(refusal.to_string().contains("send the request again"));
}

#[test]
fn a_client_may_give_a_transaction_up() {
    let mut bench = Bench::new();
    let error = {
        let mut content = Vec::new();
        write::tlv(&mut content, write::SEQUENCE, |o| {
            StatusInfo::rejection(FailInfo::BadRequest, "the chain does not end in my root").write(o);
        });
        content
    };
    let unknown = Letter::new(Kind::Error, error.clone()).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&unknown)), Refusal::UnknownTransaction);
    let (header, _) = bench.unconfirmed();
    let foreign = Letter::after(&header, Kind::Error, error.clone());
    let foreign = foreign.signed(&bench.hospital, &bench.hospital.device);
    assert_eq!(refusal_of(bench.ask(&foreign)), Refusal::OtherSender);
    let message = Letter::after(&header, Kind::Error, error.clone()).mac(&secret(1));
    let Ok(Request::Abort(abort)) = bench.ask(&message) else { panic!("given up") };
    assert_eq!(abort.why, "the chain does not end in my root");
    assert_eq!(bench.settled(), [Settlement::Rejected("the chain does not end in my root".into())]);
    let (header, _) = bench.answered(bench.ir(), &pending());
    assert!(bench.ask(&Letter::after(&header, Kind::Error, error).mac(&secret(1))).is_ok());
    assert_eq!((bench.transactions.open(), bench.settled()), (0, vec![]));
}

#[test]
fn transactions_are_bounded_and_what_is_dropped_is_told() {
    let limits = TransactionLimits { open: 3, per_sender: 2, ended: 2, ..TransactionLimits::default() };
    let mut bench = Bench::with(Policy::default(), limits);
    let (first, certificate) = bench.unconfirmed();
    bench.unconfirmed();
    bench.unconfirmed();
    // The third of one sender pushes its own oldest out.
    let settled = bench.transactions.take_settled();
    assert_eq!(settled.len(), 1);
    assert_eq!((&settled[0].how, &settled[0].certificate), (&Settlement::Displaced, &certificate));
    let late = Letter::after(&first, Kind::CertConf, accepted(&certificate).write()).mac(&secret(1));
    assert_eq!(refusal_of(bench.ask(&late)), Refusal::UnknownTransaction);
    // Another sender has the last place, a third one none.
    let device = &bench.hospital.device;
    let other = bench.hospital.another_device("other");
    let cr = |device| Letter::new(Kind::Cr, bench.hospital.cert_req(None)).signed(&bench.hospital, device);
    let (last, over) = (cr(device), cr(&other));
    assert!(bench.ask(&last).is_ok());
    let refusal = refusal_of(bench.ask(&over));
    assert_eq!((refusal.clone(), refusal.fail_info()), (Refusal::Full, FailInfo::SystemUnavail));
    // All over time.
    bench.transactions.expire(NOW.plus_seconds(601));
    assert_eq!(bench.transactions.open(), 0);
    assert_eq!(bench.settled(), [Settlement::TimedOut, Settlement::TimedOut]);
}

#[test]
fn a_number_is_not_taken_twice_while_its_message_could_be_replayed() {
    let mut bench = Bench::new();
    let message = bench.ir().edit(|h| h.implicit_confirm = true).mac(&secret(1));
    let Ok(Request::Enroll(enroll)) = bench.ask(&message) else { panic!("served") };
    assert_eq!(refusal_of(bench.ask(&message)), Refusal::TransactionInUse, "while it is served");
    let outcome = Outcome::Issued { chain: bench.hospital.chain(&enroll.request.csr) };
    let draft = enroll.answer(&bench.server, &outcome, &mut bench.transactions, fresh(), NOW);
    bench.hospital.finish(&bench.server, draft);
    assert_eq!(bench.transactions.open(), 0, "confirmed by itself");
    assert!(bench.settled().is_empty());
    for seconds in [0, 900, 901, 1800, 1801] {
        let later = NOW.plus_seconds(seconds);
        let refusal =
            refusal_of(ask(&bench.server, &mut bench.transactions, &message, Some(&secret(1)), later));
        match refusal {
            Refusal::TransactionInUse => assert!(seconds <= 900),
            Refusal::Clock { .. } => assert!(seconds > 900),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_use_case_that_never_answers_frees_its_place() {
    let mut bench = Bench::new();
    let message = bench.ir().mac(&secret(1));
    assert!(bench.ask(&message).is_ok());
    assert_eq!(bench.transactions.open(), 1);
    bench.transactions.expire(NOW.plus_seconds(121));
    assert_eq!((bench.transactions.open(), bench.settled()), (0, vec![]));
}

#[test]
fn questions_are_read_and_answered_one_by_one() {
    let mut bench = Bench::new();
    let root = bench.hospital.root().der().to_vec();
    let mut content = Vec::new();
    write::tlv(&mut content, write::SEQUENCE, |o| {
        let mut item = |id, value: &[u8]| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &id);
                o.extend_from_slice(value);
            });
        };
        item(oid::CA_CERTS, &[]);
        item(oid::ROOT_CA_CERT, &root);
        item(oid::CERT_REQ_TEMPLATE, &[]);
        item(oid::SIGN_KEY_PAIR_TYPES, &[]);
        let mut point = vec![0x30, 0];
        point.clear();
        write::tlv(&mut point, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::tlv(o, 0xa0, |o| {
                    write::tlv(o, 0xa0, |o| write::bytes(o, 0x86, b"http://crl.hospital.example/7"));
                });
                write::time(o, NOW);
            });
            write::tlv(o, write::SEQUENCE, |o| {
                write::tlv(o, 0xa1, |o| {
                    write::tlv(o, write::SEQUENCE, |o| write::bytes(o, 0xa4, &common_name("ca")));
                });
            });
        });
        item(oid::CRL_STATUS_LIST, &point);
        item(oid::SHA256, &[]);
    });
    let message = Letter::new(Kind::Genm, content).mac(&secret(1));
    let Ok(Request::Inform(inform)) = bench.ask(&message) else { panic!("questions") };
    let by_name = crate::cmp::CrlStatus { issuer: Some(common_name("ca")), ..Default::default() };
    let by_point = crate::cmp::CrlStatus {
        distribution_point: Some("http://crl.hospital.example/7".into()),
        issuer: None,
        this_update: Some(NOW),
    };
    assert_eq!(
        inform.questions,
        [
            Question::CaCertificates,
            Question::RootUpdate(Some(root.clone())),
            Question::RequestTemplate,
            Question::KeyKinds,
            Question::Crls(vec![by_point, by_name]),
            Question::Unknown(oid::SHA256),
        ]
    );
    let answers = crate::cmp::Answers {
        ca_certificates: vec![root.clone()],
        root_update: Some(crate::cmp::RootUpdate {
            new_with_new: root.clone(),
            new_with_old: Some(root.clone()),
            old_with_new: None,
        }),
        key_kinds: vec![lanyard_pki::spki::PublicKeyKind::P256, lanyard_pki::spki::PublicKeyKind::Rsa(3072)],
        crls: vec![],
    };
    let reply = bench.hospital.finish(&bench.server, inform.answer(&answers, fresh(), NOW));
    let parts = Parts::of(&reply.body).unwrap();
    assert_eq!(parts.kind(), Some(Kind::Genp));
    let items: Vec<_> = parts.body().unwrap().fields().all(16).unwrap();
    let ids: Vec<_> = items.iter().map(|item| item.algorithm().unwrap().0).collect();
    assert_eq!(
        ids,
        [
            oid::CA_CERTS,
            oid::ROOT_CA_KEY_UPDATE,
            oid::CERT_REQ_TEMPLATE,
            oid::SIGN_KEY_PAIR_TYPES,
            oid::CRLS,
            oid::UNSUPPORTED_OIDS
        ]
    );
    assert!(items[4].algorithm().unwrap().1.is_none(), "no newer CRL, no value");
    // Nothing asked for, or nothing that reads.
    let message = Letter::new(Kind::Genm, vec![0x30, 0]).mac(&secret(1));
    let Ok(Request::Inform(inform)) = bench.ask(&message) else { panic!("questions") };
    assert_eq!(inform.questions, [Question::CaCertificates, Question::KeyKinds]);
    let draft = inform.refuse(FailInfo::SignerNotTrusted, "no such device", fresh(), NOW);
    let reply = bench.hospital.finish(&bench.server, draft);
    assert_eq!(Parts::of(&reply.body).unwrap().kind(), Some(Kind::Error));
    let mut bad = Vec::new();
    write::tlv(&mut bad, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::CRL_STATUS_LIST));
    });
    let refusal = refusal_of(bench.ask(&Letter::new(Kind::Genm, bad).mac(&secret(1))));
    assert_eq!(refusal.fail_info(), FailInfo::BadDataFormat);
}

#[test]
fn a_server_without_a_signer_that_clients_accept_is_not_made() {
    let hospital = Hospital::new();
    let make = |chain| Server::new(chain, vec![], Policy::default()).map(|_| ());
    assert_eq!(make(vec![]), Err(BadServer::NoSigner));
    assert_eq!(make(vec![hospital.issuing().clone()]), Err(BadServer::MayNotSign));
    assert_eq!(make(vec![hospital.signer.certificate.clone()]), Ok(()));
}

// R47: names of an earlier CA generation are still ours.
#[test]
fn a_former_name_is_answered_for() {
    let policy = Policy { former_names: vec![common_name("old ca")], ..Policy::default() };
    let mut bench = Bench::with(policy, TransactionLimits::default());
    for (name, served) in [
        (common_name("old ca"), true),
        (bench.hospital.issuing().subject_der().to_vec(), true),
        (bench.hospital.signer.certificate.subject_der().to_vec(), true),
        (common_name("older ca"), false),
    ] {
        let message = bench.ir().edit(|h| h.recipient = Some(name)).mac(&secret(1));
        assert_eq!(bench.ask(&message).is_ok(), served);
    }
}
