//! Who sent it: secrets, certificates, changed bytes.

use super::*;

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
    let rr = revocation::write(&own, Reason::Superseded);
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
        let rr = revocation::write(&certificate, Reason::KeyCompromise);
        let message = Letter::new(Kind::Rr, rr).signed(&bench.hospital, &bench.hospital.device);
        let Ok(Request::Revoke(revoke)) = bench.ask(&message) else { panic!("a revocation") };
        assert_eq!((revoke.request.is_own, revoke.request.certificate.clone()), (is_own, certificate));
        assert_eq!(revoke.request.reason, Reason::KeyCompromise);
        assert!(bench.ask(&message).is_ok(), "revoking twice is revoking once");
    }
    let unnamed = Letter::new(Kind::Rr, vec![0x30, 4, 0x30, 2, 0x30, 0]);
    let unnamed = unnamed.signed(&bench.hospital, &bench.hospital.device);
    assert!(matches!(refusal_of(bench.ask(&unnamed)), Refusal::Revocation(_)));
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
