use super::*;
use crate::path::Rule;
use crate::testing::{self, Draft, Installation, Issued, List, NOW};
use crate::write::{self, Critical};

/// 9999-12-31T23:59:59Z
const WITHOUT_END: Timestamp = Timestamp::from_seconds(253_402_300_799);

fn subject(serial: Option<(u8, &str)>) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::rdn(o, &oid::ORGANIZATION, write::UTF8_STRING, "Pumps Incorporated");
        if let Some((tag, serial)) = serial {
            write::rdn(o, &oid::SERIAL_NUMBER, tag, serial);
        }
    });
    out
}

fn hardware_module(serial: &[u8]) -> Vec<u8> {
    testing::other_name(&oid::HARDWARE_MODULE_NAME, |o| {
        write::oid(o, &ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.7"));
        write::bytes(o, write::OCTET_STRING, serial);
    })
}

fn permanent_identifier(value: Option<&str>) -> Vec<u8> {
    testing::other_name(&oid::PERMANENT_IDENTIFIER, |o| {
        if let Some(value) = value {
            write::bytes(o, write::UTF8_STRING, value.as_bytes());
        }
        write::oid(o, &ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.8"));
    })
}

/// The installation in the maker's role: an IDevID as makers write them, and `edit`.
fn device(maker: &Installation, edit: impl FnOnce(&mut Draft)) -> Issued {
    maker.forge(|d| {
        d.not_after = WITHOUT_END;
        d.subject = subject(Some((write::PRINTABLE_STRING, "PID:INFUSOR SN:4711")));
        d.remove("purposes");
        d.remove("no_rev_avail");
        d.set("names", testing::other_names(&[hardware_module(b"4711")]));
        edit(d);
    })
}

fn check(maker: &Installation, issued: &Issued) -> Result<VerifiedIdevid, IdevidError> {
    let makers = Anchors::new(vec![maker.authority.root.certificate().clone()]).unwrap();
    let chain = [issued.certificate.der().clone(), maker.authority.issuing.certificate().der().clone()];
    verify(&chain, &makers, Revocation::NotAsked, NOW)
}

#[test]
fn a_makers_certificate_says_which_device_it_is() {
    let maker = Installation::new();
    let issued = device(&maker, |d| {
        let names = [hardware_module(&[0, 0x47, 0x11]), permanent_identifier(Some("urn:dev:4711"))];
        d.set("names", testing::other_names(&names));
    });
    let found = check(&maker, &issued).unwrap();
    assert_eq!(found.serial_number(), Some("PID:INFUSOR SN:4711"));
    let module = found.hardware_module().unwrap();
    assert_eq!(
        (module.kind.to_string().as_str(), module.serial.as_slice()),
        ("1.3.6.1.4.1.99999.7", &[0, 0x47, 0x11][..])
    );
    let permanent = found.permanent_identifier().unwrap();
    assert_eq!(permanent.value, "urn:dev:4711");
    assert_eq!(permanent.assigner.unwrap().to_string(), "1.3.6.1.4.1.99999.8");
    assert_eq!(found.spki_sha256(), issued.certificate.spki_sha256());
    assert_eq!(found.certificate_sha256(), issued.certificate.thumbprint());
    assert_eq!(found.anchor_sha256(), maker.authority.root.certificate().thumbprint());
    assert_eq!(found.certificate().not_after(), WITHOUT_END);
    assert_eq!(found.verified_at(), NOW);
}

// IEEE 802.1AR-2018 leaves much to the maker.
#[test]
fn each_way_of_naming_a_device_is_enough() {
    let maker = Installation::new();
    let bare = subject(None);
    for edit in [
        (|d: &mut Draft| d.remove("names")) as fn(&mut Draft),
        |d| d.subject = subject(None),
        |d| d.subject = vec![0x30, 0],
        |d| {
            d.subject = subject(None);
            d.set("names", testing::other_names(&[permanent_identifier(Some("4711"))]));
        },
        |d| d.subject = subject(Some((write::UTF8_STRING, "4711"))),
        |d| d.subject = subject(Some((0x16, "4711"))),
        |d| d.remove("key_usage"),
        |d| d.remove("authority_key_id"),
        |d| d.set("purposes", testing::purposes(&[oid::CLIENT_AUTH])),
        |d| d.set("purposes", testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE])),
    ] {
        assert!(check(&maker, &device(&maker, edit)).is_ok());
    }
    // RFC 4043 2: an identifier without a value is the serialNumber of the subject.
    let by_subject = device(&maker, |d| d.set("names", testing::other_names(&[permanent_identifier(None)])));
    let found = check(&maker, &by_subject).unwrap();
    assert_eq!(found.permanent_identifier().unwrap().value, "PID:INFUSOR SN:4711");
    let nameless = device(&maker, |d| {
        d.subject = bare;
        d.remove("names");
    });
    assert_eq!(check(&maker, &nameless).unwrap_err(), IdevidError::NamesNoDevice);
}

#[test]
fn a_makers_other_certificates_are_no_device_identities() {
    let maker = Installation::new();
    for (rule, issued) in [
        (Rule::EndEntityIsCa, device(&maker, |d| d.set("basic", testing::authority(Critical::Yes)))),
        (Rule::EndEntityMaySign, device(&maker, |d| d.set("key_usage", testing::key_usage(&[1, 0x82])))),
        (Rule::NoDigitalSignature, device(&maker, |d| d.set("key_usage", testing::key_usage(&[5, 0x20])))),
        (
            Rule::PurposeNotNamed,
            device(&maker, |d| d.set("purposes", testing::purposes(&[oid::SERVER_AUTH]))),
        ),
        (
            Rule::UnknownCritical,
            device(&maker, |d| d.set("x", testing::extension("1.2.3.4", Critical::Yes, &[5, 0]))),
        ),
    ] {
        assert_eq!(
            check(&maker, &issued).unwrap_err(),
            IdevidError::Path(PathError::Refused { position: 0, rule })
        );
    }
}

#[test]
fn chains_of_makers_that_nobody_accepted_are_refused() {
    let (maker, other) = (Installation::new(), Installation::new());
    let issued = device(&other, |_| {});
    let makers = Anchors::new(vec![maker.authority.root.certificate().clone()]).unwrap();
    let chain = [issued.certificate.der().clone(), other.authority.issuing.certificate().der().clone()];
    assert_eq!(
        verify(&chain, &makers, Revocation::NotAsked, NOW).unwrap_err(),
        IdevidError::Path(PathError::UnknownIssuer)
    );
    assert_eq!(
        verify(&[], &makers, Revocation::NotAsked, NOW).unwrap_err(),
        IdevidError::Path(PathError::Empty)
    );
    let ended = device(&maker, |d| d.not_after = NOW.plus_seconds(-1));
    assert!(matches!(check(&maker, &ended), Err(IdevidError::Path(PathError::Expired { .. }))));
}

#[test]
fn a_device_that_its_maker_recalled_is_refused() {
    let maker = Installation::new();
    let (good, recalled) = (device(&maker, |_| {}), device(&maker, |_| {}));
    let makers = Anchors::new(vec![maker.authority.root.certificate().clone()]).unwrap();
    let list = |revoked: &[&Certificate], issuer| {
        crate::crl::Crl::parse(&List::of(revoked).sign(&maker.keys, issuer)).unwrap()
    };
    let crls = [list(&[], &maker.authority.root), list(&[&recalled.certificate], &maker.authority.issuing)];
    let with = |issued: &Issued| {
        let chain = [issued.certificate.der().clone(), maker.authority.issuing.certificate().der().clone()];
        verify(&chain, &makers, Revocation::Crls(&crls), NOW).map(drop)
    };
    assert_eq!(with(&good), Ok(()));
    assert_eq!(with(&recalled), Err(IdevidError::Path(PathError::Revoked)));
}

#[test]
fn names_that_are_malformed_or_ambiguous_are_refused() {
    let maker = Installation::new();
    let named = |names: &[Vec<u8>]| {
        let names = testing::other_names(names);
        check(&maker, &device(&maker, |d| d.set("names", names))).unwrap_err()
    };
    let serial = |tag, text: &str| {
        let subject = subject(Some((tag, text)));
        check(&maker, &device(&maker, |d| d.subject = subject)).unwrap_err()
    };
    let is_bad = |error: IdevidError, expected: NameForm| {
        assert!(matches!(error, IdevidError::Name { form, .. } if form == expected), "{error:?}");
    };
    let module = |body: &[u8]| testing::other_name(&oid::HARDWARE_MODULE_NAME, |o| o.extend_from_slice(body));
    is_bad(named(&[module(&[5, 0])]), NameForm::HardwareModule);
    is_bad(named(&[hardware_module(b"")]), NameForm::HardwareModule);
    is_bad(named(&[hardware_module(&[7; LONGEST_NAME + 1])]), NameForm::HardwareModule);
    is_bad(named(&[permanent_identifier(Some(""))]), NameForm::PermanentIdentifier);
    is_bad(named(&[permanent_identifier(Some("a\nb"))]), NameForm::PermanentIdentifier);
    is_bad(
        named(&[permanent_identifier(Some(&"a".repeat(LONGEST_NAME + 1)))]),
        NameForm::PermanentIdentifier,
    );
    is_bad(serial(write::UTF8_STRING, "4711\u{7}"), NameForm::SerialNumber);
    is_bad(serial(write::UTF8_STRING, ""), NameForm::SerialNumber);
    // An underscore is no PrintableString, and an INTEGER is no string.
    is_bad(serial(write::PRINTABLE_STRING, "SN_4711"), NameForm::SerialNumber);
    is_bad(serial(write::INTEGER, "1"), NameForm::SerialNumber);
    assert_eq!(
        named(&[hardware_module(b"1"), hardware_module(b"2")]),
        IdevidError::Ambiguous(NameForm::HardwareModule)
    );
    assert_eq!(
        named(&[permanent_identifier(Some("1")), permanent_identifier(Some("2"))]),
        IdevidError::Ambiguous(NameForm::PermanentIdentifier)
    );
}

// I12
#[test]
fn cut_and_flipped_identities_are_refused() {
    let maker = Installation::new();
    let issued = device(&maker, |_| {});
    let makers = Anchors::new(vec![maker.authority.root.certificate().clone()]).unwrap();
    let issuing = maker.authority.issuing.certificate().der().clone();
    let leaf = issued.certificate.der();
    for at in 0..leaf.len() {
        let cut = [CertificateDer::from(leaf[..at].to_vec()), issuing.clone()];
        assert!(verify(&cut, &makers, Revocation::NotAsked, NOW).is_err(), "cut at {at}");
        let mut changed = leaf.to_vec();
        changed[at] ^= 1 << (at % 8);
        let flipped = [CertificateDer::from(changed), issuing.clone()];
        assert!(verify(&flipped, &makers, Revocation::NotAsked, NOW).is_err(), "flip at {at}");
    }
}
