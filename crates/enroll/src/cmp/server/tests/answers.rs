//! What goes back, and who says it.

use super::*;

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

#[test]
fn a_server_without_a_signer_that_clients_accept_is_not_made() {
    let hospital = Hospital::new();
    let make = |chain| Server::new(chain, vec![], Policy::default()).map(|_| ());
    assert_eq!(make(vec![]), Err(BadServer::NoSigner));
    assert_eq!(make(vec![hospital.issuing().clone()]), Err(BadServer::MayNotSign));
    assert_eq!(make(vec![hospital.signer.certificate.clone()]), Ok(()));
}
