//! A small DER writer for what we issue: definite lengths, nested by closures, one buffer.
//!
//! It exists because issuing is a hot loop whose shape never changes; every certificate written here is parsed
//! again by x509-cert before it is signed, so a mistake cannot become a certificate. The enrollment protocols
//! write their messages with it too. Not for reading.

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// PrintableString.
pub const PRINTABLE_STRING: u8 = 0x13;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET and SET OF.
pub const SET: u8 = 0x31;

/// Primitive context tag `[n]`.
pub const fn context(n: u8) -> u8 {
    0x80 | n
}

/// Constructed context tag `[n]`.
pub const fn context_constructed(n: u8) -> u8 {
    0xa0 | n
}

/// Writes `tag`, the length of what `body` appends, and that.
pub fn tlv(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    body(out);
    let length = out.len().saturating_sub(start);
    let be = (length as u64).to_be_bytes();
    let significant = be.iter().copied().skip_while(|b| *b == 0);
    let mut header = Vec::with_capacity(9);
    if length >= 0x80 {
        header.push(0x80 | significant.clone().count() as u8);
        header.extend(significant);
    } else {
        header.push(length as u8);
    }
    out.splice(start..start, header);
}

/// Writes `tag`, length and `content`.
pub fn bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    tlv(out, tag, |o| o.extend_from_slice(content));
}

/// An OBJECT IDENTIFIER.
pub fn oid(out: &mut Vec<u8>, oid: &ObjectIdentifier) {
    bytes(out, OBJECT_IDENTIFIER, oid.as_bytes());
}

/// A BIT STRING with no unused bits.
pub fn bit_string(out: &mut Vec<u8>, content: &[u8]) {
    tlv(out, BIT_STRING, |o| {
        o.push(0);
        o.extend_from_slice(content);
    });
}

/// A non-negative INTEGER from big-endian bytes, in the shortest form (X.690 8.3.2).
pub(crate) fn unsigned(out: &mut Vec<u8>, big_endian: &[u8]) {
    tlv(out, INTEGER, |o| {
        let significant = big_endian.iter().copied().skip_while(|b| *b == 0);
        if significant.clone().next().is_none_or(|first| first >= 0x80) {
            o.push(0);
        }
        o.extend(significant);
    });
}

/// One certificate extension; `value` writes the DER inside the OCTET STRING.
pub fn extension(
    out: &mut Vec<u8>,
    id: &ObjectIdentifier,
    critical: Critical,
    value: impl FnOnce(&mut Vec<u8>),
) {
    tlv(out, SEQUENCE, |o| {
        oid(o, id);
        // X.690 11.5: a DEFAULT FALSE is left out.
        if critical == Critical::Yes {
            bytes(o, BOOLEAN, &[0xff]);
        }
        tlv(o, OCTET_STRING, value);
    });
}

/// Whether an extension must be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Critical {
    /// It must.
    Yes,
    /// It may be skipped.
    No,
}

/// RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on, whole seconds, `Z`.
pub fn time(out: &mut Vec<u8>, at: Timestamp) {
    let (year, month, day, hour, minute, second) = at.civil();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        bytes(out, UTC_TIME, format!("{:02}{rest}", year.rem_euclid(100)).as_bytes());
    } else {
        bytes(out, GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes());
    }
}

/// A SET OF these encoded elements in the order that DER asks for (X.690 11.6), each once.
pub fn set_of(out: &mut Vec<u8>, tag: u8, elements: &[&[u8]]) {
    let mut sorted = elements.to_vec();
    // Of two encodings neither is the beginning of the other, so that the padding of 11.6 makes no difference.
    sorted.sort_unstable();
    sorted.dedup();
    tlv(out, tag, |o| sorted.iter().for_each(|element| o.extend_from_slice(element)));
}

/// GeneralizedTime whatever the year, as OCSP wants it (RFC 6960 4.2.1), in the form of RFC 5280 4.1.2.5.2.
pub(crate) fn generalized_time(out: &mut Vec<u8>, at: Timestamp) {
    let (year, month, day, hour, minute, second) = at.civil();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    bytes(out, GENERALIZED_TIME, text.as_bytes());
}

/// One attribute of a Name, in its own SET (single-valued RDN).
pub fn rdn(out: &mut Vec<u8>, id: &ObjectIdentifier, string_tag: u8, text: &str) {
    tlv(out, SET, |o| {
        tlv(o, SEQUENCE, |o| {
            oid(o, id);
            bytes(o, string_tag, text.as_bytes());
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_use_the_shortest_form() {
        for (length, head) in [
            (0usize, vec![4u8, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (255, vec![4, 0x81, 255]),
            (256, vec![4, 0x82, 1, 0]),
            (70_000, vec![4, 0x83, 1, 0x11, 0x70]),
        ] {
            let mut out = Vec::new();
            bytes(&mut out, OCTET_STRING, &vec![7; length]);
            assert_eq!(&out[..head.len()], head.as_slice(), "{length}");
            assert_eq!(out.len(), head.len() + length);
        }
    }

    #[test]
    fn a_set_is_sorted_and_has_nothing_twice() {
        let mut out = Vec::new();
        set_of(&mut out, SET, &[&[2, 1, 9], &[1, 1, 0xff], &[2, 1, 9]]);
        assert_eq!(out, [SET, 6, 1, 1, 0xff, 2, 1, 9]);
    }

    #[test]
    fn integers_have_the_shortest_form() {
        for (number, der) in [
            (&[][..], &[2u8, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0, 1, 0, 1], &[2, 3, 1, 0, 1]),
        ] {
            let mut out = Vec::new();
            unsigned(&mut out, number);
            assert_eq!(out, der);
        }
    }

    #[test]
    fn times_change_form_at_2050() {
        let at = |text: &str| {
            let mut out = Vec::new();
            time(&mut out, text.parse().unwrap());
            (out[0], String::from_utf8(out[2..].to_vec()).unwrap())
        };
        assert_eq!(at("2026-11-22T01:02:03Z"), (UTC_TIME, "261122010203Z".into()));
        assert_eq!(at("2049-12-31T23:59:59Z"), (UTC_TIME, "491231235959Z".into()));
        assert_eq!(at("2050-01-01T00:00:00Z"), (GENERALIZED_TIME, "20500101000000Z".into()));
    }
}
