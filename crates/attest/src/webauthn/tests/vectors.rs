//! Statements that others made: the specification's vectors, and recordings of real devices.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn run(text: &str, format: Format, now: Timestamp) -> Result<AttestedKey, StatementRefusal> {
    let Recorded { root, object, signed, client_data } = recorded(text);
    let object = AttestationObject::parse(&object).unwrap();
    verify(&object, &Expected::webauthn(&signed, &client_data), &trust(format, root), now)
}

#[test]
fn the_packed_vector_of_the_specification_is_accepted() {
    let text = include_str!("../vectors/w3c-packed.txt");
    let key = run(text, Format::Packed, NOW).unwrap();
    assert_eq!((key.format(), key.anchor(), key.chain().len()), (Format::Packed, "maker", 2));
    assert_eq!(key.revocation(), RevocationStatus::Unknown("no revocation list is registered"));
}

#[test]
fn the_apple_vector_of_the_specification_is_accepted() {
    assert!(run(include_str!("../vectors/w3c-apple.txt"), Format::Apple, NOW).is_ok());
}

// Its key is in software by its own word, and so it is accepted only where that is enough.
#[test]
fn the_android_vector_of_the_specification_needs_the_weakest_policy() {
    let text = include_str!("../vectors/w3c-android-key.txt");
    assert_eq!(run(text, Format::AndroidKey, NOW).unwrap_err().code(), "attestation_key_rule");
    let Recorded { root, object, signed, client_data } = recorded(text);
    let trust = Trust { android_level: SecurityLevel::Software, ..trust(Format::AndroidKey, root) };
    let object = AttestationObject::parse(&object).unwrap();
    let key = verify(&object, &Expected::webauthn(&signed, &client_data), &trust, NOW).unwrap();
    assert_eq!(key.security_level(), Some(SecurityLevel::Software));
}

// Chain, certificate rules and signature hold. Then it shows that no TPM made it: its clock is `0x33` safe.
#[test]
fn the_tpm_vector_of_the_specification_is_refused_where_it_is_no_tpm() {
    let refused = run(include_str!("../vectors/w3c-tpm.txt"), Format::Tpm, NOW).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the attestation is malformed: `safe` breaks a rule: yes or no is 1 or 0"
    );
}

#[test]
fn a_yubikey_is_accepted_with_its_model() {
    let key = run(include_str!("../vectors/yubikey-packed.txt"), Format::Packed, NOW).unwrap();
    let aaguid = data_encoding::HEXLOWER.encode(&key.aaguid().unwrap());
    assert_eq!(aaguid, "6d44ba9bf6ec2e49b9300c8fe920cb73");
    assert!(key.claims().is_empty());
}

#[test]
fn android_phones_are_accepted_within_the_days_of_their_intermediate() {
    for (text, good, late) in [
        (include_str!("../vectors/android-tee-2025.txt"), "2025-01-08T00:00:00Z", "2025-02-03T00:00:00Z"),
        (include_str!("../vectors/android-tee-2026.txt"), "2026-04-26T00:00:00Z", "2026-05-08T00:00:00Z"),
    ] {
        let key = run(text, Format::AndroidKey, at(good)).unwrap();
        assert_eq!(key.security_level(), Some(SecurityLevel::TrustedEnvironment));
        assert_eq!(key.chain().len(), 5, "leaf, three issuers, root");
        let refused = run(text, Format::AndroidKey, at(late)).unwrap_err();
        assert_eq!(refused.code(), "attestation_certificate_expired");
    }
}

#[test]
fn an_apple_device_is_accepted_within_its_three_days() {
    let text = include_str!("../vectors/apple-2021.txt");
    assert!(run(text, Format::Apple, at("2021-09-01T00:00:00Z")).is_ok());
    for (when, code) in [
        ("2021-08-30T00:00:00Z", "attestation_certificate_not_yet_valid"),
        ("2021-09-04T00:00:00Z", "attestation_certificate_expired"),
    ] {
        assert_eq!(run(text, Format::Apple, at(when)).unwrap_err().code(), code);
    }
}

// A real attestation key certificate passes the rules of the format, but its policies are critical and RFC 5280 4.2
// leaves no choice. (Its signature is SHA-1, which would be refused too.)
#[test]
fn windows_is_refused_for_a_critical_extension() {
    let text = include_str!("../vectors/windows-tpm-2021.txt");
    let refused = run(text, Format::Tpm, at("2021-07-01T00:00:00Z")).unwrap_err();
    assert!(refused.to_string().contains("certificatePolicies"), "{refused}");
    let object = AttestationObject::parse(&recorded(text).object).unwrap();
    let leaf = object.statement().certificates.as_ref().unwrap()[0].clone();
    let leaf = certificate::AttestationCertificate::parse(&leaf).unwrap();
    assert!(super::super::tpm::check_profile(&leaf).is_ok());
    let number = object.statement().algorithm.unwrap();
    assert_eq!(cose::Algorithm::of(number, leaf.key()).unwrap_err(), StatementRefusal::Algorithm(-65535));
}

// I12
#[test]
fn another_challenge_is_refused_in_every_recording() {
    for (text, format, when) in [
        (include_str!("../vectors/yubikey-packed.txt"), Format::Packed, "2026-11-27T00:00:00Z"),
        (include_str!("../vectors/android-tee-2025.txt"), Format::AndroidKey, "2025-01-08T00:00:00Z"),
        (include_str!("../vectors/apple-2021.txt"), Format::Apple, "2021-09-01T00:00:00Z"),
    ] {
        let Recorded { root, object, signed, client_data } = recorded(text);
        let object = AttestationObject::parse(&object).unwrap();
        let other = [&signed[..], b"x"].concat();
        let expected = Expected::webauthn(&other, &client_data);
        let refused = verify(&object, &expected, &trust(format, root), at(when)).unwrap_err();
        assert!(
            matches!(refused, StatementRefusal::Signature | StatementRefusal::Challenge),
            "{format}: {refused}"
        );
    }
}
