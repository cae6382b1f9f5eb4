//! What a statement proves: a key, and what its maker says about the device that holds it.

use std::fmt;

use der::asn1::ObjectIdentifier;

use super::chain::Chain;
use super::{AttestationObject, Format, RevocationStatus, SecurityLevel};
use crate::tpm::endorsement::ChipIdentity;

/// RFC 4043: an identity that an assigner gave for the life of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermanentIdentifier {
    /// identifierValue.
    pub value: String,
    /// Who assigned it, where the certificate says so.
    pub assigner: Option<ObjectIdentifier>,
}

/// RFC 4108 5: the serial number of a module of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardwareModule {
    /// hwType.
    pub kind: ObjectIdentifier,
    /// hwSerialNum.
    pub serial: Vec<u8>,
}

/// What the maker says about the device. Empty where the statement does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// RFC 4043 names of the attestation certificate.
    pub permanent: Vec<PermanentIdentifier>,
    /// RFC 4108 names of the attestation certificate.
    pub modules: Vec<HardwareModule>,
    /// Serial numbers and device identifiers in the format's own way: Apple's serial number and UDID, Android's
    /// attested serial number, FIDO's enterprise serial number.
    pub serials: Vec<String>,
}

impl Claims {
    /// Whether nothing in it tells one device from another.
    pub fn is_empty(&self) -> bool {
        self.permanent.is_empty() && self.modules.is_empty() && self.serials.is_empty()
    }

    /// Whether the device is the one of this `permanent-identifier`, octet for octet (draft, 3.2). With an
    /// assigner, only a claim that names the same assigner counts.
    pub fn has_permanent(&self, value: &str, assigner: Option<&ObjectIdentifier>) -> bool {
        let named = self
            .permanent
            .iter()
            .any(|p| p.value == value && assigner.is_none_or(|a| p.assigner.as_ref() == Some(a)));
        named || (assigner.is_none() && self.serials.iter().any(|s| s == value))
    }

    /// Whether the module is the one of this `hardware-module`, octet for octet (draft, 4.2).
    pub fn has_module(&self, serial: &str, kind: &ObjectIdentifier) -> bool {
        self.modules.iter().any(|m| m.kind == *kind && m.serial == serial.as_bytes())
    }
}

/// A key that a maker's statement proves to be in a device. Made only by [`super::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct AttestedKey {
    spki: Vec<u8>,
    format: Format,
    anchor: String,
    chain: Vec<Vec<u8>>,
    claims: Claims,
    revocation: RevocationStatus,
    statement: Vec<u8>,
    details: Details,
}

/// Not the statement: what a person can use.
impl fmt::Debug for AttestedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestedKey")
            .field("format", &self.format)
            .field("key_sha256", &crate::check::hex(&self.spki_sha256()))
            .field("anchor", &self.anchor)
            .field("claims", &self.claims)
            .field("revocation", &self.revocation)
            .finish_non_exhaustive()
    }
}

/// What only some formats know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Details {
    pub aaguid: Option<[u8; 16]>,
    pub attestation_key_sha256: Option<[u8; 32]>,
    pub level: Option<SecurityLevel>,
    pub chip: ChipIdentity,
}

impl AttestedKey {
    pub(super) fn new(
        spki: Vec<u8>,
        format: Format,
        chain: Chain,
        claims: Claims,
        details: Details,
        object: &AttestationObject,
    ) -> Self {
        Self {
            spki,
            format,
            anchor: chain.anchor,
            chain: chain.certificates,
            claims,
            revocation: chain.revocation,
            statement: object.bytes().to_vec(),
            details,
        }
    }

    /// The attested key as SubjectPublicKeyInfo, to compare with a CSR's.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }
    /// SHA-256 of it: the hardware key that must be unique (I2).
    pub fn spki_sha256(&self) -> [u8; 32] {
        crate::freshness::sha256(&self.spki)
    }
    /// The statement's format.
    pub fn format(&self) -> Format {
        self.format
    }
    /// Name of the registered root that vouches for it.
    pub fn anchor(&self) -> &str {
        &self.anchor
    }
    /// Attestation certificate, issuers, root: DER.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
    /// What the maker says about the device.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
    /// What is known about the revocation of the attestation certificate.
    pub fn revocation(&self) -> RevocationStatus {
        self.revocation
    }
    /// The CBOR of the whole statement: the evidence to keep.
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }
    /// The model, where the maker names it (`packed`).
    pub fn aaguid(&self) -> Option<[u8; 16]> {
        self.details.aaguid
    }
    /// SHA-256 of the SubjectPublicKeyInfo of a key that is the device's own and not the attested one: a TPM's
    /// attestation key. None where a batch of devices shares it, or where the attested key certifies itself.
    pub fn attestation_key_sha256(&self) -> Option<[u8; 32]> {
        self.details.attestation_key_sha256
    }
    /// Where the key lives, where the statement says it in Android's words.
    pub fn security_level(&self) -> Option<SecurityLevel> {
        self.details.level
    }
    /// The TPM as its maker describes it; empty for other formats.
    pub fn chip(&self) -> &ChipIdentity {
        &self.details.chip
    }
}
