use data_encoding::BASE64;

use super::*;

const KINDS: [PublicKeyKind; 7] = [
    PublicKeyKind::P256,
    PublicKeyKind::P384,
    PublicKeyKind::Ed25519,
    PublicKeyKind::MlDsa65,
    PublicKeyKind::Rsa(2048),
    PublicKeyKind::Rsa(3072),
    PublicKeyKind::Rsa(8192),
];

fn templates() -> Vec<CsrTemplate> {
    let usages = [vec![], vec![oid::CLIENT_AUTH], vec![oid::CLIENT_AUTH, oid::SERVER_AUTH]];
    let keys = KINDS.into_iter().map(Some).chain([None]);
    keys.flat_map(|key| {
        usages.clone().map(|extended_key_usages| CsrTemplate { key, extended_key_usages }).into_iter()
    })
    .collect()
}

// R47
#[test]
fn every_template_reads_back_and_so_do_its_single_attributes() {
    for template in templates() {
        let der = template.to_der();
        assert_eq!(CsrTemplate::from_der(&der).as_ref(), Ok(&template));
        // As a client reads it that knows no templates.
        let all = items(&der).unwrap();
        let single: Vec<Item<'_>> = all.into_iter().filter(|item| item.id != TEMPLATE).collect();
        assert_eq!(read_single(&single).as_ref(), Ok(&template));
    }
}

// I12
#[test]
fn a_cut_at_any_byte_is_refused() {
    for template in templates() {
        let der = template.to_der();
        for at in 0..der.len() {
            assert!(CsrTemplate::from_der(&der[..at]).is_err(), "{template:?} cut at {at}");
        }
        assert!(CsrTemplate::from_der(&[der.as_slice(), &[0]].concat()).is_err());
    }
}

// I12
#[test]
fn attributes_beyond_the_limits_are_not_read() {
    let long = vec![0x30; MAX_CSRATTRS_BYTES + 1];
    assert_eq!(CsrTemplate::from_der(&long), Err(BadCsrAttributes::TooLarge(long.len())));
    let of = |n: usize| {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| (0..n).for_each(|_| write::oid(o, &oid::P256)));
        out
    };
    assert_eq!(CsrTemplate::from_der(&of(MAX_ITEMS)), Ok(CsrTemplate::default()));
    assert_eq!(CsrTemplate::from_der(&of(MAX_ITEMS + 1)), Err(BadCsrAttributes::TooMany));
}

/// RFC 8951 4.1 has the first; the others are examples of the working group's drafts of RFC 9908.
#[test]
fn what_other_servers_write_is_understood_or_skipped() {
    let p384 = CsrTemplate { key: Some(PublicKeyKind::P384), ..CsrTemplate::default() };
    for (base64, expected) in [
        (
            "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw==",
            &p384,
        ),
        ("MDIGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiBgcrBgEBAQEWBggqhkjOPQQDAw==", &p384),
        (
            "ME4GCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMCMGCSqGSIb3DQEJDjEWMBQwEgYDVR0JBAswCQYHKwYBAQEBFgYIKoZIzj0EAwM=",
            &p384,
        ),
        (
            "MGcGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMDwGCSqGSIb3DQEJDjEvMC0wKwYDVR0RBCQwIqAgBggrBgEFBQcICqAUFhJwb3RhdG9AZXhhbXBsZS5jb20GCCqGSM49BAMD",
            &p384,
        ),
        // An empty sequence: nothing is asked for.
        ("MAA=", &CsrTemplate::default()),
        // Only challengePassword, as libest's server writes it.
        ("MAsGCSqGSIb3DQEJBw==", &CsrTemplate::default()),
    ] {
        let der = BASE64.decode(base64.as_bytes()).unwrap();
        assert_eq!(CsrTemplate::from_der(&der).as_ref(), Ok(expected), "{base64}");
    }
}

/// The example template of RFC 9908 3.4, built by hand from its text: a subject to fill in, P-256, a subjectAltName, a
/// critical keyUsage, and an extKeyUsage without value.
#[test]
fn a_template_with_things_to_fill_in_is_understood() {
    let mut der = Vec::new();
    write::tlv(&mut der, write::SEQUENCE, |o| {
        attribute(o, &TEMPLATE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[0]);
                write::tlv(o, write::SEQUENCE, |o| {
                    write::tlv(o, write::SET, |o| {
                        write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::COMMON_NAME))
                    });
                    write::rdn(o, &oid::ORGANIZATION, write::UTF8_STRING, "myDept");
                });
                write::tlv(o, write::context_constructed(0), |o| key_template(o, PublicKeyKind::P256));
                write::tlv(o, write::context_constructed(1), |o| {
                    attribute(o, &EXTENSION_TEMPLATE, |o| {
                        write::tlv(o, write::SEQUENCE, |o| {
                            write::extension(o, &oid::SUBJECT_ALT_NAME, Critical::No, |o| {
                                write::tlv(o, write::SEQUENCE, |o| {
                                    write::bytes(o, write::context(2), b"www.myServer.com");
                                    write::bytes(o, write::context(7), b"");
                                });
                            });
                            write::extension(o, &oid::KEY_USAGE, Critical::Yes, |o| {
                                write::bytes(o, write::BIT_STRING, &[3, 0x88]);
                            });
                            write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::EXTENDED_KEY_USAGE));
                        });
                    });
                });
            });
        });
    });
    let expected = CsrTemplate { key: Some(PublicKeyKind::P256), extended_key_usages: vec![] };
    assert_eq!(CsrTemplate::from_der(&der), Ok(expected));
}

#[test]
fn a_key_that_we_do_not_make_and_another_version_are_refused() {
    let secp521r1: ObjectIdentifier = "1.3.132.0.35".parse().unwrap();
    let mut der = Vec::new();
    write::tlv(&mut der, write::SEQUENCE, |o| {
        attribute(o, &oid::EC_PUBLIC_KEY, |o| write::oid(o, &secp521r1))
    });
    assert_eq!(CsrTemplate::from_der(&der), Err(BadCsrAttributes::UnknownKey(secp521r1)));
    for bits in [0, 1024, 2049, 8200, 32_768] {
        let der = CsrTemplate { key: Some(PublicKeyKind::Rsa(bits)), ..CsrTemplate::default() }.to_der();
        let all = items(&der).unwrap();
        assert_eq!(read_single(&all), Err(BadCsrAttributes::RsaLength(bits)));
        if bits.is_multiple_of(8) && bits > 0 {
            assert_eq!(CsrTemplate::from_der(&der), Err(BadCsrAttributes::RsaLength(bits)));
        }
    }
    let good = CsrTemplate { key: Some(PublicKeyKind::P256), ..CsrTemplate::default() }.to_der();
    let at = good.windows(3).position(|w| w == [write::INTEGER, 1, 0]).unwrap() + 2;
    let mut other = good.clone();
    other[at] = 1;
    assert!(matches!(CsrTemplate::from_der(&other), Err(BadCsrAttributes::Malformed(_))));
}
