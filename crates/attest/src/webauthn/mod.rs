//! WebAuthn attestation statements (WebAuthn Level 3, chapter 8) as proof of where a key lives, for ACME's
//! `device-attest-01` (draft-ietf-acme-device-attest).
//!
//! The draft borrows the attestation object and changes what is signed: the ACME key authorization takes the place
//! of authenticator data and client data hash, or the challenge's token alone where an authority outside of the
//! device signs. [`Expected`] holds both; each format takes its own.
//!
//! In scope: the CBOR object, the formats of [`Format`], the chain to a maker's root, revocation as far as lists
//! were given. Out of scope: which record the device has (control), browsers (origin, RP id, user presence), self
//! attestation: a key that vouches for itself proves no hardware.
//!
//! To add a format: a file here with a `verify`, a variant of [`Format`], its line in [`verify`], a row of tests for
//! each of its rules, a recorded statement under `vectors/`.

mod android_key;
mod apple;
mod asn1;
mod attested;
mod certificate;
mod chain;
mod cose;
mod object;
mod packed;
mod refusal;
mod revocation;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod tpm;

use std::fmt;
use std::str::FromStr;

use lanyard_domain::time::Timestamp;

pub use attested::{AttestedKey, Claims, HardwareModule, PermanentIdentifier};
pub use chain::Anchor;
pub use object::{AttestationObject, MAX_ATTESTATION_BYTES, MAX_CERTIFICATES, Statement, encode};
pub use refusal::StatementRefusal;
pub use revocation::{BadList, Coverage, OnUnknown, Revocation, RevocationStatus, SerialList};

/// A statement format of the WebAuthn registry (RFC 8809) that is checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// TPM 2.0 (WebAuthn 8.3).
    Tpm,
    /// A maker's certificate for the key itself (WebAuthn 8.2).
    Packed,
    /// Apple (WebAuthn 8.8, and its device management variant).
    Apple,
    /// Android key store (WebAuthn 8.4).
    AndroidKey,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tpm, Self::Packed, Self::Apple, Self::AndroidKey];

    /// As it stands in `fmt`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::Packed => "packed",
            Self::Apple => "apple",
            Self::AndroidKey => "android-key",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text names no format of [`Format::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement format is none of `tpm`, `packed`, `apple`, `android-key`")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.as_str() == text).ok_or(UnknownFormat)
    }
}

/// Where a key lives, in Android's words. Ordered: more protection is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecurityLevel {
    /// The operating system.
    Software,
    /// A trusted execution environment.
    TrustedEnvironment,
    /// A chip of its own.
    StrongBox,
}

/// What the statement must answer.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// attToBeSigned of what the device signs itself: the key authorization.
    signed: &'a [u8],
    /// attToBeSigned of what an external authority signs: the token (draft, section 5).
    external: &'a [u8],
    /// What stands in the place of WebAuthn's clientDataHash.
    challenge: [u8; 32],
}

impl<'a> Expected<'a> {
    /// For a `device-attest-01` challenge: its token, and the key authorization made of it (RFC 8555 8.1).
    pub fn acme(token: &'a str, key_authorization: &'a str) -> Self {
        Self {
            signed: key_authorization.as_bytes(),
            external: token.as_bytes(),
            challenge: crate::freshness::sha256(key_authorization.as_bytes()),
        }
    }

    /// For a statement that was made for a browser: recorded vectors.
    #[cfg(test)]
    fn webauthn(signed: &'a [u8], client_data: &[u8]) -> Self {
        Self { signed, external: signed, challenge: crate::freshness::sha256(client_data) }
    }
}

/// Whom we trust, and how much a statement must show.
#[derive(Debug)]
pub struct Trust {
    /// The makers' roots, each for one format.
    pub anchors: Vec<Anchor>,
    /// What is known to be revoked.
    pub revocation: Revocation,
    /// The least that an Android key store must say of itself.
    pub android_level: SecurityLevel,
    /// Models that are accepted by `packed`, by AAGUID; empty accepts each that a root vouches for.
    pub models: Vec<[u8; 16]>,
}

impl Trust {
    /// Trust in these roots; hardware of any model.
    pub const fn new(anchors: Vec<Anchor>, revocation: Revocation) -> Self {
        Self { anchors, revocation, android_level: SecurityLevel::TrustedEnvironment, models: Vec::new() }
    }
}

/// Checks a statement: the format's own rules, the chain to a root of that format, revocation, and that it answers
/// `expected`.
pub fn verify(
    object: &AttestationObject,
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<AttestedKey, StatementRefusal> {
    let format: Format = object.format().parse()?;
    match format {
        Format::Tpm => tpm::verify(object, expected, trust, now),
        Format::Packed => packed::verify(object, expected, trust, now),
        Format::Apple => apple::verify(object, expected, trust, now),
        Format::AndroidKey => android_key::verify(object, expected, trust, now),
    }
}
