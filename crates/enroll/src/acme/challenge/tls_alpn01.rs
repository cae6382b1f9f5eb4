//! tls-alpn-01 (RFC 8737, for addresses RFC 8738): a self-signed certificate that carries the digest.

use std::net::IpAddr;

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Reader, SliceReader};
use lanyard_pki::spki::PublicKey;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Failure;
use crate::acme::digest::sha256;
use crate::acme::identifier::Identifier;

/// The protocol to offer in ALPN; the server must choose it.
pub const ALPN: &[u8] = b"acme-tls/1";
/// Such a certificate has below 1 KiB.
const MAX_CERTIFICATE: usize = 8 * 1024;
/// id-pe-acmeIdentifier (RFC 8737 6.1).
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");

/// The server name to send. RFC 8738 6: for an address its name in reverse DNS.
pub fn server_name(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Identifier::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
        other => other.to_string(),
    }
}

/// Judges the certificate that the server showed (DER).
pub fn check(der: &[u8], identifier: &Identifier, key_authorization: &str) -> Result<(), Failure> {
    let fail = |text: &str| Err(Failure::incorrect(format!("the certificate {text}")));
    if der.len() > MAX_CERTIFICATE {
        return fail("is too long");
    }
    let Ok(certificate) = Certificate::from_der(der) else { return fail("is malformed") };
    let tbs = certificate.tbs_certificate();
    if !is_self_signed(&certificate, der) {
        return fail("is not self-signed (RFC 8737 3)");
    }
    let named = match tbs.get_extension::<SubjectAltName>() {
        Ok(Some((_, SubjectAltName(names)))) => match names.as_slice() {
            [GeneralName::DnsName(found)] => {
                matches!(identifier, Identifier::Dns(name) if found.as_str().eq_ignore_ascii_case(name))
            }
            [GeneralName::IpAddress(found)] => {
                matches!(identifier, Identifier::Ip(address) if found.as_bytes() == octets(address))
            }
            _ => false,
        },
        _ => false,
    };
    if !named {
        return fail("does not name the identifier, and nothing else, as alternative name");
    }
    let mut found = tbs.extensions().map(Vec::as_slice).unwrap_or_default().iter();
    let Some(extension) = found.find(|e| e.extn_id == ACME_IDENTIFIER) else {
        return fail("has no acmeIdentifier extension");
    };
    if !extension.critical {
        return fail("has an acmeIdentifier extension that is not critical");
    }
    let digest = sha256(key_authorization.as_bytes());
    let holds = <&OctetStringRef>::from_der(extension.extn_value.as_bytes())
        .is_ok_and(|value| value.as_bytes() == digest);
    if holds { Ok(()) } else { fail("carries another digest than that of the key authorization") }
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn is_self_signed(certificate: &Certificate, der: &[u8]) -> bool {
    let tbs = certificate.tbs_certificate();
    let key = tbs.subject_public_key_info().to_der().ok().and_then(|der| PublicKey::parse(&der).ok());
    let (Some(key), Ok(signed), Some(signature)) =
        (key, signed_part(der), certificate.signature().as_bytes())
    else {
        return false;
    };
    tbs.issuer() == tbs.subject()
        && key.verify(&certificate.signature_algorithm().oid, signed, signature).is_ok()
}

/// The bytes that are signed, cut out: written again they could differ (times before 2050 have two forms).
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|r| {
        let signed = r.tlv_bytes()?;
        r.tlv_bytes()?;
        r.tlv_bytes()?;
        Ok(signed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::testkit::{Draft, P256, extension, name, sequence, tlv};

    const SAN: &str = "2.5.29.17";
    const ACME: &str = "1.3.6.1.5.5.7.1.31";

    fn names(list: &[Vec<u8>]) -> Vec<u8> {
        extension(SAN, false, &sequence(list))
    }

    fn dns(text: &str) -> Vec<u8> {
        tlv(0x82, text.as_bytes())
    }

    fn digest(critical: bool, of: &str) -> Vec<u8> {
        extension(ACME, critical, &tlv(0x04, &sha256(of.as_bytes())))
    }

    fn certificate(extensions: Vec<Vec<u8>>) -> Vec<u8> {
        let key = P256::new();
        Draft::new(key.spki(), name("acme"), extensions).sign(&key, name("acme"))
    }

    fn run(extensions: Vec<Vec<u8>>) -> Result<(), Failure> {
        check(&certificate(extensions), &Identifier::parse("dns", "a.example").unwrap(), "ka")
    }

    #[test]
    fn the_certificate_names_the_identifier_and_carries_the_digest() {
        assert_eq!(run(vec![names(&[dns("a.example")]), digest(true, "ka")]), Ok(()));
        assert_eq!(run(vec![names(&[dns("A.Example")]), digest(true, "ka")]), Ok(()));
        let address = Identifier::parse("ip", "10.0.0.1").unwrap();
        let good = certificate(vec![names(&[tlv(0x87, &[10, 0, 0, 1])]), digest(true, "ka")]);
        assert_eq!(check(&good, &address, "ka"), Ok(()));
        assert!(check(&good, &Identifier::parse("ip", "10.0.0.2").unwrap(), "ka").is_err());
    }

    #[test]
    fn each_rule_of_the_certificate_says_no() {
        let good = || vec![names(&[dns("a.example")]), digest(true, "ka")];
        let (name_rule, digest_rule) = ("does not name the identifier", "another digest");
        for (what, extensions, rule) in [
            ("another name", vec![names(&[dns("b.example")]), digest(true, "ka")], name_rule),
            ("two names", vec![names(&[dns("a.example"), dns("b.example")]), digest(true, "ka")], name_rule),
            ("no name", vec![digest(true, "ka")], name_rule),
            ("an address", vec![names(&[tlv(0x87, &[10, 0, 0, 1])]), digest(true, "ka")], name_rule),
            ("another digest", vec![names(&[dns("a.example")]), digest(true, "kb")], digest_rule),
            ("not critical", vec![names(&[dns("a.example")]), digest(false, "ka")], "not critical"),
            ("no digest", vec![names(&[dns("a.example")])], "no acmeIdentifier"),
            (
                "a bare digest",
                vec![names(&[dns("a.example")]), extension(ACME, true, &sha256(b"ka"))],
                digest_rule,
            ),
        ] {
            let refused = run(extensions).unwrap_err().detail;
            assert!(refused.contains(rule), "{what}: {refused}");
        }
        let identifier = Identifier::parse("dns", "a.example").unwrap();
        let issued = Draft::new(P256::new().spki(), name("acme"), good()).sign(&P256::new(), name("acme"));
        let refused = check(&issued, &identifier, "ka").unwrap_err().detail;
        assert!(refused.contains("self-signed"), "signed by another key: {refused}");
        let der = certificate(good());
        for n in 0..der.len() {
            assert!(check(&der[..n], &identifier, "ka").is_err(), "cut to {n}");
        }
        assert!(check(&vec![0x30; MAX_CERTIFICATE + 1], &identifier, "ka").is_err());
    }

    // RFC 8738 6
    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        let name = |text| server_name(&Identifier::parse("ip", text).unwrap());
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(name("2001:db8::1"), six);
    }
}
