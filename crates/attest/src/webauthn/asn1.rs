//! A cursor over DER that is strict in lengths and forgiving in order.
//!
//! It exists beside the `der` crate for two reasons found in real attestation certificates: Android's
//! KeyDescription has tag numbers above 30, and TPM makers write the SET of the chip's names unsorted, which a
//! strict decoder of X.501 names refuses. Used only for extension values. Out of scope: BER.

use der::asn1::ObjectIdentifier;

use crate::wire::Malformed;

pub(super) const BOOLEAN: Tag = Tag::universal(1);
pub(super) const INTEGER: Tag = Tag::universal(2);
pub(super) const OCTET_STRING: Tag = Tag::universal(4);
pub(super) const OBJECT_IDENTIFIER: Tag = Tag::universal(6);
pub(super) const ENUMERATED: Tag = Tag::universal(10);
pub(super) const UTF8_STRING: Tag = Tag::universal(12);
pub(super) const SEQUENCE: Tag = Tag { first: 0x20, number: 16 };
pub(super) const SET: Tag = Tag { first: 0x20, number: 17 };

/// Class and form bits, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    first: u8,
    number: u32,
}

impl Tag {
    const fn universal(number: u32) -> Self {
        Self { first: 0, number }
    }
    /// `[n]` around another value.
    pub(super) const fn explicit(number: u32) -> Self {
        Self { first: 0xa0, number }
    }
    pub(super) const fn number(self) -> u32 {
        self.number
    }
    pub(super) const fn is_explicit(self) -> bool {
        self.first == 0xa0
    }
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub tag: Tag,
    pub content: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    field: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `field` names the structure in refusals.
    pub(super) const fn new(field: &'static str, bytes: &'a [u8]) -> Self {
        Self { field, rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn refuse(&self, rule: &'static str) -> Malformed {
        Malformed::Invalid { field: self.field, rule }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(self.refuse("it ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn next(&mut self) -> Result<Value<'a>, Malformed> {
        let first = self.byte()?;
        let number = match first & 0x1f {
            0x1f => self.long_number()?,
            small => u32::from(small),
        };
        let length = self.length()?;
        let (content, rest) = self.rest.split_at_checked(length).ok_or(self.refuse("it ends early"))?;
        self.rest = rest;
        Ok(Value { tag: Tag { first: first & 0xe0, number }, content })
    }

    /// X.690 8.1.2.4: base 128, no leading zero. Three octets: Android's numbers end below 1000.
    fn long_number(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for position in 0..3 {
            let octet = self.byte()?;
            if position == 0 && octet == 0x80 {
                return Err(self.refuse("tag numbers have no leading zeros"));
            }
            number = number << 7 | u32::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                return if number > 30 {
                    Ok(number)
                } else {
                    Err(self.refuse("a small tag number is short"))
                };
            }
        }
        Err(self.refuse("a tag number above 2097151"))
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        // Two octets: no extension here has 64 KiB.
        let (octets, least) = match first {
            0x81 => (1, 0x80),
            0x82 => (2, 0x100),
            _ => return Err(self.refuse("lengths are definite and below 64 KiB")),
        };
        let mut length = 0;
        for _ in 0..octets {
            length = length << 8 | usize::from(self.byte()?);
        }
        if length < least { Err(self.refuse("lengths have their shortest form")) } else { Ok(length) }
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        let value = self.next()?;
        if value.tag == tag { Ok(value.content) } else { Err(self.refuse("a value of another type")) }
    }

    /// A cursor inside of the next value, which must have this tag.
    pub(super) fn inside(&mut self, tag: Tag) -> Result<Reader<'a>, Malformed> {
        Ok(Reader { field: self.field, rest: self.expect(tag)? })
    }

    /// A small non-negative INTEGER or ENUMERATED.
    pub(super) fn small(&mut self, tag: Tag) -> Result<u32, Malformed> {
        let content = self.expect(tag)?;
        let fits = matches!(content.len(), 1..=4) && content.first().is_some_and(|b| *b < 0x80);
        let shortest = content.len() == 1 || content.first() != Some(&0) || content.get(1) >= Some(&0x80);
        if !fits || !shortest {
            return Err(self.refuse("a number outside of 0 to 2147483647"));
        }
        Ok(content.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
    }

    pub(super) fn oid(&mut self) -> Result<ObjectIdentifier, Malformed> {
        let content = self.expect(OBJECT_IDENTIFIER)?;
        ObjectIdentifier::from_bytes(content).map_err(|_| self.refuse("not an object identifier"))
    }

    /// Nothing may follow.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing { field: self.field, left: self.rest.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(u32, usize), Malformed> {
        let mut reader = Reader::new("test", bytes);
        let value = reader.next()?;
        reader.finish()?;
        Ok((value.tag.number(), value.content.len()))
    }

    // I12
    #[test]
    fn only_shortest_definite_forms_are_read() {
        assert_eq!(read(&[0x30, 0]), Ok((16, 0)));
        assert_eq!(read(&[0xbf, 0x85, 0x3e, 0]), Ok((702, 0)));
        let long = [&[0x04, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(read(&long), Ok((4, 0x80)));
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x05, 1, 2, 3, 4, 5],
            &[0x30, 0x82, 0x00, 0x01, 1],
            &[0x30, 0x83, 0, 0, 0],
            &[0xbf, 0x80, 0x1f, 0],
            &[0xbf, 0x1e, 0],
            &[0xbf, 0xff, 0xff, 0xff, 0x7f, 0],
            &[0x30, 0, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:02x?}");
        }
        for n in 0..long.len() {
            assert!(read(&long[..n]).is_err(), "{n}");
        }
    }

    #[test]
    fn numbers_are_small_and_in_their_shortest_form() {
        let small = |bytes: &[u8]| Reader::new("test", bytes).small(INTEGER);
        assert_eq!(small(&[2, 1, 0]), Ok(0));
        assert_eq!(small(&[2, 2, 1, 0x2c]), Ok(300));
        assert_eq!(small(&[2, 2, 0, 0x80]), Ok(128));
        for bad in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 5, 1, 0, 0, 0, 0], &[10, 1, 0]] {
            assert!(small(bad).is_err(), "{bad:02x?}");
        }
    }
}
