use rustls_pki_types::ServerName;

use super::*;
use crate::testing::{self, Installation, Issued, NOW};
use crate::write::Critical;

fn chain(a: &Installation, issued: &Issued) -> Vec<CertificateDer<'static>> {
    vec![issued.certificate.der().clone(), a.authority.issuing.certificate().der().clone()]
}

fn anchors(a: &Installation) -> Anchors {
    Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap()
}

/// What the two profiles say of one end entity.
fn strict_and_maker(a: &Installation, issued: &Issued, usage: Usage) -> [Result<(), PathError>; 2] {
    [Strictness::Rfc5280, Strictness::Maker].map(|strictness| {
        let policy = Policy { strictness, revocation: Revocation::NotAsked, ..Policy::strict(usage, NOW) };
        validate(&chain(a, issued), &anchors(a), &policy).map(drop)
    })
}

fn refused(rule: Rule) -> Result<(), PathError> {
    Err(PathError::Refused { position: 0, rule })
}

#[test]
fn the_profile_for_makers_gives_up_layout_and_nothing_that_keeps_a_path_safe() {
    let a = Installation::new();
    let tls = Usage::Tls(Purpose::Client);
    let no_aki = a.forge(|d| d.remove("authority_key_id"));
    assert_eq!(strict_and_maker(&a, &no_aki, tls), [refused(Rule::NoAuthorityKeyId), Ok(())]);
    let nameless = a.forge(|d| d.subject = vec![0x30, 0]);
    assert_eq!(strict_and_maker(&a, &nameless, tls), [refused(Rule::Nameless), Ok(())]);
    for (rule, issued) in [
        (Rule::EndEntityIsCa, a.forge(|d| d.set("basic", testing::authority(Critical::Yes)))),
        (Rule::EndEntityMaySign, a.forge(|d| d.set("key_usage", testing::key_usage(&[2, 0x84])))),
        (
            Rule::UnknownCritical,
            a.forge(|d| d.set("unknown", testing::extension("1.2.3.4", Critical::Yes, &[5, 0]))),
        ),
    ] {
        assert_eq!(strict_and_maker(&a, &issued, tls), [refused(rule), refused(rule)]);
    }
}

#[test]
fn a_usage_is_as_strict_as_it_says() {
    let a = Installation::new();
    let tls = Usage::Tls(Purpose::Client);
    let if_named = Usage::TlsIfNamed(Purpose::Client);
    let server = Usage::Named(oid::SERVER_AUTH);
    let client = Usage::Named(oid::CLIENT_AUTH);
    let none = a.forge(|d| d.remove("purposes"));
    let any = a.forge(|d| d.set("purposes", testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE])));
    let other = a.forge(|d| d.set("purposes", testing::purposes(&[oid::OCSP])));
    let no_usage = a.forge(|d| d.remove("key_usage"));
    let encipher = a.forge(|d| d.set("key_usage", testing::key_usage(&[5, 0x20])));
    let good = a.forge(|_| {});
    for (issued, usage, expected) in [
        (&good, tls, Ok(())),
        (&good, if_named, Ok(())),
        (&good, client, Ok(())),
        (&good, server, refused(Rule::PurposeNotNamed)),
        (&good, Usage::Any, Ok(())),
        (&none, tls, refused(Rule::PurposeNotNamed)),
        (&none, if_named, Ok(())),
        (&none, client, refused(Rule::PurposeNotNamed)),
        (&none, Usage::Any, Ok(())),
        (&any, tls, refused(Rule::AnyPurpose)),
        (&any, if_named, Ok(())),
        (&any, client, refused(Rule::AnyPurpose)),
        (&other, if_named, refused(Rule::PurposeNotNamed)),
        (&other, Usage::Any, Ok(())),
        (&no_usage, tls, refused(Rule::NoDigitalSignature)),
        (&no_usage, if_named, Ok(())),
        (&encipher, tls, refused(Rule::NoDigitalSignature)),
        (&encipher, if_named, refused(Rule::NoDigitalSignature)),
        (&encipher, client, Ok(())),
    ] {
        let [found, _] = strict_and_maker(&a, issued, usage);
        assert_eq!(found, expected, "{usage:?}");
    }
}

#[test]
fn the_name_that_was_asked_for_must_be_in_the_certificate() {
    let a = Installation::new();
    let gateway = a.gateway();
    let with = |text: &'static str| {
        let name = ServerName::try_from(text).unwrap();
        let policy = Policy { name: Some(&name), ..Policy::strict(Usage::Tls(Purpose::Server), NOW) };
        validate(&chain(&a, &gateway), &anchors(&a), &policy).map(drop)
    };
    assert_eq!(with("gw1.hospital.example"), Ok(()));
    assert_eq!(with("127.0.0.1"), Ok(()));
    assert_eq!(with("gw2.hospital.example"), Err(PathError::OtherName));
    assert_eq!(with("127.0.0.2"), Err(PathError::OtherName));
}

#[test]
fn chains_and_paths_beyond_the_limits_are_refused() {
    let a = Installation::new();
    let device = a.device();
    let policy = Policy::strict(Usage::Tls(Purpose::Client), NOW);
    let with = |policy: Policy<'_>| validate(&chain(&a, &device), &anchors(&a), &policy).map(drop);
    assert_eq!(with(policy), Ok(()));
    assert_eq!(with(Policy { most_issuers: 1, ..policy }), Ok(()));
    assert_eq!(with(Policy { most_issuers: 0, ..policy }), Err(PathError::TooDeep { issuers: 1, most: 0 }));
    assert_eq!(with(Policy { longest_chain: 1, ..policy }), Err(PathError::TooLong { shown: 2, most: 1 }));
    // No caller can lift the limit.
    let long = vec![device.certificate.der().clone(); LONGEST_CHAIN + 1];
    assert_eq!(
        validate(&long, &anchors(&a), &Policy { longest_chain: 99, ..policy }).unwrap_err(),
        PathError::TooLong { shown: LONGEST_CHAIN + 1, most: LONGEST_CHAIN }
    );
}

// A rule that one path breaks must not hide the path that keeps it.
#[test]
fn another_path_is_tried_when_a_rule_refuses_the_first() {
    let a = Installation::new();
    let device = a.device();
    let issuing = a.authority.issuing.certificate();
    let without_usage = a.sign_draft(
        &testing::Draft {
            serial: testing::serial(9),
            not_before: issuing.not_before(),
            not_after: issuing.not_after(),
            subject: issuing.subject_der().to_vec(),
            spki: issuing.public_key().unwrap().der().to_vec(),
            extensions: vec![("ca", testing::authority(Critical::Yes))],
        },
        &a.authority.root,
    );
    let policy = Policy::strict(Usage::Tls(Purpose::Client), NOW);
    let der = |c: &Certificate| c.der().clone();
    let leaf = der(&device.certificate);
    for chain in [
        vec![leaf.clone(), der(&without_usage), der(issuing)],
        vec![leaf.clone(), der(issuing), der(&without_usage)],
    ] {
        let path = validate(&chain, &anchors(&a), &policy).unwrap();
        assert_eq!(path.issuers(), std::slice::from_ref(issuing));
    }
    assert_eq!(
        validate(&[leaf, der(&without_usage)], &anchors(&a), &policy).unwrap_err(),
        PathError::Refused { position: 1, rule: Rule::IssuerMayNotSign }
    );
}

#[test]
fn constraints_that_are_not_evaluated_say_so() {
    let a = Installation::new();
    let issuing = a.authority.issuing.certificate();
    let device = a.device();
    // permittedSubtrees with one empty directoryName, or with one DNS name.
    for (value, unread) in [
        (&[0x30, 8, 0xa0, 6, 0x30, 4, 0xa4, 2, 0x30, 0][..], Some("directoryName")),
        (&[0x30, 11, 0xa0, 9, 0x30, 7, 0x82, 5, b'o', b't', b'h', b'e', b'r'][..], None),
    ] {
        let key_id = issuing.facts().subject_key_id.clone().unwrap();
        let constrained = a.sign_draft(
            &testing::Draft {
                serial: testing::serial(9),
                not_before: issuing.not_before(),
                not_after: issuing.not_after(),
                subject: issuing.subject_der().to_vec(),
                spki: issuing.public_key().unwrap().der().to_vec(),
                extensions: vec![
                    ("ca", testing::authority(Critical::Yes)),
                    ("ku", testing::key_usage(&[1, 0x06])),
                    ("ski", crate::tbs::subject_key_id(&key_id)),
                    ("aki", crate::tbs::authority_key_id(&[1; 20])),
                    ("nc", testing::extension("2.5.29.30", Critical::Yes, value)),
                ],
            },
            &a.authority.root,
        );
        let chain = [device.certificate.der().clone(), constrained.der().clone()];
        let policy = Policy::strict(Usage::Tls(Purpose::Client), NOW);
        let refused = validate(&chain, &anchors(&a), &policy).unwrap_err();
        assert_eq!(refused, PathError::OutsideConstraints { unread });
        assert_eq!(refused.to_string().contains("directoryName"), unread.is_some());
    }
}
