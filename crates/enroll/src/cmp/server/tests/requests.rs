//! What is asked for: keys and their proofs, questions.

use super::*;

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
    let mut csr = csr::build(&spki, "pump", |m| bench.hospital.sign(&label, m)).unwrap();
    *csr.last_mut().unwrap() ^= 1;
    let refusal = refusal_of(bench.ask(&Letter::new(Kind::P10cr, csr).mac(&secret(1))));
    assert_eq!(refusal.fail_info(), FailInfo::BadPop);
    assert_eq!(bench.transactions.open(), 0);
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
        let mut point = Vec::new();
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
