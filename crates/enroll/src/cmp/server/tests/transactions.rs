//! More than one message: confirming, asking again, giving up, limits.

use super::*;

// RFC 9810 5.3.18
#[test]
fn a_confirmation_settles_the_certificate_as_it_says() {
    let mut bench = Bench::new();
    let rejection = StatusInfo::rejection(FailInfo::BadCertTemplate, "no SAN");
    type Edit = fn(&mut Confirmation);
    let cases: [(Edit, Option<StatusInfo>, Settlement); 5] = [
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

// Requests of strangers are all refused, and must not push out what is remembered of others.
#[test]
fn what_is_refused_is_not_remembered() {
    let mut bench = Bench::new();
    let message = bench.ir().mac(&secret(1));
    for outcome in [
        Outcome::Refused { code: "unknown".into(), why: "no record".into() },
        Outcome::Unavailable { why: "log away".into() },
    ] {
        let Ok(Request::Enroll(enroll)) = bench.ask(&message) else { panic!("served again") };
        let draft = enroll.answer(&bench.server, &outcome, &mut bench.transactions, fresh(), NOW);
        bench.hospital.finish(&bench.server, draft);
        assert_eq!(bench.transactions.open(), 0);
    }
    // Told so before a transaction is opened.
    let received = bench.server.receive(&message, Some(CONTENT_TYPE), &Endpoint::default(), NOW).unwrap();
    assert!(!received.continues_a_transaction());
    let verified = received.verify(Some(&secret(1))).unwrap();
    let draft = verified.refuse(FailInfo::SignerNotTrusted, "no such device", fresh(), NOW);
    let reply = bench.hospital.finish(&bench.server, draft);
    let parts = Parts::of(&reply.body).unwrap();
    let status = parts.body().unwrap().fields().any().unwrap();
    assert!(StatusInfo::read(status).unwrap().says(FailInfo::SignerNotTrusted));
    assert_eq!(bench.transactions.open(), 0);
}

// A revocation must not take the number of a transaction that is open.
#[test]
fn an_open_transactions_number_is_not_taken_by_another_message() {
    let mut bench = Bench::new();
    let (header, _) = bench.unconfirmed();
    let own = CertificateId::of(&bench.hospital.device.certificate);
    let rr = revocation::write(&own, Reason::Superseded);
    let taken = |letter: Letter| letter.edit(|h| h.transaction = header.transaction.clone());
    let revoke = taken(Letter::new(Kind::Rr, rr)).signed(&bench.hospital, &bench.hospital.device);
    let again = taken(bench.ir()).mac(&secret(1));
    for message in [revoke, again] {
        assert_eq!(refusal_of(bench.ask(&message)), Refusal::TransactionInUse);
    }
    // What goes on with it does.
    let poll = Letter::after(&header, Kind::PollReq, poll::write_request(0)).mac(&secret(1));
    let received = bench.server.receive(&poll, Some(CONTENT_TYPE), &Endpoint::default(), NOW).unwrap();
    assert!(received.continues_a_transaction());
    assert_eq!(refusal_of(bench.ask(&poll)), Refusal::NotNow);
}

// Whoever lost an answer asks again with the same secret and key, and is given the same certificate: it must not be revoked
// because the first answer was never confirmed.
#[test]
fn a_certificate_that_was_given_twice_is_settled_once_by_what_its_client_says() {
    let mut bench = Bench::new();
    let request = bench.hospital.cert_req(None);
    let mut issued: Option<Vec<Vec<u8>>> = None;
    let mut again = |bench: &mut Bench, implicit: bool| {
        let letter = Letter::new(Kind::Ir, request.clone());
        let message = letter.edit(|h| h.implicit_confirm = implicit).mac(&secret(1));
        let Ok(Request::Enroll(enroll)) = bench.ask(&message) else { panic!("served") };
        let chain = issued.get_or_insert_with(|| bench.hospital.chain(&enroll.request.csr)).clone();
        let outcome = Outcome::Issued { chain };
        let draft = enroll.answer(&bench.server, &outcome, &mut bench.transactions, fresh(), NOW);
        let reply = bench.hospital.finish(&bench.server, draft);
        Parts::of(&reply.body).unwrap().header().unwrap()
    };
    let first = again(&mut bench, false);
    // Silence in one while the other is open is no silence.
    let second = again(&mut bench, false);
    let ended = TransactionId(first.transaction.clone().unwrap());
    bench.transactions.end(&ended, Settlement::TimedOut, NOW);
    assert_eq!((bench.transactions.open(), bench.settled()), (1, vec![]));
    // What is said in one of them holds for both.
    again(&mut bench, false);
    let nothing = Letter::after(&second, Kind::CertConf, vec![0x30, 0]).mac(&secret(1));
    assert!(bench.ask(&nothing).is_ok());
    assert_eq!((bench.transactions.open(), bench.settled()), (0, vec![Settlement::Rejected(String::new())]));
    // Also if it is said beforehand.
    again(&mut bench, false);
    again(&mut bench, false);
    again(&mut bench, true);
    assert_eq!((bench.transactions.open(), bench.settled()), (0, vec![Settlement::Confirmed]));
    // The last one that nothing is said in tells of the silence.
    again(&mut bench, false);
    again(&mut bench, false);
    bench.transactions.expire(NOW.plus_seconds(601));
    assert_eq!(bench.settled(), [Settlement::TimedOut]);
}
