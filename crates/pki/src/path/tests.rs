use super::*;
use crate::oid;
use crate::testing::{self, Installation, Issued, NOW};
use crate::write::Critical;

fn chain(a: &Installation, issued: &Issued) -> Vec<CertificateDer<'static>> {
    vec![issued.certificate.der().clone(), a.authority.issuing.certificate().der().clone()]
}

fn anchors(a: &Installation) -> Anchors {
    Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap()
}

#[test]
fn what_we_issue_is_accepted_for_its_purposes_only() {
    use Purpose::{Client, Server};
    let a = Installation::new();
    let device = PeerIdentity::Device(testing::device_id());
    let gateway = PeerIdentity::Gateway(testing::gateway_id());
    for (issued, purpose, expected) in [
        (a.device(), Client, Ok(device)),
        (a.device(), Server, Err(Rule::PurposeNotNamed)),
        (a.gateway(), Client, Ok(gateway)),
        (a.gateway(), Server, Ok(gateway)),
        (a.control(), Server, Ok(PeerIdentity::Control)),
        (a.control(), Client, Err(Rule::PurposeNotNamed)),
    ] {
        let found = validate(&chain(&a, &issued), &anchors(&a), purpose, NOW);
        match expected {
            Ok(identity) => {
                let verified = found.unwrap();
                assert_eq!(verified.identity(), identity);
                assert_eq!(verified.anchor(), a.authority.root.certificate());
                assert_eq!(verified.issuers(), [a.authority.issuing.certificate().clone()]);
                assert_eq!(verified.verified_at(), NOW);
            }
            Err(rule) => assert_eq!(found.unwrap_err(), PathError::Refused { position: 0, rule }),
        }
    }
}

#[test]
fn a_chain_is_refused_outside_of_its_validity_to_the_second() {
    let a = Installation::new();
    let device = a.device();
    let at = |now| validate(&chain(&a, &device), &anchors(&a), Purpose::Client, now).map(drop);
    let (from, to) = (device.certificate.not_before(), device.certificate.not_after());
    assert_eq!(at(from), Ok(()));
    assert_eq!(at(to), Ok(()));
    assert_eq!(at(from.plus_seconds(-1)), Err(PathError::NotYetValid { not_before: from }));
    assert_eq!(at(to.plus_seconds(1)), Err(PathError::Expired { not_after: to }));
}

// R53
#[test]
fn certificates_of_another_authority_are_refused() {
    let (a, b) = (Installation::new(), Installation::new());
    let foreign = b.device();
    for chain in [
        chain(&b, &foreign),
        vec![foreign.certificate.der().clone()],
        // Our issuing CA beside it helps nothing: the signature is not ours.
        chain(&a, &foreign),
        // Nor does the foreign root.
        vec![
            foreign.certificate.der().clone(),
            b.authority.issuing.certificate().der().clone(),
            b.authority.root.certificate().der().clone(),
        ],
    ] {
        assert_eq!(
            validate(&chain, &anchors(&a), Purpose::Client, NOW).unwrap_err(),
            PathError::UnknownIssuer
        );
    }
}

#[test]
fn an_anchor_outside_of_its_validity_is_not_trusted() {
    let old = Installation::at(NOW.plus_seconds(-86_400 * 365 * 11));
    let fresh = Installation::new();
    // Signed today with the key of an authority that ended a year ago.
    let (_, csr) = old.csr();
    let mut forged = old.forge(|_| {});
    forged.certificate = old.sign_draft(
        &testing::Draft {
            serial: testing::serial(1),
            not_before: NOW.plus_seconds(-60),
            not_after: NOW.plus_seconds(3600),
            subject: forged.certificate.subject_der().to_vec(),
            spki: csr.spki_der().to_vec(),
            extensions: vec![
                ("key_usage", testing::key_usage(&[7, 0x80])),
                ("purposes", testing::purposes(&[oid::CLIENT_AUTH])),
                ("no_rev_avail", crate::tbs::no_rev_avail()),
                (
                    "names",
                    testing::names(
                        &[&format!("{}.device.x.example", testing::device_id())],
                        &[&testing::device_id().urn()],
                    ),
                ),
                ("authority_key_id", crate::tbs::authority_key_id(&[1; 20])),
            ],
        },
        &old.authority.root,
    );
    let both = Anchors::new(vec![
        old.authority.root.certificate().clone(),
        fresh.authority.root.certificate().clone(),
    ])
    .unwrap();
    assert_eq!(
        validate(&[forged.certificate.der().clone()], &both, Purpose::Client, NOW).unwrap_err(),
        PathError::AnchorOutsideValidity
    );
    assert!(validate(&chain(&fresh, &fresh.device()), &both, Purpose::Client, NOW).is_ok());
}

// The rules that webpki does not have, each broken in a certificate that our CA really signed.
#[test]
fn every_rule_refuses() {
    let a = Installation::new();
    let id = testing::device_id();
    let dns = format!("{id}.device.hospital.example");
    let crl = {
        let mut out = Vec::new();
        crate::write::extension(&mut out, &oid::CRL_DISTRIBUTION_POINTS, Critical::No, |o| {
            // One DistributionPoint with fullName URI "x".
            o.extend_from_slice(&[0x30, 9, 0x30, 7, 0xa0, 5, 0xa0, 3, 0x86, 1, b'x']);
        });
        out
    };
    type Edit<'a> = Box<dyn FnOnce(&mut testing::Draft) + 'a>;
    let rows: Vec<(Rule, Edit<'_>)> = vec![
        (Rule::EndEntityIsCa, Box::new(|d| d.set("basic", testing::authority(Critical::Yes)))),
        (Rule::NoDigitalSignature, Box::new(|d| d.remove("key_usage"))),
        (Rule::NoDigitalSignature, Box::new(|d| d.set("key_usage", testing::key_usage(&[5, 0x20])))),
        (Rule::EndEntityMaySign, Box::new(|d| d.set("key_usage", testing::key_usage(&[2, 0x84])))),
        (Rule::EndEntityMaySign, Box::new(|d| d.set("key_usage", testing::key_usage(&[1, 0x82])))),
        (Rule::PurposeNotNamed, Box::new(|d| d.remove("purposes"))),
        (Rule::PurposeNotNamed, Box::new(|d| d.set("purposes", testing::purposes(&[oid::SERVER_AUTH])))),
        (
            Rule::AnyPurpose,
            Box::new(|d| d.set("purposes", testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE]))),
        ),
        (
            Rule::AnyPurpose,
            Box::new(|d| {
                d.set("purposes", testing::purposes(&[oid::CLIENT_AUTH, oid::ANY_EXTENDED_KEY_USAGE]));
            }),
        ),
        (Rule::NoAuthorityKeyId, Box::new(|d| d.remove("authority_key_id"))),
        (Rule::RevocationUnknown, Box::new(|d| d.remove("no_rev_avail"))),
        (Rule::RevocationUnknown, Box::new(|d| d.set("crl", crl.clone()))),
        (Rule::ForeignNames, Box::new(|d| d.remove("names"))),
        (Rule::ForeignNames, Box::new(|d| d.set("names", testing::names(&[&dns], &[])))),
        (Rule::ForeignNames, Box::new(|d| d.set("names", testing::names(&[], &[&id.urn()])))),
        (
            Rule::ForeignNames,
            Box::new(|d| {
                d.set("names", testing::names(&[&dns], &["urn:uuid:00000000-0000-4000-8000-000000000000"]))
            }),
        ),
        (Rule::ForeignNames, Box::new(|d| d.set("names", testing::names(&[&dns, &dns], &[&id.urn()])))),
        (
            Rule::ForeignNames,
            Box::new(|d| d.set("names", testing::names(&[&dns, "other.example"], &[&id.urn()]))),
        ),
        (
            Rule::ForeignNames,
            Box::new(|d| d.set("names", testing::names(&[&dns, "control.example"], &[&id.urn()]))),
        ),
        (Rule::WeakKey, Box::new(|d| d.spki = weak_rsa())),
    ];
    let mut seen = std::collections::HashSet::new();
    for (rule, edit) in rows {
        let forged = a.forge(edit);
        assert_eq!(
            validate(&chain(&a, &forged), &anchors(&a), Purpose::Client, NOW).unwrap_err(),
            PathError::Refused { position: 0, rule }
        );
        seen.insert(rule);
    }
    // Without an edit the same draft is good: each refusal above comes from its edit.
    assert!(validate(&chain(&a, &a.forge(|_| {})), &anchors(&a), Purpose::Client, NOW).is_ok());
    assert_eq!(seen.len(), 9, "the two rules on issuers stand in the next test");
}

fn weak_rsa() -> Vec<u8> {
    let mut key = Vec::new();
    crate::write::tlv(&mut key, crate::write::SEQUENCE, |o| {
        let modulus: Vec<u8> = std::iter::once(0).chain([0xc1; 128]).collect();
        crate::write::bytes(o, crate::write::INTEGER, &modulus);
        crate::write::bytes(o, crate::write::INTEGER, &[1, 0, 1]);
    });
    let mut out = Vec::new();
    crate::write::tlv(&mut out, crate::write::SEQUENCE, |o| {
        crate::write::tlv(o, crate::write::SEQUENCE, |o| {
            crate::write::oid(o, &oid::RSA_ENCRYPTION);
            o.extend_from_slice(&[5, 0]);
        });
        crate::write::bit_string(o, &key);
    });
    out
}

#[test]
fn an_issuer_that_may_not_sign_is_refused() {
    let a = Installation::new();
    let issuing = a.authority.issuing.certificate();
    let device = a.device();
    let key_id = issuing.facts().subject_key_id.clone().unwrap();
    // The issuing CA's name and key again, certified by the root with other extensions.
    let reissue = |extensions| {
        let draft = testing::Draft {
            serial: testing::serial(7),
            not_before: issuing.not_before(),
            not_after: issuing.not_after(),
            subject: issuing.subject_der().to_vec(),
            spki: issuing.public_key().unwrap().der().to_vec(),
            extensions,
        };
        a.sign_draft(&draft, &a.authority.root)
    };
    let aki = crate::tbs::authority_key_id(&[1; 20]);
    let ski = crate::tbs::subject_key_id(&key_id);
    let sign = testing::key_usage(&[1, 0x06]);
    let ca = testing::authority(Critical::Yes);
    for (rule, extensions) in [
        (Rule::IssuerMayNotSign, vec![("ca", ca.clone()), ("aki", aki.clone())]),
        (
            Rule::IssuerMayNotSign,
            vec![("ca", ca.clone()), ("aki", aki.clone()), ("ku", testing::key_usage(&[7, 0x80]))],
        ),
        (
            Rule::IssuerIsNoCa,
            vec![("ca", testing::authority(Critical::No)), ("aki", aki.clone()), ("ku", sign.clone())],
        ),
        (Rule::NoAuthorityKeyId, vec![("ca", ca.clone()), ("ski", ski), ("ku", sign.clone())]),
    ] {
        let chain = [device.certificate.der().clone(), reissue(extensions).der().clone()];
        assert_eq!(
            validate(&chain, &anchors(&a), Purpose::Client, NOW).unwrap_err(),
            PathError::Refused { position: 1, rule }
        );
    }
    let chain = [device.certificate.der().clone(), reissue(vec![("ku", sign), ("aki", aki)]).der().clone()];
    assert!(matches!(
        validate(&chain, &anchors(&a), Purpose::Client, NOW),
        Err(PathError::Invalid(why)) if why.contains("EndEntityUsedAsCa")
    ));
}

// A device's key must not be able to make devices.
#[test]
fn a_device_certificate_signs_nothing() {
    let a = Installation::new();
    let device = a.device();
    let (_, csr) = a.csr();
    let algorithm = crate::tbs::algorithm_identifier(&oid::ECDSA_WITH_SHA256);
    let names = testing::names(
        &[&format!("{}.device.hospital.example", testing::device_id())],
        &[&testing::device_id().urn()],
    );
    let tbs = crate::tbs::Tbs {
        serial: &testing::serial(8),
        signature_algorithm: &algorithm,
        issuer: device.certificate.subject_der(),
        not_before: NOW.plus_seconds(-60),
        not_after: NOW.plus_seconds(60),
        subject: device.certificate.subject_der(),
        spki: csr.spki_der(),
        extensions: &[
            &testing::key_usage(&[7, 0x80]),
            &testing::purposes(&[oid::CLIENT_AUTH]),
            &crate::tbs::no_rev_avail(),
            &names,
            &crate::tbs::authority_key_id(&[1; 20]),
        ],
    }
    .encode();
    let signature = crate::key::KeyBackend::sign(&*a.keys, &device.label, &tbs).unwrap();
    let mut der = Vec::new();
    crate::write::tlv(&mut der, crate::write::SEQUENCE, |o| {
        o.extend_from_slice(&tbs);
        o.extend_from_slice(&algorithm);
        crate::write::bit_string(o, &signature);
    });
    let chain = [
        CertificateDer::from(der),
        device.certificate.der().clone(),
        a.authority.issuing.certificate().der().clone(),
    ];
    assert!(matches!(validate(&chain, &anchors(&a), Purpose::Client, NOW), Err(PathError::Invalid(_))));
}

// I12
#[test]
fn cut_and_flipped_chains_are_refused() {
    let a = Installation::new();
    let device = a.device();
    let good = chain(&a, &device);
    let leaf = device.certificate.der();
    for at in 0..leaf.len() {
        assert!(Certificate::parse(&leaf[..at]).is_err(), "cut at {at}");
        let mut changed = leaf.to_vec();
        changed[at] ^= 1 << (at % 8);
        let chain = [CertificateDer::from(changed), good[1].clone()];
        assert!(validate(&chain, &anchors(&a), Purpose::Client, NOW).is_err(), "flip at {at}");
    }
}

#[test]
fn empty_and_overlong_chains_are_refused() {
    let a = Installation::new();
    let device = a.device();
    assert_eq!(validate(&[], &anchors(&a), Purpose::Client, NOW).unwrap_err(), PathError::Empty);
    let long = vec![device.certificate.der().clone(); MAX_CHAIN + 1];
    assert_eq!(
        validate(&long, &anchors(&a), Purpose::Client, NOW).unwrap_err(),
        PathError::TooLong { shown: MAX_CHAIN + 1, most: MAX_CHAIN }
    );
    let noise = [CertificateDer::from(vec![0x30; 20])];
    assert!(matches!(
        validate(&noise, &anchors(&a), Purpose::Client, NOW),
        Err(PathError::Certificate { position: 0, .. })
    ));
}

#[test]
fn what_is_no_authority_is_no_anchor() {
    let a = Installation::new();
    assert_eq!(Anchors::new(vec![]).unwrap_err(), AnchorError::None);
    assert!(matches!(
        Anchors::new(vec![a.device().certificate]),
        Err(AnchorError::NotAnAuthority { rule: Rule::IssuerIsNoCa, .. })
    ));
}

#[test]
fn a_chain_of_another_maker_is_checked_without_our_profile_rules() {
    let a = Installation::new();
    let forged = a.forge(|d| {
        d.remove("purposes");
        d.remove("names");
    });
    let path = chain_to_anchor(&chain(&a, &forged), &anchors(&a), NOW).unwrap();
    assert_eq!(path.leaf(), &forged.certificate);
    let b = Installation::new();
    assert_eq!(
        chain_to_anchor(&chain(&a, &forged), &anchors(&b), NOW).unwrap_err(),
        PathError::UnknownIssuer
    );
}
