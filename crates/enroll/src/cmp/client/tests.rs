//! Our client against our server, and against answers that are not what they should be.

use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::key::{KeyError, KeyKind, KeyLabel};
use lanyard_pki::path::Anchors;
use lanyard_pki::write;
use zeroize::Zeroizing;

use super::reply::Untrusted;
use super::*;
use crate::Outcome;
use crate::cmp::crmf::CertificateId;
use crate::cmp::message::{EnrollKind, Parts};
use crate::cmp::server::{Policy, Request, RevocationOutcome, Server};
use crate::cmp::status::{FailInfo, StatusInfo};
use crate::cmp::testing::{Device, Hospital, Letter, NOW, ask, fresh, random, secret};
use crate::cmp::transactions::{Settlement, TransactionLimits, Transactions};
use lanyard_pki::revocation::Reason;

struct Bench {
    hospital: Hospital,
    server: Server,
    transactions: Transactions,
}

impl Bench {
    fn new() -> Self {
        let hospital = Hospital::new();
        let server = hospital.server(Policy::default());
        Self { hospital, server, transactions: Transactions::new(TransactionLimits::default()) }
    }

    fn anchors(&self) -> Anchors {
        Anchors::new(vec![self.hospital.root().clone()]).unwrap()
    }

    fn by_secret(&self, mac: Mac) -> Client {
        let credential = Credential::Secret {
            reference: secret(1).id().to_string(),
            secret: Zeroizing::new(secret(1).reveal().to_owned()),
            mac,
        };
        Client::new(credential, Trust::ControlPlane(self.anchors()))
    }

    fn by_certificate(&self) -> Client {
        let chain = vec![self.hospital.device.certificate.clone(), self.hospital.issuing().clone()];
        Client::new(Credential::Certificate(chain), Trust::ControlPlane(self.anchors()))
            .to(self.hospital.issuing().subject_der())
    }

    /// Asks for a certificate for a new key: what the server would get.
    fn start(&self, client: &Client, kind: EnrollKind, implicit_confirm: bool) -> (Enrolling, Vec<u8>) {
        let (label, spki) = self.hospital.new_key(KeyKind::P256);
        let request = csr::build(&spki, "pump", |m| self.hospital.sign(&label, m)).unwrap();
        let key_or_request = if kind == EnrollKind::Pkcs10 { &request } else { &spki };
        let wish =
            Wish { kind, key_or_request, common_name: "pump", profile: Some("infusion"), implicit_confirm };
        client
            .enroll(
                &wish,
                &|m| self.hospital.sign(&label, m),
                &|m| self.hospital.sign(&self.hospital.device.label, m),
                random(),
                (fresh(), NOW),
            )
            .unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.hospital.sign(&self.hospital.device.label, message)
    }

    /// What the server answers; `outcome` None issues.
    fn answer(&mut self, message: &[u8], outcome: Option<Outcome>) -> Vec<u8> {
        let asked = ask(&self.server, &mut self.transactions, message, Some(&secret(1)), NOW).unwrap();
        let draft = match asked {
            Request::Enroll(enroll) => {
                assert_eq!(enroll.request.profile.as_deref(), Some("infusion"));
                let issued = Outcome::Issued { chain: self.hospital.chain(&enroll.request.csr) };
                let outcome = outcome.unwrap_or(issued);
                enroll.answer(&self.server, &outcome, &mut self.transactions, fresh(), NOW)
            }
            Request::Confirm(confirm) => confirm.answer(fresh(), NOW),
            Request::Revoke(revoke) => revoke.answer(&RevocationOutcome::Revoked, fresh(), NOW),
            other => panic!("{other:?}"),
        };
        self.hospital.finish(&self.server, draft).body
    }

    fn settled(&mut self) -> Vec<Settlement> {
        self.transactions.take_settled().into_iter().map(|s| s.how).collect()
    }
}

fn wait() -> Option<Outcome> {
    Some(Outcome::Pending { retry_after_seconds: 60, why: "approval is missing".into() })
}

fn issued(progress: Progress) -> Issued {
    match progress {
        Progress::Issued(issued) => *issued,
        other => panic!("{other:?}"),
    }
}

// R36, R42
#[test]
fn client_and_server_agree_on_every_kind_by_secret_and_by_certificate() {
    let mut bench = Bench::new();
    let kinds =
        [EnrollKind::Initialization, EnrollKind::Certification, EnrollKind::Pkcs10, EnrollKind::KeyUpdate];
    let clients = [bench.by_secret(Mac::Pbm), bench.by_secret(Mac::Pbmac1), bench.by_certificate()];
    for client in clients {
        let by_secret = matches!(client.credential, Credential::Secret { .. });
        for kind in kinds {
            if by_secret && kind == EnrollKind::KeyUpdate {
                continue;
            }
            // At once, without confirmation.
            let (mut enrolling, message) = bench.start(&client, kind, true);
            let reply = bench.answer(&message, None);
            let got = issued(enrolling.read(&client, &reply, NOW).unwrap());
            assert!(got.unconfirmed.is_none() && got.modified, "{kind:?}: the name is the record's");
            assert_eq!(got.issuers.first(), Some(bench.hospital.issuing()), "{kind:?}");
            let rooted = by_secret && kind == EnrollKind::Initialization;
            let roots = if rooted { vec![bench.hospital.root().clone()] } else { vec![] };
            assert_eq!(got.roots, roots, "{kind:?}");
            // After two times waiting, confirmed.
            let (mut enrolling, message) = bench.start(&client, kind, false);
            let mut reply = bench.answer(&message, wait());
            let expected = [0, 60];
            for seconds in expected {
                match enrolling.read(&client, &reply, NOW).unwrap() {
                    Progress::Wait { seconds: told, why } => {
                        assert_eq!((told, why.as_str()), (seconds, "approval is missing"), "{kind:?}");
                    }
                    other => panic!("{other:?}"),
                }
                let poll = enrolling.poll(&client, &|m| bench.sign(m), (fresh(), NOW)).unwrap();
                let outcome = if seconds == 0 { wait() } else { None };
                reply = bench.answer(&poll, outcome);
            }
            let got = issued(enrolling.read(&client, &reply, NOW).unwrap());
            let mut unconfirmed = got.unconfirmed.unwrap();
            let verdict = Verdict::Accept;
            let message = unconfirmed.confirm(&client, verdict, &|m| bench.sign(m), (fresh(), NOW)).unwrap();
            let reply = bench.answer(&message, None);
            assert_eq!(unconfirmed.read(&client, &reply, NOW), Ok(Ok(())));
            assert_eq!(bench.settled(), [Settlement::Confirmed], "{kind:?}");
        }
    }
    assert_eq!(bench.transactions.open(), 0);
}

#[test]
fn a_certificate_that_the_client_rejects_is_settled_so() {
    let mut bench = Bench::new();
    let client = bench.by_certificate();
    let (mut enrolling, message) = bench.start(&client, EnrollKind::KeyUpdate, false);
    let reply = bench.answer(&message, None);
    let mut unconfirmed = issued(enrolling.read(&client, &reply, NOW).unwrap()).unconfirmed.unwrap();
    let verdict = Verdict::Reject("its path does not end in my root");
    let message = unconfirmed.confirm(&client, verdict, &|m| bench.sign(m), (fresh(), NOW)).unwrap();
    let reply = bench.answer(&message, None);
    assert_eq!(unconfirmed.read(&client, &reply, NOW), Ok(Ok(())));
    assert_eq!(bench.settled(), [Settlement::Rejected("its path does not end in my root".into())]);
}

#[test]
fn the_servers_no_is_read_with_its_reason() {
    let mut bench = Bench::new();
    let client = bench.by_secret(Mac::Pbm);
    for (outcome, fail, temporary) in [
        (
            Outcome::Refused { code: "retired".into(), why: "the record is retired".into() },
            FailInfo::NotAuthorized,
            false,
        ),
        (Outcome::Unavailable { why: "key store away".into() }, FailInfo::SystemUnavail, true),
        (
            Outcome::Issued { chain: vec![bench.hospital.issuing().der().to_vec()] },
            FailInfo::SystemFailure,
            true,
        ),
    ] {
        let (mut enrolling, message) = bench.start(&client, EnrollKind::Initialization, true);
        let reply = bench.answer(&message, Some(outcome));
        match enrolling.read(&client, &reply, NOW).unwrap() {
            Progress::Declined(declined) => {
                assert!(declined.is(fail) && !declined.why().is_empty());
                assert_eq!(declined.is_temporary(), temporary);
            }
            other => panic!("{other:?}"),
        }
    }
}

// R49
#[test]
fn client_and_server_agree_on_a_revocation() {
    let mut bench = Bench::new();
    let own = CertificateId::of(&bench.hospital.device.certificate);
    let client = bench.by_certificate();
    let what = (&own, Reason::CessationOfOperation);
    let (mut revoking, message) = client.revoke(what, &|m| bench.sign(m), random(), (fresh(), NOW)).unwrap();
    let reply = bench.answer(&message, None);
    assert_eq!(revoking.read(&client, &reply, NOW), Ok(Ok(())));
    // No.
    let (mut revoking, message) = client.revoke(what, &|m| bench.sign(m), random(), (fresh(), NOW)).unwrap();
    let asked = ask(&bench.server, &mut bench.transactions, &message, None, NOW).unwrap();
    let Request::Revoke(revoke) = asked else { panic!("a revocation") };
    let draft = revoke.answer(&RevocationOutcome::AlreadyRevoked, fresh(), NOW);
    let reply = bench.hospital.finish(&bench.server, draft).body;
    let declined = revoking.read(&client, &reply, NOW).unwrap().unwrap_err();
    assert!(declined.is(FailInfo::CertRevoked) && !declined.is_temporary());
    let by_secret = bench.by_secret(Mac::Pbm);
    let refused = by_secret.revoke(what, &|m| bench.sign(m), random(), (fresh(), NOW));
    assert!(matches!(refused, Err(BuildError::MustBeSigned)));
}

// I12
#[test]
fn an_answer_cut_or_changed_anywhere_is_not_believed() {
    let mut bench = Bench::new();
    for (client, bits) in [(bench.by_secret(Mac::Pbm), 8), (bench.by_certificate(), 1)] {
        let (mut enrolling, message) = bench.start(&client, EnrollKind::Certification, true);
        let reply = bench.answer(&message, None);
        let extra: usize =
            Parts::of(&reply).unwrap().extra_certificates().unwrap().iter().map(|c| c.len()).sum();
        let protected = reply.len() - extra - 8;
        for at in 0..reply.len() {
            assert!(enrolling.read(&client, &reply[..at], NOW).is_err(), "cut at {at}");
            if at >= protected {
                continue;
            }
            for bit in 0..bits {
                let mut changed = reply.clone();
                changed[at] ^= 1 << bit;
                assert!(enrolling.read(&client, &changed, NOW).is_err(), "bit {bit} at {at}");
            }
        }
        assert!(matches!(
            enrolling.read(&client, &vec![0x30; crate::cmp::MAX_MESSAGE_BYTES + 1], NOW),
            Err(ReplyError::TooLarge(_))
        ));
        issued(enrolling.read(&client, &reply, NOW).unwrap());
    }
}

#[test]
fn an_answer_to_another_message_or_of_another_time_is_not_taken() {
    let mut bench = Bench::new();
    let client = bench.by_secret(Mac::Pbm);
    let (mut one, first) = bench.start(&client, EnrollKind::Initialization, true);
    let (mut two, _) = bench.start(&client, EnrollKind::Initialization, true);
    let reply = bench.answer(&first, None);
    assert_eq!(two.read(&client, &reply, NOW).unwrap_err(), ReplyError::OtherExchange);
    for (seconds, fits) in [(900, true), (-900, true), (901, false), (-901, false)] {
        let read = one.read(&client, &reply, NOW.plus_seconds(seconds));
        assert_eq!(read.is_ok(), fits, "{seconds}");
        if let Err(why) = read {
            assert!(matches!(why, ReplyError::Clock { apart_seconds: 901, .. }), "{why}");
        }
    }
    // An answer to the first message where one to the second is due.
    let (mut enrolling, message) = bench.start(&client, EnrollKind::Initialization, true);
    let waiting = bench.answer(&message, wait());
    enrolling.read(&client, &waiting, NOW).unwrap();
    enrolling.poll(&client, &|m| bench.sign(m), (fresh(), NOW)).unwrap();
    assert_eq!(enrolling.read(&client, &waiting, NOW).unwrap_err(), ReplyError::OtherExchange);
}

// R53: an impostor, even one with a certificate of the same authority, is not believed.
#[test]
fn only_the_control_plane_speaks_for_the_server() {
    let bench = Bench::new();
    let client = bench.by_certificate();
    let (mut enrolling, message) = bench.start(&client, EnrollKind::Certification, true);
    let asked = Parts::of(&message).unwrap().header().unwrap();
    let no = {
        let mut content = Vec::new();
        write::tlv(&mut content, write::SEQUENCE, |o| {
            StatusInfo::rejection(FailInfo::NotAuthorized, "go away").write(o);
        });
        content
    };
    let reply = || {
        let mut letter = Letter::new(Kind::Error, no.clone());
        letter.header.transaction = asked.transaction.clone();
        letter.header.recipient_nonce = asked.sender_nonce.clone();
        letter
    };
    let impostor = bench.hospital.another_device("impostor");
    let foreign = Hospital::new();
    let own = |device: &Device| reply().signed(&bench.hospital, device);
    let mut untrusted = |client: &Client, bytes: &[u8]| match enrolling.read(client, bytes, NOW) {
        Err(ReplyError::Untrusted { why, says }) => {
            assert_eq!(says.as_deref(), Some("go away"));
            Some(*why)
        }
        Ok(Progress::Declined(declined)) => {
            assert_eq!(declined.why(), "go away");
            None
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(untrusted(&client, &own(&impostor)), Some(Untrusted::Path(_))));
    assert!(matches!(
        untrusted(&client, &reply().signed(&foreign, &foreign.signer)),
        Some(Untrusted::Path(_))
    ));
    let other_key = reply().by(&bench.hospital.signer, &bench.hospital);
    let other_key = other_key.sign(&bench.hospital, &impostor.label);
    assert_eq!(untrusted(&client, &other_key), Some(Untrusted::Signature));
    let mut nobody = reply().by(&bench.hospital.signer, &bench.hospital);
    nobody.extra.clear();
    let nobody = nobody.sign(&bench.hospital, &bench.hospital.signer.label);
    assert_eq!(untrusted(&client, &nobody), Some(Untrusted::NoSigner));
    assert_eq!(untrusted(&client, &reply().mac(&secret(1))), Some(Untrusted::Mac), "we have no secret");
    let mut unprotected = reply();
    unprotected.header.sender = Some(vec![0x30, 0]);
    let unprotected = unprotected.sign(&bench.hospital, &impostor.label);
    assert_eq!(untrusted(&client, &unprotected), Some(Untrusted::Unprotected));
    let good = own(&bench.hospital.signer);
    assert_eq!(untrusted(&client, &good), None);
    // By other kinds of trust.
    let chain = vec![bench.hospital.device.certificate.clone()];
    let with = |trust| Client::new(Credential::Certificate(chain.clone()), trust);
    let pinned = with(Trust::Pinned(vec![bench.hospital.signer.certificate.clone()]));
    assert_eq!(untrusted(&pinned, &good), None);
    assert_eq!(untrusted(&pinned, &nobody), None, "it need not come along");
    assert_eq!(untrusted(&pinned, &own(&impostor)), Some(Untrusted::NotTheServer));
    assert_eq!(untrusted(&with(Trust::SecretOnly), &good), Some(Untrusted::NotTheServer));
    // With a secret of ours, another's does not do.
    assert_eq!(untrusted(&bench.by_secret(Mac::Pbm), &reply().mac(&secret(2))), Some(Untrusted::Mac));
    assert_eq!(untrusted(&bench.by_secret(Mac::Pbm), &reply().mac(&secret(1))), None);
}

#[test]
fn a_certificate_for_another_key_or_none_is_not_taken() {
    let bench = Bench::new();
    let client = bench.by_secret(Mac::Pbm);
    let (mut enrolling, message) = bench.start(&client, EnrollKind::Initialization, true);
    let asked = Parts::of(&message).unwrap().header().unwrap();
    let mut read = |kind, content: Vec<u8>| {
        let mut letter = Letter::new(kind, content);
        letter.header.transaction = asked.transaction.clone();
        letter.header.recipient_nonce = asked.sender_nonce.clone();
        enrolling.read(&client, &letter.mac(&secret(1)), NOW).unwrap_err()
    };
    let reply = |request_id, certificate: Option<&Certificate>| {
        let status = StatusInfo::new(crate::cmp::status::Status::Accepted, "");
        let certificate = certificate.map(|c| c.der().as_ref());
        crate::cmp::cert_reply::CertReply { request_id, status, certificate, ca_pubs: vec![] }.write()
    };
    let other = &bench.hospital.device.certificate;
    assert_eq!(read(Kind::Ip, reply(0, Some(other))), ReplyError::OtherKey);
    assert_eq!(read(Kind::Ip, reply(0, None)), ReplyError::NoCertificate);
    assert_eq!(read(Kind::Ip, reply(1, Some(other))), ReplyError::RequestId);
    assert_eq!(read(Kind::Cp, reply(0, Some(other))), ReplyError::Kind);
    assert_eq!(read(Kind::PkiConf, vec![5, 0]), ReplyError::Kind);
    assert_eq!(read(Kind::Ir, vec![0x30, 0]), ReplyError::Kind);
    assert!(matches!(read(Kind::Ip, vec![0x30, 0]), ReplyError::Malformed(_)));
}

#[test]
fn a_client_that_signs_with_the_wrong_key_sees_it_before_the_server_does() {
    let bench = Bench::new();
    let client = bench.by_certificate();
    let (label, spki) = bench.hospital.new_key(KeyKind::P256);
    let wish = |kind| Wish {
        kind,
        key_or_request: spki.as_slice(),
        common_name: "pump",
        profile: None,
        implicit_confirm: true,
    };
    let (own, other): (KeyLabel, KeyLabel) = (label, bench.hospital.device.label.clone());
    let enroll = |client: &Client, kind, label: &KeyLabel| {
        client
            .enroll(
                &wish(kind),
                &|m| bench.hospital.sign(label, m),
                &|m| bench.sign(m),
                random(),
                (fresh(), NOW),
            )
            .map(|_| ())
    };
    assert!(enroll(&client, EnrollKind::Certification, &own).is_ok());
    let wrong = enroll(&client, EnrollKind::Certification, &other);
    assert!(matches!(wrong, Err(BuildError::WrongSigner(_))), "{wrong:?}");
    let missing = enroll(&client, EnrollKind::Certification, &"none".parse().unwrap());
    assert!(matches!(missing, Err(BuildError::Signer(KeyError::NotFound(_)))));
    assert!(matches!(enroll(&client, EnrollKind::Pkcs10, &own), Err(BuildError::Request(_))));
    let by_secret = bench.by_secret(Mac::Pbm);
    assert!(matches!(enroll(&by_secret, EnrollKind::KeyUpdate, &own), Err(BuildError::MustBeSigned)));
    let empty = Client::new(Credential::Certificate(vec![]), Trust::SecretOnly);
    for kind in [EnrollKind::KeyUpdate, EnrollKind::Certification] {
        assert!(matches!(enroll(&empty, kind, &own), Err(BuildError::NoCertificate)));
    }
}

// I10
#[test]
fn a_clients_secret_is_not_printed() {
    let bench = Bench::new();
    let printed = format!("{:?}", bench.by_secret(Mac::Pbm));
    assert!(!printed.contains(secret(1).reveal().split_once('-').unwrap().1), "{printed}");
    assert!(printed.contains(&secret(1).id().to_string()));
}
