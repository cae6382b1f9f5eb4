//! A strict DER reader over slices: definite and shortest lengths, one-octet tags, nothing copied.
//!
//! It exists because a revocation list may have a hundred thousand entries and an OCSP request must cost less than
//! the look-up that it asks for: both are read in place, without one allocation per element. Certificates are read
//! by x509-cert ([`crate::facts`]); single values (object identifiers, dates) by `der`.
//!
//! In scope: the structures of RFC 5280 5 and RFC 6960 4. Out of scope: BER, tags above 30, negative integers.

use der::DateTime;
use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use crate::facts::{TimeFact, TimeForm};
use crate::write;

/// Why bytes are not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDer {
    #[error("it ends early")]
    Truncated,
    #[error("a length is not in its shortest definite form (X.690 10.1)")]
    Length,
    #[error("a tag has more than one octet")]
    Tag,
    #[error("{0} is missing or of another type")]
    Expected(&'static str),
    #[error("something follows after {0}")]
    Trailing(&'static str),
    #[error("{0} has a value that its type does not allow")]
    Value(&'static str),
}

/// What is left of a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// Tag, length and content.
    pub whole: &'a [u8],
}

/// An AlgorithmIdentifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Algorithm<'a> {
    pub oid: ObjectIdentifier,
    /// The parameters as they stand; `None` when left out.
    pub parameters: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, BadDer> {
        let start = self.rest;
        let (tag, rest) = start.split_first().ok_or(BadDer::Truncated)?;
        // X.690 8.1.2.4: 31 announces a tag of several octets, which no structure of ours has.
        if tag & 0x1f == 0x1f {
            return Err(BadDer::Tag);
        }
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length).ok_or(BadDer::Truncated)?;
        let (whole, _) = start.split_at_checked(start.len() - rest.len()).ok_or(BadDer::Truncated)?;
        self.rest = rest;
        Ok(Element { tag: *tag, content, whole })
    }

    pub(crate) fn next_is(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], BadDer> {
        if !self.next_is(tag) {
            return Err(if self.is_empty() { BadDer::Truncated } else { BadDer::Expected(what) });
        }
        Ok(self.any()?.content)
    }

    /// The content of the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, BadDer> {
        if self.next_is(tag) { self.any().map(|e| Some(e.content)) } else { Ok(None) }
    }

    /// A reader over the content of the next element.
    pub(crate) fn nested(&mut self, tag: u8, what: &'static str) -> Result<Reader<'a>, BadDer> {
        self.take(tag, what).map(Reader::new)
    }

    /// Nothing may be left.
    pub(crate) fn end(self, what: &'static str) -> Result<(), BadDer> {
        if self.is_empty() { Ok(()) } else { Err(BadDer::Trailing(what)) }
    }

    pub(crate) fn oid(&mut self, what: &'static str) -> Result<ObjectIdentifier, BadDer> {
        let content = self.take(write::OBJECT_IDENTIFIER, what)?;
        ObjectIdentifier::from_bytes(content).map_err(|_| BadDer::Value(what))
    }

    pub(crate) fn algorithm(&mut self, what: &'static str) -> Result<Algorithm<'a>, BadDer> {
        if !self.next_is(write::SEQUENCE) {
            return Err(BadDer::Expected(what));
        }
        let mut inner = Reader::new(self.any()?.content);
        let oid = inner.oid(what)?;
        let parameters = if inner.is_empty() { None } else { Some(inner.any()?.whole) };
        inner.end(what)?;
        Ok(Algorithm { oid, parameters })
    }

    /// A BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self, what: &'static str) -> Result<&'a [u8], BadDer> {
        match self.take(write::BIT_STRING, what)?.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(BadDer::Value(what)),
        }
    }

    /// UTCTime or GeneralizedTime in the forms of RFC 5280 4.1.2.5: seconds, `Z`, no fraction.
    pub(crate) fn time(&mut self, what: &'static str) -> Result<TimeFact, BadDer> {
        let element = self.any()?;
        let (form, at) = match element.tag {
            write::UTC_TIME => (TimeForm::Utc, utc_time(element.content)),
            write::GENERALIZED_TIME => (TimeForm::Generalized, generalized_time(element.content)),
            _ => return Err(BadDer::Expected(what)),
        };
        at.map(|at| TimeFact { at, form }).ok_or(BadDer::Value(what))
    }

    /// The extensions in a SEQUENCE OF Extension, one by one.
    pub(crate) fn extension(&mut self) -> Result<Extension<'a>, BadDer> {
        let mut inner = self.nested(write::SEQUENCE, "an extension")?;
        let id = inner.oid("an extension's id")?;
        let critical = match inner.optional(write::BOOLEAN)? {
            None => false,
            Some(content) => boolean(content, "an extension's criticality")?,
        };
        let value = inner.take(write::OCTET_STRING, "an extension's value")?;
        inner.end("an extension")?;
        Ok(Extension { id, critical, value })
    }
}

/// One extension of a list, an entry, a request or a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extension<'a> {
    pub id: ObjectIdentifier,
    pub critical: bool,
    pub value: &'a [u8],
}

/// X.690 11.1 wants 0xff for true; 11.5 would leave a default out, but an explicit false of an old tool is no harm.
pub(crate) fn boolean(content: &[u8], what: &'static str) -> Result<bool, BadDer> {
    match content {
        [0xff] => Ok(true),
        [0] => Ok(false),
        _ => Err(BadDer::Value(what)),
    }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), BadDer> {
    let (first, rest) = bytes.split_first().ok_or(BadDer::Truncated)?;
    let count = match first {
        short @ 0..=0x7f => return Ok((usize::from(*short), rest)),
        // 4 octets: 4 GiB, far above every size limit.
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return Err(BadDer::Length),
    };
    let (octets, rest) = rest.split_at_checked(count).ok_or(BadDer::Truncated)?;
    let length = octets.iter().fold(0usize, |sum, octet| (sum << 8) | usize::from(*octet));
    let leading_zero = octets.first() == Some(&0);
    if leading_zero || length < 0x80 { Err(BadDer::Length) } else { Ok((length, rest)) }
}

/// A structure in the form SIGNED{ToBeSigned} (RFC 5280 4.1.1, 5.1.1; RFC 6960 4.2.1 adds certificates at the end).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The bytes under the signature, cut out as they were sent.
    pub tbs: &'a [u8],
    pub algorithm: Algorithm<'a>,
    pub signature: &'a [u8],
    /// What stands behind the signature.
    pub rest: Reader<'a>,
}

pub(crate) fn signed<'a>(der: &'a [u8], what: &'static str) -> Result<Signed<'a>, BadDer> {
    let mut outer = Reader::new(der);
    let mut inner = outer.nested(write::SEQUENCE, what)?;
    outer.end(what)?;
    let tbs = inner.any()?;
    if tbs.tag != write::SEQUENCE {
        return Err(BadDer::Expected(what));
    }
    let algorithm = inner.algorithm("the signature's algorithm")?;
    let signature = inner.bit_string("the signature")?;
    Ok(Signed { tbs: tbs.whole, algorithm, signature, rest: inner })
}

fn utc_time(content: &[u8]) -> Option<Timestamp> {
    let [y1, y2, rest @ ..] = content else { return None };
    let year = two(*y1, *y2)?;
    // RFC 5280 4.1.2.5.1: 50 and above is the last century.
    let century = if year >= 50 { 1900 } else { 2000 };
    moment(century + u16::from(year), rest)
}

/// GeneralizedTime of RFC 5280 4.1.2.5.2.
fn generalized_time(content: &[u8]) -> Option<Timestamp> {
    let [c1, c2, y1, y2, rest @ ..] = content else { return None };
    moment(u16::from(two(*c1, *c2)?) * 100 + u16::from(two(*y1, *y2)?), rest)
}

fn moment(year: u16, rest: &[u8]) -> Option<Timestamp> {
    let [m1, m2, d1, d2, h1, h2, i1, i2, s1, s2, b'Z'] = rest else { return None };
    let date =
        DateTime::new(year, two(*m1, *m2)?, two(*d1, *d2)?, two(*h1, *h2)?, two(*i1, *i2)?, two(*s1, *s2)?)
            .ok()?;
    i64::try_from(date.unix_duration().as_secs()).ok().map(Timestamp::from_seconds)
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    let digit = |c: u8| c.is_ascii_digit().then(|| c - b'0');
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // I12
    #[test]
    fn lengths_that_are_not_the_shortest_are_refused() {
        for (bytes, why) in [
            (&[][..], BadDer::Truncated),
            (&[0x30], BadDer::Truncated),
            (&[0x30, 1], BadDer::Truncated),
            (&[0x30, 0x80, 0, 0], BadDer::Length),
            (&[0x30, 0x81, 0x7f], BadDer::Length),
            (&[0x30, 0x82, 0, 0x80], BadDer::Length),
            (&[0x30, 0x85, 1, 0, 0, 0, 0], BadDer::Length),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], BadDer::Truncated),
            (&[0x3f, 1, 1], BadDer::Tag),
        ] {
            assert_eq!(Reader::new(bytes).any().map(|e| e.tag), Err(why), "{bytes:?}");
        }
        let mut long = vec![4, 0x82, 1, 0];
        long.extend([7; 256]);
        let element = Reader::new(&long).any().unwrap();
        assert_eq!((element.tag, element.content.len(), element.whole.len()), (4, 256, 260));
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads() {
        for length in [0usize, 1, 127, 128, 255, 256, 70_000] {
            let mut out = Vec::new();
            write::bytes(&mut out, write::OCTET_STRING, &vec![1; length]);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.take(write::OCTET_STRING, "it").unwrap().len(), length);
            assert_eq!(reader.end("it"), Ok(()));
        }
    }

    #[test]
    fn times_are_read_in_the_two_forms_of_the_profile_only() {
        let read = |tag, text: &str| {
            let mut der = Vec::new();
            write::bytes(&mut der, tag, text.as_bytes());
            Reader::new(&der).time("it").map(|t| (t.form, t.at.to_string()))
        };
        let written = |at: &str| {
            let mut der = Vec::new();
            write::time(&mut der, at.parse().unwrap());
            Reader::new(&der).time("it").unwrap().at.to_string()
        };
        for at in
            ["1999-12-31T23:59:59.000000Z", "2026-02-28T00:00:00.000000Z", "2051-01-01T00:00:00.000000Z"]
        {
            assert_eq!(written(at), at);
        }
        assert_eq!(
            read(write::UTC_TIME, "991231235959Z"),
            Ok((TimeForm::Utc, "1999-12-31T23:59:59.000000Z".into()))
        );
        for (tag, text) in [
            (write::UTC_TIME, "2611220102Z"),
            (write::UTC_TIME, "261122010203+0100"),
            (write::UTC_TIME, "261322010203Z"),
            (write::UTC_TIME, "260230010203Z"),
            (write::UTC_TIME, "26112201020xZ"),
            (write::GENERALIZED_TIME, "20261122010203.5Z"),
            (write::GENERALIZED_TIME, "261122010203Z"),
            (write::GENERALIZED_TIME, ""),
        ] {
            assert_eq!(read(tag, text), Err(BadDer::Value("it")), "{text}");
        }
        assert_eq!(read(write::OCTET_STRING, "261122010203Z"), Err(BadDer::Expected("it")));
    }

    #[test]
    fn a_boolean_has_two_values() {
        assert_eq!(boolean(&[0xff], "it"), Ok(true));
        assert_eq!(boolean(&[0], "it"), Ok(false));
        for bad in [&[][..], &[1], &[0xff, 0xff]] {
            assert!(boolean(bad, "it").is_err());
        }
    }
}
