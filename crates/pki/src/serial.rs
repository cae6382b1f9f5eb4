//! Certificate serial numbers: random for what we issue, up to 20 octets for what we receive.
//!
//! Random and never counted: a counter shared by replicas is the thing that fails over badly, and a guessable
//! serial weakens a hash that is attacked by choosing prefixes. Written as lower-case hex without leading zeros.

use std::fmt;
use std::str::FromStr;

use lanyard_domain::text::fixed_bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 5280 4.1.2.2: at most 20 octets.
const MAX_OCTETS: usize = 20;

/// A positive certificate serial number of at most 20 DER octets. As serde writes it, it is for state of ours only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial {
    // Right-aligned, so that the derived order is the numeric one.
    octets: [u8; MAX_OCTETS],
}

/// Why bytes or text are not a serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSerial {
    /// Zero or negative.
    #[error("serial is zero or negative: RFC 5280 4.1.2.2 wants a positive number")]
    NotPositive,
    /// More than 20 octets.
    #[error("serial has more than 20 octets (RFC 5280 4.1.2.2)")]
    TooLong,
    /// Not a canonical DER integer.
    #[error("serial is not a minimal DER integer (X.690 8.3.2)")]
    NotMinimal,
    /// Not lower-case hex.
    #[error("`{0}` is not a serial: expected 1 to 40 lower-case hex digits without leading zero")]
    NotHex(String),
}

impl Serial {
    /// Where an ordered range of serials begins; no certificate has this one (RFC 5280 4.1.2.2).
    pub const fn least() -> Self {
        Self { octets: [0; MAX_OCTETS] }
    }

    /// A serial from 16 random bytes: 127 bits long, always positive, always 16 octets.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        // Top bit clear: positive without a padding octet. Next bit set: never zero, one length for all.
        let [first, ..] = &mut bytes;
        *first = (*first & 0x7f) | 0x40;
        let mut octets = [0; MAX_OCTETS];
        let (_, tail) = octets.split_at_mut(MAX_OCTETS - 16);
        tail.copy_from_slice(&bytes);
        Self { octets }
    }

    /// A serial from the content octets of a DER INTEGER.
    pub fn from_der_content(content: &[u8]) -> Result<Self, BadSerial> {
        if content.len() > MAX_OCTETS {
            return Err(BadSerial::TooLong);
        }
        match content {
            [] => return Err(BadSerial::NotMinimal),
            [0] => return Err(BadSerial::NotPositive),
            [0, next, ..] if *next < 0x80 => return Err(BadSerial::NotMinimal),
            [first, ..] if *first >= 0x80 => return Err(BadSerial::NotPositive),
            _ => {}
        }
        let mut octets = [0; MAX_OCTETS];
        let (_, tail) = octets.split_at_mut(MAX_OCTETS - content.len());
        tail.copy_from_slice(content);
        Ok(Self { octets })
    }

    /// The content octets of the DER INTEGER.
    pub fn der_content(&self) -> Vec<u8> {
        let magnitude = self.magnitude();
        let mut out = Vec::with_capacity(MAX_OCTETS);
        if magnitude.first().is_some_and(|b| *b >= 0x80) {
            out.push(0);
        }
        out.extend(magnitude);
        out
    }

    /// The octets without leading zeros.
    pub(crate) fn magnitude(&self) -> &[u8] {
        let zeros = self.octets.iter().take_while(|b| **b == 0).count();
        self.octets.get(zeros..).unwrap_or_default()
    }

    /// The last eight octets as a number.
    pub fn low_u64(&self) -> u64 {
        self.octets.last_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(data_encoding::HEXLOWER.encode(self.magnitude()).trim_start_matches('0'))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.octets)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self { octets: fixed_bytes(d)? })
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let bad = || BadSerial::NotHex(text.chars().take(48).collect());
        // One spelling per serial, so that two texts never name one certificate.
        if text.is_empty() || text.len() > 2 * MAX_OCTETS || text.starts_with('0') {
            return Err(bad());
        }
        let even = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
        let magnitude = data_encoding::HEXLOWER.decode(even.as_bytes()).map_err(|_| bad())?;
        let mut content = Vec::with_capacity(MAX_OCTETS + 1);
        if magnitude.first().is_some_and(|b| *b >= 0x80) {
            content.push(0);
        }
        content.extend(magnitude);
        Self::from_der_content(&content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_random_serial_is_positive_and_has_sixteen_octets(bytes: [u8; 16]) {
            let serial = Serial::from_random(bytes);
            let content = serial.der_content();
            prop_assert_eq!(content.len(), 16);
            prop_assert!((0x40..0x80).contains(&content[0]));
            prop_assert_eq!(Serial::from_der_content(&content), Ok(serial));
            prop_assert_eq!(serial.to_string().parse::<Serial>(), Ok(serial));
        }

        #[test]
        fn a_received_serial_reads_back_as_written(content in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(serial) = Serial::from_der_content(&content) {
                prop_assert_eq!(serial.der_content(), content);
                prop_assert_eq!(serial.to_string().parse::<Serial>(), Ok(serial));
            }
        }
    }

    #[test]
    fn serials_that_rfc_5280_forbids_are_refused() {
        for (content, why) in [
            (vec![], BadSerial::NotMinimal),
            (vec![0], BadSerial::NotPositive),
            (vec![0x80], BadSerial::NotPositive),
            (vec![0xff, 1], BadSerial::NotPositive),
            (vec![0, 1], BadSerial::NotMinimal),
            (vec![1; 21], BadSerial::TooLong),
        ] {
            assert_eq!(Serial::from_der_content(&content), Err(why), "{content:?}");
        }
        for text in ["", "0", "01", "AB", "0x1", "g", " 1", &"1".repeat(41)] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
        assert_eq!("1".parse::<Serial>().unwrap().der_content(), [1]);
        assert_eq!("ff".parse::<Serial>().unwrap().der_content(), [0, 0xff]);
    }
}
