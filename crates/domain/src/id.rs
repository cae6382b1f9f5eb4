//! Typed ids: 16 random bytes each, written as a version 4 UUID. Random, because an id that carried a
//! serial number would be personal data once an implant is assigned to a person (design §6).
//!
//! To add an id type: one line in the `typed_ids!` list.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what} id: expected a UUID such as 0b1c2d3e-4f50-4a61-8b72-8c93a4b5c6d7")]
pub struct BadId {
    what: &'static str,
    found: String,
}

/// Fresh randomness for ids, supplied by the caller.
pub fn random_v4(mut bytes: [u8; 16]) -> [u8; 16] {
    // RFC 9562 5.4: version 4 in octet 6, variant 10 in octet 8.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{b:02x}")?;
    }
    Ok(())
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let raw = text.as_bytes();
    if raw.len() != 36 {
        return None;
    }
    let mut out = [0u8; 16];
    let mut nibbles = 0usize;
    for (i, c) in raw.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if *c != b'-' {
                return None;
            }
            continue;
        }
        // Lower case only: one id has one spelling, so that two texts never name the same device.
        let v = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        let slot = out.get_mut(nibbles / 2)?;
        *slot = (*slot << 4) | v;
        nibbles += 1;
    }
    Some(out)
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id from 16 random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(random_v4(bytes))
            }
            /// An id read back from storage or from the wire.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// The 16 bytes, as they stand in a leaf header.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                read_uuid(text)
                    .map(Self)
                    .ok_or_else(|| BadId { what: $what, found: text.chars().take(64).collect() })
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if !d.is_human_readable() {
                    return crate::text::fixed_bytes(d).map(Self);
                }
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_ids! {
    /// A medical device as a non-human principal.
    DeviceId, "device";
    /// A human who administers or approves.
    OperatorId, "operator";
    /// An approved firmware or AI model release.
    ReleaseId, "release";
    /// A server or service of the hospital that gets certificates by ACME.
    ApplicationId, "application";
    /// An enforcement gateway of a site.
    GatewayId, "gateway";
    /// One event stream of the ledger; every object above has exactly one, with the same bytes.
    StreamId, "stream";
    /// One issuance, from intent to certificate.
    IssuanceId, "issuance";
    /// One access decision at a gateway.
    DecisionId, "decision";
}

/// A one-time enrollment secret's id: five random bytes, written as 8 characters a to z and 2 to 7 (base32), because people
/// read it aloud. It names a secret and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId([u8; 5]);

impl SecretId {
    /// An id from random bytes.
    pub const fn from_random(bytes: [u8; 5]) -> Self {
        Self(bytes)
    }
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 5] {
        &self.0
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}
impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for SecretId {
    type Err = BadSecretId;
    fn from_str(text: &str) -> Result<Self, BadSecretId> {
        // Lower case only: one id has one spelling.
        if text.len() != 8 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(BadSecretId);
        }
        let decoded = data_encoding::BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        Ok(Self(decoded.ok().and_then(|b| b.try_into().ok()).ok_or(BadSecretId)?))
    }
}
impl Serialize for SecretId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}
impl<'de> Deserialize<'de> for SecretId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return <[u8; 5]>::deserialize(d).map(Self);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text does not name an enrollment secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an enrollment secret: 8 characters of a to z and 2 to 7")]
pub struct BadSecretId;

macro_rules! stream_of {
    ($($name:ident),*) => {$(
        impl From<$name> for StreamId {
            fn from(id: $name) -> StreamId {
                StreamId(id.0)
            }
        }
        impl From<StreamId> for $name {
            fn from(id: StreamId) -> $name {
                $name(id.0)
            }
        }
    )*};
}
stream_of!(DeviceId, OperatorId, ReleaseId, GatewayId, ApplicationId);

impl StreamId {
    /// The stream of the log itself: start, authorities, endorsements, erasures.
    pub const SYSTEM: StreamId = StreamId([0; 16]);
}

impl DeviceId {
    /// The URI SAN of the device's certificates (RFC 9562 §4: `urn:uuid:`).
    pub fn urn(&self) -> String {
        format!("urn:uuid:{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = DeviceId::from_random([7; 16]);
        assert_eq!(id.to_string().parse::<DeviceId>(), Ok(id));
        assert_eq!(id.to_string(), "07070707-0707-4707-8707-070707070707");
    }

    #[test]
    fn other_spellings_of_an_id_are_refused() {
        for text in [
            "",
            "07070707-0707-4707-8707-07070707070",
            "07070707-0707-4707-8707-0707070707070",
            "0707070700707-4707-8707-070707070707",
            "0707070A-0707-4707-8707-070707070707",
            "{07070707-0707-4707-8707-07070707070}",
        ] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
    }
}
