//! CRLNumber (RFC 5280 5.2.3): a number that grows with each list of one issuer and scope.

use std::fmt;

use serde::{Deserialize, Serialize};

/// RFC 5280 5.2.3: readers must take up to 20 octets.
const MAX_OCTETS: usize = 20;

/// A non-negative number of at most 20 octets. As serde writes it, it is for state of ours only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Number {
    // Right-aligned, so that the derived order is the numeric one.
    octets: [u8; MAX_OCTETS],
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        let mut octets = [0; MAX_OCTETS];
        let (_, tail) = octets.split_at_mut(MAX_OCTETS - 8);
        tail.copy_from_slice(&number.to_be_bytes());
        Self { octets }
    }
}

impl Number {
    /// From the content octets of a DER INTEGER; `None` when negative, not minimal or too long.
    pub(crate) fn from_der_content(content: &[u8]) -> Option<Self> {
        match content {
            [] => return None,
            [0, next, ..] if *next < 0x80 => return None,
            [first, ..] if *first >= 0x80 => return None,
            _ => {}
        }
        let start = MAX_OCTETS.checked_sub(content.len())?;
        let mut octets = [0; MAX_OCTETS];
        let (_, tail) = octets.split_at_mut(start);
        tail.copy_from_slice(content);
        Some(Self { octets })
    }

    /// The content octets of the DER INTEGER.
    pub(crate) fn der_content(&self) -> Vec<u8> {
        let significant: Vec<u8> = self.octets.iter().copied().skip_while(|b| *b == 0).collect();
        match significant.first() {
            None => vec![0],
            Some(first) if *first >= 0x80 => [&[0], significant.as_slice()].concat(),
            Some(_) => significant,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", data_encoding::HEXLOWER.encode(&self.der_content()))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_order_as_numbers() {
        let mut before = None;
        for number in [0, 1, 127, 128, 255, 256, u64::MAX] {
            let written = Number::from(number).der_content();
            let read = Number::from_der_content(&written);
            assert_eq!(read, Some(Number::from(number)));
            assert!(before < read);
            before = read;
        }
        for bad in [&[][..], &[0, 1], &[0x80], &[1; 21]] {
            assert_eq!(Number::from_der_content(bad), None);
        }
    }
}
