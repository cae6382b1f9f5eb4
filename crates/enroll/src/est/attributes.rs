//! The attributes of a PKCS#10 request that EST gives a meaning: challenge passwords, linking, and two wishes that we
//! do not grant. All others, and every name in the request, are ignored: names come from the record.

use std::collections::HashSet;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Reader, SliceReader, Tag, TagNumber, Tagged};
use lanyard_pki::oid;

/// RFC 7894 3.1, 3.3
const OTP_CHALLENGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.56");
const EST_IDENTITY_LINKING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.58");
/// RFC 6402 2.8
const CHANGE_SUBJECT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.36");
/// RFC 4108 2.2.5, RFC 7030 4.4.1.2
const DECRYPT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.37");
const ASYMMETRIC_DECRYPT_KEY_ID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.54");

/// Tools write two or three; the request as a whole has 16 KiB.
const MAX_ATTRIBUTES: usize = 32;
/// RFC 2985 upper bounds: pkcs-9-ub-challengePassword is 255.
const MAX_CHALLENGE: usize = 255;

/// Why the attributes were not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAttributes {
    /// Not DER of RFC 2986.
    #[error("certificate request is malformed: {0}")]
    Malformed(String),
    /// One attribute, two times.
    #[error("attribute {0} stands twice in the certificate request")]
    Twice(ObjectIdentifier),
    /// More than anybody writes.
    #[error("certificate request has more than {MAX_ATTRIBUTES} attributes")]
    TooMany,
    /// A challenge that is no short text.
    #[error("attribute {0} must be one text of 1 to {MAX_CHALLENGE} characters (RFC 2985 5.4.1)")]
    NoText(ObjectIdentifier),
}

impl From<der::Error> for BadAttributes {
    fn from(error: der::Error) -> Self {
        BadAttributes::Malformed(error.to_string())
    }
}

/// What the attributes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes<'a> {
    /// The SubjectPublicKeyInfo as it stands there.
    pub spki: &'a [u8],
    /// challengePassword or otpChallenge: a secret, or the channel binding.
    pub challenge: Option<&'a str>,
    /// estIdentityLinking: the channel binding, without doubt.
    pub linking: Option<&'a str>,
    pub changes_names: bool,
    pub wants_encrypted_key: bool,
}

/// Reads the attributes of a DER request of at most `csr::MAX_CSR_BYTES`; its signature is not looked at.
pub(super) fn read(csr: &[u8]) -> Result<Attributes<'_>, BadAttributes> {
    let parts = split(csr)?;
    let mut out = Attributes { spki: parts.spki, ..Attributes::default() };
    let mut seen = HashSet::new();
    let mut reader = SliceReader::new(parts.attributes)?;
    while !reader.is_finished() {
        let attribute = Attribute::read(&mut reader)?;
        if !seen.insert(attribute.id) {
            return Err(BadAttributes::Twice(attribute.id));
        }
        if seen.len() > MAX_ATTRIBUTES {
            return Err(BadAttributes::TooMany);
        }
        match attribute.id {
            oid::CHALLENGE_PASSWORD | OTP_CHALLENGE => out.challenge = Some(attribute.text()?),
            EST_IDENTITY_LINKING => out.linking = Some(attribute.text()?),
            CHANGE_SUBJECT_NAME => out.changes_names = true,
            DECRYPT_KEY_ID | ASYMMETRIC_DECRYPT_KEY_ID => out.wants_encrypted_key = true,
            _ => {}
        }
    }
    Ok(out)
}

struct Parts<'a> {
    spki: &'a [u8],
    /// The content of `[0]`.
    attributes: &'a [u8],
}

/// RFC 2986 4.1 and 4.2.
fn split(csr: &[u8]) -> der::Result<Parts<'_>> {
    let mut reader = SliceReader::new(csr)?;
    let info: AnyRef<'_> = reader.sequence(|r| {
        let info: AnyRef<'_> = r.decode()?;
        // Algorithm and signature: `csr::verify` reads them.
        r.tlv_bytes()?;
        r.tlv_bytes()?;
        Ok::<_, der::Error>(info)
    })?;
    reader.finish()?;
    info.sequence(|r| {
        // Version and subject.
        r.tlv_bytes()?;
        r.tlv_bytes()?;
        let spki = r.tlv_bytes()?;
        let attributes: AnyRef<'_> = r.decode()?;
        attributes.tag().assert_eq(Tag::ContextSpecific { constructed: true, number: TagNumber(0) })?;
        Ok(Parts { spki, attributes: attributes.value() })
    })
}

struct Attribute<'a> {
    id: ObjectIdentifier,
    values: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        reader.sequence(|r| {
            let id = r.decode()?;
            let values: AnyRef<'a> = r.decode()?;
            values.tag().assert_eq(Tag::Set)?;
            Ok::<_, der::Error>(Self { id, values: values.value() })
        })
    }

    /// The only value, a DirectoryString; IA5String is what some devices write for it.
    fn text(&self) -> Result<&'a str, BadAttributes> {
        let no_text = || BadAttributes::NoText(self.id);
        let mut reader = SliceReader::new(self.values)?;
        let value: AnyRef<'a> = reader.decode()?;
        reader.finish()?;
        let text = match value.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => {
                std::str::from_utf8(value.value()).map_err(|_| no_text())?
            }
            _ => return Err(no_text()),
        };
        if (1..=MAX_CHALLENGE).contains(&text.chars().count()) { Ok(text) } else { Err(no_text()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lanyard_pki::write;

    use super::*;

    /// A request with these attributes; neither key nor signature is one.
    pub(crate) fn unsigned(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[0]);
                write::bytes(o, write::SEQUENCE, &[]);
                write::bytes(o, write::SEQUENCE, &[]);
                write::tlv(o, write::context_constructed(0), |o| o.extend(attributes.concat()));
            });
            write::bytes(o, write::SEQUENCE, &[]);
            write::bit_string(o, &[]);
        });
        out
    }

    pub(crate) fn attribute(id: &str, tag: u8, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::oid(o, &id.parse().unwrap());
            write::tlv(o, write::SET, |o| write::bytes(o, tag, value));
        });
        out
    }

    pub(crate) const CHALLENGE: &str = "1.2.840.113549.1.9.7";

    #[test]
    fn each_attribute_is_found_among_others() {
        let other = attribute("1.2.840.113549.1.9.14", write::SEQUENCE, &[]);
        let none = Attributes { spki: &[write::SEQUENCE, 0], ..Attributes::default() };
        for (id, tag, expected) in [
            (CHALLENGE, write::PRINTABLE_STRING, Attributes { challenge: Some("abc"), ..none }),
            (CHALLENGE, 0x16, Attributes { challenge: Some("abc"), ..none }),
            ("1.2.840.113549.1.9.16.2.56", write::UTF8_STRING, Attributes { challenge: Some("abc"), ..none }),
            ("1.2.840.113549.1.9.16.2.58", write::UTF8_STRING, Attributes { linking: Some("abc"), ..none }),
            ("1.3.6.1.5.5.7.7.36", write::SEQUENCE, Attributes { changes_names: true, ..none }),
            (
                "1.2.840.113549.1.9.16.2.37",
                write::OCTET_STRING,
                Attributes { wants_encrypted_key: true, ..none },
            ),
            (
                "1.2.840.113549.1.9.16.2.54",
                write::OCTET_STRING,
                Attributes { wants_encrypted_key: true, ..none },
            ),
        ] {
            let csr = unsigned(&[other.clone(), attribute(id, tag, b"abc")]);
            assert_eq!(read(&csr), Ok(expected), "{id}");
        }
        assert_eq!(read(&unsigned(&[])), Ok(none));
    }

    // I12
    #[test]
    fn attributes_that_cannot_be_meant_are_refused() {
        let id = |text: &str| text.parse::<ObjectIdentifier>().unwrap();
        let one = attribute(CHALLENGE, write::UTF8_STRING, b"a");
        assert_eq!(read(&unsigned(&[one.clone(), one])), Err(BadAttributes::Twice(id(CHALLENGE))));
        for (tag, value) in [
            (write::UTF8_STRING, b"".to_vec()),
            (write::UTF8_STRING, b"a".repeat(256)),
            (write::UTF8_STRING, vec![0xff]),
            (write::INTEGER, vec![1]),
        ] {
            let csr = unsigned(&[attribute(CHALLENGE, tag, &value)]);
            assert_eq!(read(&csr), Err(BadAttributes::NoText(id(CHALLENGE))), "{value:?}");
        }
        let many: Vec<_> = (0..=MAX_ATTRIBUTES).map(|n| attribute(&format!("1.2.3.{n}"), 4, &[])).collect();
        assert_eq!(read(&unsigned(&many)), Err(BadAttributes::TooMany));
        let whole = unsigned(&[attribute(CHALLENGE, write::UTF8_STRING, b"abc")]);
        for at in 0..whole.len() {
            assert!(matches!(read(&whole[..at]), Err(BadAttributes::Malformed(_))), "cut at {at}");
        }
        assert!(read(&[whole.as_slice(), &[0]].concat()).is_err());
    }
}
