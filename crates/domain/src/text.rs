//! Text and bytes as they stand in records and events: bounded names, hex digests, base64 blobs.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

/// What is wrong with one field of a record: which field, which rule, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{field}: {rule}; found `{found}`")]
pub struct FieldError {
    /// The field's name as in the CSV header and the API.
    pub field: String,
    /// The rule that the value breaks, with what to write instead.
    pub rule: String,
    /// The value, cut to 80 characters.
    pub found: String,
}

impl FieldError {
    /// A refusal of `found` in `field`.
    pub fn new(field: &str, rule: &str, found: &str) -> Self {
        Self { field: field.to_owned(), rule: rule.to_owned(), found: found.chars().take(80).collect() }
    }
}

/// Checks a human-readable value: 1 to `max` characters, no control characters, no space at the ends.
pub fn check_text(field: &str, value: &str, max: usize) -> Result<(), FieldError> {
    let length = value.chars().count();
    if length == 0 {
        return Err(FieldError::new(field, "must not be empty", value));
    }
    if length > max {
        return Err(FieldError::new(field, &format!("must have at most {max} characters"), value));
    }
    if value.trim() != value || value.chars().any(char::is_control) {
        return Err(FieldError::new(
            field,
            "must have no control characters and no space at its ends",
            value,
        ));
    }
    Ok(())
}

/// Checks a machine name: lower-case letters, digits and hyphens, as used for sites, zones and classes (R10).
pub fn check_slug(field: &str, value: &str) -> Result<(), FieldError> {
    // 63: a name that is also a DNS label (RFC 1035 2.3.4).
    let shape = (1..=63).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-');
    if shape {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        "must be 1 to 63 lower-case letters, digits or hyphens, not starting or ending with a hyphen",
        value,
    ))
}

/// A SHA-256 digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 digest as 64 lower-case hex digits")]
pub struct BadDigest;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Digest {
    type Err = BadDigest;
    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| BadDigest)?;
        bytes.try_into().map(Digest).map_err(|_| BadDigest)
    }
}
impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_bytes(&self.0) }
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return fixed_bytes(d).map(Self);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A fixed number of bytes that were written in one piece, for the binary form of ids and digests: millions of them are read at a
/// start, and byte by byte that is most of it.
pub fn fixed_bytes<'de, const N: usize, D: serde::Deserializer<'de>>(d: D) -> Result<[u8; N], D::Error> {
    struct Fixed<const N: usize>;
    impl<const N: usize> serde::de::Visitor<'_> for Fixed<N> {
        type Value = [u8; N];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }
        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
            bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
        }
    }
    d.deserialize_bytes(Fixed)
}

/// Bytes, written as standard base64 with padding (RFC 4648 §4).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}
impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64.encode(&self.0))
    }
}
impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        // The decoder also takes padded pieces joined together: one blob would have many spellings.
        if BASE64.encode(&bytes) != *text {
            return Err(serde::de::Error::custom("expected base64 in its canonical spelling"));
        }
        Ok(Blob(bytes))
    }
}

/// A value that is written as JSON text also in formats that do not name their fields, where members that may be absent
/// have no place.
pub(crate) mod in_words {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            return value.serialize(s);
        }
        s.serialize_str(&serde_json::to_string(value).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        if d.is_human_readable() {
            return T::deserialize(d);
        }
        serde_json::from_str(<&str>::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_number_of_bytes_is_that_number() {
        type Bytes<'a> = serde::de::value::BytesDeserializer<'a, serde::de::value::Error>;
        assert_eq!(fixed_bytes(Bytes::new(&[1, 2, 3])), Ok([1, 2, 3]));
        for wrong in [&[][..], &[1, 2], &[1, 2, 3, 4]] {
            assert!(fixed_bytes::<3, _>(Bytes::new(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_blob_has_one_spelling() {
        assert_eq!(serde_json::from_str::<Blob>(r#""YWJj""#).unwrap().0, b"abc");
        for text in [r#""YWI=Yw==""#, r#""YWJj=""#, r#""YWI""#, r#""YWK=""#] {
            assert!(serde_json::from_str::<Blob>(text).is_err(), "{text}");
        }
    }
}
