//! BER to DER: what SCEP clients send is rewritten once, at the door, so that everything behind it reads DER only.
//!
//! Real clients send indefinite lengths, lengths that are not the shortest, and OCTET STRINGs in pieces (X.690 8.1.3.6,
//! 8.7.3). DER comes out byte for byte as it went in, so signatures over it still verify.
//!
//! In scope: lengths and OCTET STRINGs, within limits of size and nesting. Out of scope: the values of primitive types
//! and the order of sets, which signed bytes may depend on; pieces under an implicit tag, which only the reader of that
//! field can know ([`super::asn1::Element::octets`]); tags above 30 and other strings in pieces, which CMS does not have.

use lanyard_pki::write;

/// A certificate's names lie 9 levels deep in a SignedData, its extensions 10; the rest is for OCTET STRINGs in pieces.
const MAX_DEPTH: u8 = 16;

const INDEFINITE: u8 = 0x80;
const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING_IN_PIECES: u8 = write::OCTET_STRING | CONSTRUCTED;

/// Why bytes are not BER that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// More than the caller allows.
    #[error("{0} bytes are more than is read here")]
    TooLarge(usize),
    /// Ends inside of an element.
    #[error("the encoding ends inside of an element")]
    Truncated,
    /// Bytes after the element.
    #[error("bytes follow after the end of the encoding")]
    Trailing,
    /// Deeper than any message needs.
    #[error("elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A length of more than four octets, or an indefinite one on a primitive element.
    #[error("a length is malformed (X.690 8.1.3)")]
    Length,
    /// A tag that no CMS message has.
    #[error("tag {0:#04x} has no place in a CMS message")]
    Tag(u8),
}

/// The same value in DER lengths. Fuzz entry point.
pub fn to_der(ber: &[u8], max_bytes: usize) -> Result<Vec<u8>, BerError> {
    if ber.len() > max_bytes {
        return Err(BerError::TooLarge(ber.len()));
    }
    let mut input = Input { rest: ber };
    let mut out = Vec::with_capacity(ber.len());
    element(&mut input, 0, &mut out)?;
    if input.rest.is_empty() { Ok(out) } else { Err(BerError::Trailing) }
}

struct Input<'a> {
    rest: &'a [u8],
}

/// Where the content of an element ends.
#[derive(Clone, Copy)]
enum Extent {
    Bytes(usize),
    UntilEndOfContents,
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, BerError> {
        let (first, rest) = self.rest.split_first().ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BerError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn header(&mut self) -> Result<(u8, Extent), BerError> {
        let tag = self.byte()?;
        // X.690 8.1.2.4 and 8.1.5: a tag of several octets; an end without a beginning.
        if tag & 0x1f == 0x1f || tag == 0 {
            return Err(BerError::Tag(tag));
        }
        let extent = match self.byte()? {
            INDEFINITE if tag & CONSTRUCTED == 0 => return Err(BerError::Length),
            INDEFINITE => Extent::UntilEndOfContents,
            short if short < 0x80 => Extent::Bytes(usize::from(short)),
            long => {
                let count = usize::from(long & 0x7f);
                // Four octets of length reach beyond every limit that is set here.
                if count > 4 {
                    return Err(BerError::Length);
                }
                let octets = self.take(count)?;
                Extent::Bytes(octets.iter().fold(0, |length, octet| (length << 8) | usize::from(*octet)))
            }
        };
        Ok((tag, extent))
    }

    /// Calls `each` for every element of a content, and leaves the input behind its end.
    fn contents(
        &mut self,
        extent: Extent,
        mut each: impl FnMut(&mut Self) -> Result<(), BerError>,
    ) -> Result<(), BerError> {
        match extent {
            Extent::Bytes(count) => {
                let mut inside = Input { rest: self.take(count)? };
                while !inside.rest.is_empty() {
                    each(&mut inside)?;
                }
            }
            Extent::UntilEndOfContents => {
                while !self.rest.starts_with(&[0, 0]) {
                    each(self)?;
                }
                self.take(2)?;
            }
        }
        Ok(())
    }
}

fn element(input: &mut Input<'_>, depth: u8, out: &mut Vec<u8>) -> Result<(), BerError> {
    let (tag, extent) = input.header()?;
    let depth = deeper(depth)?;
    let mut result = Ok(());
    match (tag, extent) {
        (OCTET_STRING_IN_PIECES, _) => {
            write::tlv(out, write::OCTET_STRING, |o| result = pieces(input, extent, depth, o));
        }
        (write::SEQUENCE | write::SET, _) => write::tlv(out, tag, |o| {
            result = input.contents(extent, |inside| element(inside, depth, o));
        }),
        // Application, context and private tags: constructed is what it says.
        (tag, _) if tag & CONSTRUCTED != 0 && tag >= 0x40 => write::tlv(out, tag, |o| {
            result = input.contents(extent, |inside| element(inside, depth, o));
        }),
        (tag, Extent::Bytes(count)) if tag & CONSTRUCTED == 0 => {
            write::bytes(out, tag, input.take(count)?);
        }
        (tag, _) => return Err(BerError::Tag(tag)),
    }
    result
}

/// The pieces of an OCTET STRING, joined. A piece may be in pieces itself.
fn pieces(input: &mut Input<'_>, extent: Extent, depth: u8, out: &mut Vec<u8>) -> Result<(), BerError> {
    input.contents(extent, |inside| match inside.header()? {
        (write::OCTET_STRING, Extent::Bytes(count)) => {
            out.extend_from_slice(inside.take(count)?);
            Ok(())
        }
        (OCTET_STRING_IN_PIECES, extent) => pieces(inside, extent, deeper(depth)?, out),
        (tag, _) => Err(BerError::Tag(tag)),
    })
}

fn deeper(depth: u8) -> Result<u8, BerError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(BerError::TooDeep) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scep::testing::{recorded, to_ber};

    const LIMIT: usize = 64 * 1024;

    #[test]
    fn der_comes_out_as_it_went_in() {
        for (name, message) in recorded() {
            assert_eq!(to_der(&message, LIMIT).unwrap(), message, "{name}");
        }
    }

    #[test]
    fn indefinite_lengths_and_pieces_become_der() {
        for (name, message) in recorded() {
            let ber = to_ber(&message);
            assert!(ber.len() > message.len() && ber != message, "{name}");
            assert_eq!(to_der(&ber, LIMIT).unwrap(), message, "{name}");
        }
        for (ber, der) in [
            // A length in four octets where one is enough.
            (&[0x04, 0x84, 0, 0, 0, 1, 7][..], &[0x04, 1, 7][..]),
            // Pieces of pieces, some of them empty.
            (&[0x24, 0x80, 0x24, 0x80, 4, 1, 1, 0, 0, 4, 0, 4, 1, 2, 0, 0], &[4, 2, 1, 2]),
            (&[0x30, 0x80, 0xa0, 0x80, 0x02, 1, 5, 0, 0, 0, 0], &[0x30, 5, 0xa0, 3, 2, 1, 5]),
            // A context tag keeps its pieces: whether it is an OCTET STRING is not known here.
            (&[0xa0, 0x80, 4, 1, 1, 4, 1, 2, 0, 0], &[0xa0, 6, 4, 1, 1, 4, 1, 2]),
        ] {
            assert_eq!(to_der(ber, LIMIT).unwrap(), der);
        }
    }

    // I12
    #[test]
    fn what_is_malformed_is_refused_with_its_reason() {
        let deep: Vec<u8> = [0x30, 0x80].repeat(usize::from(MAX_DEPTH) + 1);
        let deep_pieces: Vec<u8> = [0x24, 0x80].repeat(usize::from(MAX_DEPTH) + 1);
        for (ber, expected) in [
            (&[][..], BerError::Truncated),
            (&[0x30], BerError::Truncated),
            (&[0x04, 2, 1], BerError::Truncated),
            (&[0x04, 0x82, 1], BerError::Truncated),
            (&[0x30, 0x80, 2, 1, 5], BerError::Truncated),
            (&[0x30, 0x80, 2, 1, 5, 0], BerError::Tag(0)),
            (&[0x04, 1, 1, 0], BerError::Trailing),
            (&[0x30, 2, 4, 2], BerError::Truncated),
            (&[0x04, 0x80, 0, 0], BerError::Length),
            (&[0x04, 0x85, 0, 0, 0, 0, 1, 1], BerError::Length),
            (&[0x04, 0xff, 1], BerError::Length),
            (&[0x1f, 0x22, 0], BerError::Tag(0x1f)),
            (&[0x30, 2, 0, 0], BerError::Tag(0)),
            // An integer inside of an OCTET STRING's pieces; a BIT STRING and a UTF8String in pieces.
            (&[0x24, 3, 2, 1, 1], BerError::Tag(2)),
            (&[0x23, 0], BerError::Tag(0x23)),
            (&[0x2c, 0], BerError::Tag(0x2c)),
            (&deep, BerError::TooDeep),
            (&deep_pieces, BerError::TooDeep),
        ] {
            assert_eq!(to_der(ber, LIMIT), Err(expected), "{ber:02x?}");
        }
        assert_eq!(to_der(&[0x04; 11], 10), Err(BerError::TooLarge(11)));
    }

    // I12
    #[test]
    fn a_cut_at_any_byte_is_refused() {
        let (_, message) = recorded().swap_remove(0);
        let ber = to_ber(&message);
        for at in 0..ber.len() {
            assert!(to_der(&ber[..at], LIMIT).is_err(), "cut at {at}");
        }
    }
}
