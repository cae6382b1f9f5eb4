//! Reading DER one TLV at a time. CMP's protection covers bytes as they were sent, so what we read is cut out of the
//! message and never encoded again.
//!
//! Lengths and tags are read by `der`, which takes definite, minimal ones only. Nothing here recurses: the depth that
//! is read is the depth of the code that reads.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader};
use lanyard_domain::time::Timestamp;
use lanyard_pki::write;

/// Bytes that are not what RFC 9810 or RFC 4211 says there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is malformed or missing (RFC 9810 appendix F)")]
pub struct Malformed(pub(super) &'static str);

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tlv<'a> {
    pub tag: u8,
    /// Without tag and length.
    pub content: &'a [u8],
    /// With them.
    pub whole: &'a [u8],
    what: &'static str,
}

impl<'a> Tlv<'a> {
    /// The elements inside.
    pub fn fields(self) -> Fields<'a> {
        Fields { rest: self.content, what: self.what }
    }

    /// The one element inside of an explicit tag.
    pub fn inner(self) -> Result<Tlv<'a>, Malformed> {
        let mut fields = self.fields();
        let inner = fields.any()?;
        fields.finish()?;
        Ok(inner)
    }

    /// The one element inside of an explicit tag, which has this tag.
    pub fn inner_tagged(self, tag: u8) -> Result<Tlv<'a>, Malformed> {
        let inner = self.inner()?;
        if inner.tag == tag { Ok(inner) } else { Err(Malformed(self.what)) }
    }

    /// An INTEGER that fits, also under an implicit tag.
    pub fn integer(self) -> Result<i64, Malformed> {
        match self.content {
            [] => return Err(Malformed(self.what)),
            // X.690 8.3.2: the first nine bits are neither all zero nor all one.
            [0, next, ..] if *next < 0x80 => return Err(Malformed(self.what)),
            [0xff, next, ..] if *next >= 0x80 => return Err(Malformed(self.what)),
            _ => {}
        }
        if self.content.len() > 8 {
            return Err(Malformed(self.what));
        }
        let sign = if self.content.first().is_some_and(|b| *b >= 0x80) { -1 } else { 0 };
        Ok(self.content.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte)))
    }

    pub fn oid(self) -> Result<ObjectIdentifier, Malformed> {
        ObjectIdentifier::from_der(self.whole).map_err(|_| Malformed(self.what))
    }

    /// The octets of a BIT STRING without unused bits.
    pub fn bits(self) -> Result<&'a [u8], Malformed> {
        match self.content.split_first() {
            Some((0, bits)) if self.tag == write::BIT_STRING => Ok(bits),
            _ => Err(Malformed(self.what)),
        }
    }

    pub fn utf8(self) -> Result<&'a str, Malformed> {
        match std::str::from_utf8(self.content) {
            Ok(text) if self.tag == write::UTF8_STRING => Ok(text),
            _ => Err(Malformed(self.what)),
        }
    }

    /// A GeneralizedTime in UTC. Fractions of a second are read too: older clients of other makers send them.
    pub fn generalized_time(self) -> Result<Timestamp, Malformed> {
        let bad = Malformed(self.what);
        let text = std::str::from_utf8(self.content).map_err(|_| bad)?.strip_suffix('Z').ok_or(bad)?;
        let (digits, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fits = digits.len() == 14 && digits.bytes().all(|b| b.is_ascii_digit());
        if self.tag != write::GENERALIZED_TIME || !fits {
            return Err(bad);
        }
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let (y, mo, d) = (part(0, 4), part(4, 6), part(6, 8));
        let (h, mi, s) = (part(8, 10), part(10, 12), part(12, 14));
        format!("{y}-{mo}-{d}T{h}:{mi}:{s}.{fraction}Z").parse().map_err(|_| bad)
    }

    /// An AlgorithmIdentifier: its id and what stands beside it.
    pub fn algorithm(self) -> Result<(ObjectIdentifier, Option<Tlv<'a>>), Malformed> {
        if self.tag != write::SEQUENCE {
            return Err(Malformed(self.what));
        }
        let mut fields = self.fields();
        let id = fields.take(write::OBJECT_IDENTIFIER, self.what)?.oid()?;
        let parameters = fields.next_any()?;
        fields.finish()?;
        Ok((id, parameters))
    }

    /// An AlgorithmIdentifier whose parameters are absent or NULL, as those of hashes, MACs and most signatures.
    pub fn plain_algorithm(self) -> Result<ObjectIdentifier, Malformed> {
        match self.algorithm()? {
            (id, None) => Ok(id),
            (id, Some(parameters)) if parameters.whole == [5, 0] => Ok(id),
            _ => Err(Malformed(self.what)),
        }
    }
}

/// The elements of a constructed one, from the first to the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// The elements that these bytes are.
    pub fn of(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Result<Tlv<'a>, Malformed> {
        let what = self.what;
        let bad = |_| Malformed(what);
        let whole = SliceReader::new(self.rest).and_then(|mut r| r.tlv_bytes()).map_err(bad)?;
        let content = AnyRef::from_der(whole).map_err(bad)?.value();
        let tag = whole.first().copied().ok_or(Malformed(what))?;
        self.rest = self.rest.get(whole.len()..).unwrap_or_default();
        Ok(Tlv { tag, content, whole, what })
    }

    /// The next element, if there is one more.
    pub fn next_any(&mut self) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.is_empty() { Ok(None) } else { self.any().map(Some) }
    }

    /// The next element, which must have this tag; `what` names it in errors.
    pub fn take(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        self.optional(tag, what)?.ok_or(Malformed(what))
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u8, what: &'static str) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.rest.first() != Some(&tag) {
            return Ok(None);
        }
        let before = self.what;
        self.what = what;
        let found = self.any();
        self.what = before;
        found.map(Some)
    }

    /// That nothing is left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(self.what)) }
    }

    /// All that is left, at most `limit` of it.
    pub fn all(mut self, limit: usize) -> Result<Vec<Tlv<'a>>, Malformed> {
        let mut found = Vec::new();
        while let Some(next) = self.next_any()? {
            if found.len() == limit {
                return Err(Malformed(self.what));
            }
            found.push(next);
        }
        Ok(found)
    }
}

/// The one element that these bytes are.
pub(super) fn only<'a>(bytes: &'a [u8], tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
    let mut fields = Fields::of(bytes, what);
    let element = fields.take(tag, what)?;
    fields.finish()?;
    Ok(element)
}

/// Writes an INTEGER.
pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    let be = value.to_be_bytes();
    // X.690 8.3.2: as few octets as keep the sign.
    let skip = be
        .iter()
        .zip(be.iter().skip(1))
        .take_while(|(first, next)| matches!((**first, **next >= 0x80), (0, false) | (0xff, true)))
        .count();
    write::bytes(out, write::INTEGER, be.get(skip..).unwrap_or_default());
}

/// Writes a GeneralizedTime in whole seconds.
pub(super) fn write_generalized_time(out: &mut Vec<u8>, at: Timestamp) {
    let (year, month, day, hour, minute, second) = at.civil();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    write::bytes(out, write::GENERALIZED_TIME, text.as_bytes());
}

/// Writes an AlgorithmIdentifier without parameters.
pub(super) fn write_plain_algorithm(out: &mut Vec<u8>, id: &ObjectIdentifier) {
    write::tlv(out, write::SEQUENCE, |o| write::oid(o, id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_encoding_and_read_back() {
        for value in [0, 1, -1, 127, 128, -128, -129, 255, 256, 65_535, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, value);
            assert_eq!(only(&out, write::INTEGER, "n").unwrap().integer(), Ok(value), "{out:02x?}");
        }
        for bad in [&[2, 0][..], &[2, 2, 0, 1], &[2, 2, 0xff, 0x80], &[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(only(bad, write::INTEGER, "n").unwrap().integer().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_read_with_and_without_fractions_and_in_utc_only() {
        let read = |text: &str| {
            let mut out = Vec::new();
            write::bytes(&mut out, write::GENERALIZED_TIME, text.as_bytes());
            only(&out, write::GENERALIZED_TIME, "t").unwrap().generalized_time().ok()
        };
        let at = "2026-11-27T04:28:41Z".parse::<Timestamp>().unwrap();
        assert_eq!(read("20261127042841Z"), Some(at));
        assert_eq!(read("20261127042841.5Z"), Some(Timestamp::from_micros(at.as_micros() + 500_000)));
        for bad in ["", "20261127042841", "20261127042841+0100", "2026112704284Z", "20261327042841Z", "é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let mut out = Vec::new();
        write_generalized_time(&mut out, at);
        assert_eq!(out.get(2..), Some(b"20261127042841Z".as_slice()));
    }

    // I12
    #[test]
    fn what_is_not_definite_minimal_der_is_not_read() {
        for bad in [&[][..], &[0x30], &[0x30, 1], &[0x30, 0x80, 0, 0], &[0x30, 0x81, 1, 0], &[0x30, 0, 0]] {
            assert!(only(bad, write::SEQUENCE, "x").is_err(), "{bad:?}");
        }
        assert!(only(&[0x31, 0], write::SEQUENCE, "x").is_err(), "another tag");
        let list = [0x30, 6, 2, 1, 1, 2, 1, 2];
        let fields = only(&list, write::SEQUENCE, "x").unwrap().fields();
        assert_eq!(fields.all(2).unwrap().len(), 2);
        assert!(fields.all(1).is_err(), "one too many");
    }
}
