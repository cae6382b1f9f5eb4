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
    let crl = testing::distribution_point("http://hospital.example/1.crl");
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
        (Rule::ConstraintsOnEndEntity, Box::new(|d| d.set("constraints", constraints(Critical::Yes)))),
        (
            Rule::PathLengthWithoutCa,
            Box::new(|d| d.set("basic", testing::extension("2.5.29.19", Critical::Yes, &[0x30, 3, 2, 1, 0]))),
        ),
        (
            Rule::UnknownCritical,
            Box::new(|d| d.set("unknown", testing::extension("1.2.3.4", Critical::Yes, &[5, 0]))),
        ),
        (Rule::Nameless, Box::new(|d| d.subject = vec![0x30, 0])),
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
    assert_eq!(seen, rules_on(Place::EndEntity));
}

// R38: whoever serves knows which certificates are current; whoever connects knows nothing, and asks for a short life.
#[test]
fn a_listed_certificate_is_good_for_a_client_and_not_for_a_server() {
    let a = Installation::at(NOW.plus_seconds(-3_600));
    let purposes = testing::purposes(&[oid::CLIENT_AUTH, oid::SERVER_AUTH]);
    let crl = testing::distribution_point("http://hospital.example/1.crl");
    let ocsp =
        crate::tbs::authority_info_access(Some(&"http://hospital.example/ocsp".parse().unwrap()), None);
    let forge = |lists: &[(&'static str, &Vec<u8>)], not_after| {
        a.forge(|d| {
            d.set("purposes", purposes.clone());
            if !lists.is_empty() {
                d.remove("no_rev_avail");
            }
            lists.iter().for_each(|(name, list)| d.set(name, list.to_vec()));
            d.not_after = not_after;
        })
    };
    let hour = NOW.plus_seconds(3_600);
    let refused = |rule| PathError::Refused { position: 0, rule };
    for lists in [vec![("crl", &crl)], vec![("ocsp", &ocsp)], vec![("crl", &crl), ("ocsp", &ocsp)]] {
        let listed = chain(&a, &forge(&lists, hour));
        let found = validate(&listed, &anchors(&a), Purpose::Client, NOW).unwrap();
        assert_eq!(found.identity(), PeerIdentity::Device(testing::device_id()));
        let server = validate(&listed, &anchors(&a), Purpose::Server, NOW).unwrap_err();
        assert_eq!(server, refused(Rule::RevocationUnknown));
        let ended = chain(&a, &forge(&lists, NOW.plus_seconds(-1)));
        assert!(validate_expired(&ended, &anchors(&a), Purpose::Client, NOW).is_ok());
    }
    let short = chain(&a, &forge(&[], hour));
    assert!(validate(&short, &anchors(&a), Purpose::Server, NOW).is_ok());
}

#[derive(PartialEq)]
enum Place {
    EndEntity,
    Issuer,
    Anchor,
}

/// All rules, and where they are asked; a rule without a row where it says no fails its test.
fn rules_on(wanted: Place) -> std::collections::HashSet<Rule> {
    use Place::{Anchor, EndEntity, Issuer};
    let places = |rule| -> &[Place] {
        match rule {
            Rule::EndEntityIsCa
            | Rule::NoDigitalSignature
            | Rule::EndEntityMaySign
            | Rule::AnyPurpose
            | Rule::ForeignNames
            | Rule::RevocationUnknown
            | Rule::Nameless
            | Rule::ConstraintsOnEndEntity
            | Rule::PathLengthWithoutCa => &[EndEntity],
            Rule::NoAuthorityKeyId => &[EndEntity, Issuer],
            Rule::NoSubjectKeyId | Rule::ConstraintsNotCritical => &[Issuer],
            Rule::WeakKey | Rule::UnknownCritical => &[EndEntity, Issuer, Anchor],
            Rule::PurposeNotNamed => &[EndEntity, Issuer, Anchor],
            Rule::IssuerMayNotSign
            | Rule::IssuerIsNoCa
            | Rule::IssuerWithoutName
            | Rule::ConstraintsEmpty
            | Rule::PoliciesDemanded => &[Issuer, Anchor],
            Rule::AnchorPathLength => &[Anchor],
        }
    };
    let all = [
        Rule::EndEntityIsCa,
        Rule::NoDigitalSignature,
        Rule::EndEntityMaySign,
        Rule::PurposeNotNamed,
        Rule::AnyPurpose,
        Rule::NoAuthorityKeyId,
        Rule::NoSubjectKeyId,
        Rule::WeakKey,
        Rule::ForeignNames,
        Rule::RevocationUnknown,
        Rule::IssuerMayNotSign,
        Rule::IssuerIsNoCa,
        Rule::IssuerWithoutName,
        Rule::Nameless,
        Rule::ConstraintsOnEndEntity,
        Rule::ConstraintsNotCritical,
        Rule::ConstraintsEmpty,
        Rule::PathLengthWithoutCa,
        Rule::UnknownCritical,
        Rule::PoliciesDemanded,
        Rule::AnchorPathLength,
    ];
    all.into_iter().filter(|rule| places(*rule).contains(&wanted)).collect()
}

/// nameConstraints that permit DNS names under `example`.
fn constraints(critical: Critical) -> Vec<u8> {
    let permitted = [0x30, 13, 0xa0, 11, 0x30, 9, 0x82, 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e'];
    testing::extension("2.5.29.30", critical, &permitted)
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

// The same for the CA between: its name and key again, certified by the root with other extensions.
#[test]
fn every_rule_on_issuers_refuses() {
    let a = Installation::new();
    let device = a.device();
    let no = |id, value: &[u8]| testing::extension(id, Critical::No, value);
    let yes = |id, value: &[u8]| testing::extension(id, Critical::Yes, value);
    type Edit<'a> = Box<dyn FnOnce(&mut testing::Draft) + 'a>;
    let rows: Vec<(Rule, Edit<'_>)> = vec![
        (Rule::IssuerMayNotSign, Box::new(|d| d.remove("ku"))),
        (Rule::IssuerMayNotSign, Box::new(|d| d.set("ku", testing::key_usage(&[7, 0x80])))),
        (Rule::IssuerIsNoCa, Box::new(|d| d.set("ca", testing::authority(Critical::No)))),
        (Rule::NoAuthorityKeyId, Box::new(|d| d.remove("aki"))),
        (Rule::NoSubjectKeyId, Box::new(|d| d.remove("ski"))),
        (Rule::PurposeNotNamed, Box::new(|d| d.set("eku", testing::purposes(&[oid::SERVER_AUTH])))),
        (
            Rule::PurposeNotNamed,
            Box::new(|d| d.set("eku", testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE]))),
        ),
        (Rule::ConstraintsNotCritical, Box::new(|d| d.set("nc", constraints(Critical::No)))),
        (Rule::ConstraintsEmpty, Box::new(|d| d.set("nc", yes("2.5.29.30", &[0x30, 0])))),
        (Rule::PoliciesDemanded, Box::new(|d| d.set("pc", no("2.5.29.36", &[0x30, 3, 0x80, 1, 0])))),
        (Rule::PoliciesDemanded, Box::new(|d| d.set("ia", no("2.5.29.54", &[2, 1, 0])))),
    ];
    let mut seen = std::collections::HashSet::new();
    for (rule, edit) in rows {
        let chain = [device.certificate.der().clone(), reissued(&a, edit).der().clone()];
        assert_eq!(
            validate(&chain, &anchors(&a), Purpose::Client, NOW).unwrap_err(),
            PathError::Refused { position: 1, rule }
        );
        seen.insert(rule);
    }
    // A hospital's root may bound us to its own domain.
    let good: [Edit<'_>; 2] = [Box::new(|_| {}), Box::new(|d| d.set("nc", constraints(Critical::Yes)))];
    for edit in good {
        let chain = [device.certificate.der().clone(), reissued(&a, edit).der().clone()];
        assert!(validate(&chain, &anchors(&a), Purpose::Client, NOW).is_ok());
    }
    // webpki sees these before we do, or an end entity cannot name such a CA.
    for rule in [Rule::WeakKey, Rule::UnknownCritical, Rule::IssuerWithoutName] {
        seen.insert(rule);
    }
    assert_eq!(seen, rules_on(Place::Issuer));
    let by_webpki: [(&str, Edit<'_>); 2] = [
        ("EndEntityUsedAsCa", Box::new(|d| d.remove("ca"))),
        (
            "UnsupportedCriticalExtension",
            Box::new(|d| d.set("x", testing::extension("1.2.3.4", Critical::Yes, &[5, 0]))),
        ),
    ];
    for (why, edit) in by_webpki {
        let chain = [device.certificate.der().clone(), reissued(&a, edit).der().clone()];
        let refused = validate(&chain, &anchors(&a), Purpose::Client, NOW).unwrap_err();
        assert_eq!(refused, PathError::Invalid(why.into()));
    }
}

/// The issuing CA's name and key in another certificate of the root's.
fn reissued(a: &Installation, edit: impl FnOnce(&mut testing::Draft)) -> Certificate {
    let issuing = a.authority.issuing.certificate();
    let key_id = issuing.facts().subject_key_id.clone().unwrap();
    let mut draft = testing::Draft {
        serial: testing::serial(7),
        not_before: issuing.not_before(),
        not_after: issuing.not_after(),
        subject: issuing.subject_der().to_vec(),
        spki: issuing.public_key().unwrap().der().to_vec(),
        extensions: vec![
            ("ca", testing::authority(Critical::Yes)),
            ("ku", testing::key_usage(&[1, 0x06])),
            ("ski", crate::tbs::subject_key_id(&key_id)),
            ("aki", crate::tbs::authority_key_id(&[1; 20])),
        ],
    };
    edit(&mut draft);
    a.sign_draft(&draft, &a.authority.root)
}

/// The root's name and key in another certificate of its own.
fn other_root(a: &Installation, edit: impl FnOnce(&mut testing::Draft)) -> Certificate {
    let root = a.authority.root.certificate();
    reissued(a, |d| {
        d.subject = root.subject_der().to_vec();
        d.spki = root.public_key().unwrap().der().to_vec();
        edit(d);
    })
}

// What a person trusts must be able to be trusted, and what it says of itself counts.
#[test]
fn every_rule_on_anchors_refuses() {
    let a = Installation::new();
    let yes = |id, value: &[u8]| testing::extension(id, Critical::Yes, value);
    type Edit<'a> = Box<dyn FnOnce(&mut testing::Draft) + 'a>;
    let mut seen = std::collections::HashSet::new();
    let at_once: Vec<(Rule, Edit<'_>)> = vec![
        (Rule::IssuerIsNoCa, Box::new(|d| d.remove("ca"))),
        (Rule::IssuerMayNotSign, Box::new(|d| d.set("ku", testing::key_usage(&[7, 0x80])))),
        (Rule::WeakKey, Box::new(|d| d.spki = weak_rsa())),
        (Rule::IssuerWithoutName, Box::new(|d| d.subject = vec![0x30, 0])),
        (Rule::ConstraintsEmpty, Box::new(|d| d.set("nc", yes("2.5.29.30", &[0x30, 2, 0xa0, 0])))),
        (Rule::PoliciesDemanded, Box::new(|d| d.set("pc", yes("2.5.29.36", &[0x30, 3, 0x80, 1, 0])))),
        (Rule::UnknownCritical, Box::new(|d| d.set("x", yes("1.2.3.4", &[5, 0])))),
    ];
    for (rule, edit) in at_once {
        let refused = Anchors::new(vec![other_root(&a, edit)]).unwrap_err();
        assert!(
            matches!(refused, AnchorError::NotAnAuthority { rule: found, .. } if found == rule),
            "{rule:?}"
        );
        seen.insert(rule);
    }
    let chain = chain(&a, &a.device());
    let later: Vec<(Rule, Edit<'_>)> = vec![
        (Rule::PurposeNotNamed, Box::new(|d| d.set("eku", testing::purposes(&[oid::SERVER_AUTH])))),
        (
            Rule::AnchorPathLength,
            Box::new(|d| d.set("ca", yes("2.5.29.19", &[0x30, 6, 1, 1, 0xff, 2, 1, 0]))),
        ),
    ];
    for (rule, edit) in later {
        let anchors = Anchors::new(vec![other_root(&a, edit)]).unwrap();
        let refused = validate(&chain, &anchors, Purpose::Client, NOW).unwrap_err();
        assert_eq!(refused, PathError::RefusedAnchor { rule });
        seen.insert(rule);
    }
    let one_below = Anchors::new(vec![other_root(&a, |d| {
        d.set("ca", yes("2.5.29.19", &[0x30, 6, 1, 1, 0xff, 2, 1, 1]));
    })]);
    assert!(validate(&chain, &one_below.unwrap(), Purpose::Client, NOW).is_ok());
    assert_eq!(seen, rules_on(Place::Anchor));
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
