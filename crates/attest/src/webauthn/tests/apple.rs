//! Format `apple`: what Apple's authority wrote into the certificate.

use super::*;
use crate::freshness::sha256;

const NONCE: &str = "1.2.840.113635.100.8.11.1";
const BROWSER_NONCE: &str = "1.2.840.113635.100.8.2";
const SERIAL: &str = "1.2.840.113635.100.8.9.1";
const UDID: &str = "1.2.840.113635.100.8.9.2";

fn nonce(id: &str, value: &[u8]) -> Vec<u8> {
    extension(id, false, value)
}

struct Phone {
    key: Key,
    maker: Maker,
}

impl Phone {
    fn new() -> Self {
        Self { key: Key::new(), maker: Maker::new("Enterprise Attestation CA") }
    }

    fn draft(&self, extensions: Vec<Vec<u8>>) -> Draft {
        let all = [vec![constraints(false)], extensions].concat();
        Draft::new(self.key.spki(), name(&[("2.5.4.3", "a phone")]), all)
    }

    fn run(&self, extensions: Vec<Vec<u8>>) -> Result<AttestedKey, StatementRefusal> {
        let certificates = Some(vec![self.maker.issue(&self.draft(extensions))]);
        let statement = Statement { certificates, ..Statement::default() };
        check("apple", &statement, &trust(Format::Apple, self.maker.root()))
    }
}

#[test]
fn a_managed_device_is_attested_with_its_serial_number_and_udid() {
    let phone = Phone::new();
    let digest = sha256(TOKEN.as_bytes());
    let key = phone
        .run(vec![
            nonce(NONCE, &digest),
            extension(SERIAL, false, b"C02XK1ZZJHD5"),
            extension(UDID, false, &tlv(0x0c, b"00008110-000A1B2C3D4E5F60")),
        ])
        .unwrap();
    assert_eq!(key.spki_der(), phone.key.spki());
    for identifier in ["C02XK1ZZJHD5", "00008110-000A1B2C3D4E5F60"] {
        assert!(key.claims().has_permanent(identifier, None), "{identifier}");
    }
    assert!(!key.claims().has_permanent("c02xk1zzjhd5", None));
    // The other spellings of the nonce.
    let wrapped = tlv(0x04, &digest);
    for value in [wrapped.clone(), tlv(0x30, &wrapped), tlv(0x30, &tlv(0xa1, &wrapped))] {
        for id in [NONCE, BROWSER_NONCE] {
            assert!(phone.run(vec![nonce(id, &value)]).is_ok(), "{value:02x?}");
        }
    }
}

// R38. A statement without nonce would be good for ever.
#[test]
fn each_rule_of_an_apple_statement_says_no() {
    let phone = Phone::new();
    let code = |extensions: Vec<Vec<u8>>| phone.run(extensions).unwrap_err().code();
    assert_eq!(code(vec![]), "attestation_certificate_profile");
    assert_eq!(code(vec![nonce(NONCE, &sha256(b"another token"))]), "attestation_challenge");
    // Apple does not know the account key: the key authorization's digest is a wrong answer.
    assert_eq!(code(vec![nonce(NONCE, &sha256(AUTHORIZATION.as_bytes()))]), "attestation_challenge");
    for bad in
        [&[][..], &[1; 31], &[1; 33], &tlv(0x04, &[1; 31]), &tlv(0x30, &tlv(0xa2, &tlv(0x04, &[1; 32])))]
    {
        assert_eq!(code(vec![nonce(NONCE, bad)]), "attestation_malformed", "{bad:02x?}");
    }
    let good = || nonce(NONCE, &sha256(TOKEN.as_bytes()));
    for bad in [&b""[..], &[b'x'; 65], b"two words", b"\xff"] {
        assert_eq!(code(vec![good(), extension(SERIAL, false, bad)]), "attestation_malformed");
    }
    let statement = Statement::default();
    let trust = trust(Format::Apple, phone.maker.root());
    assert_eq!(super::code("apple", &statement, &trust), "attestation_field_missing");
}
