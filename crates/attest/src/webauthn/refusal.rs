//! Why a statement proves nothing.

use lanyard_pki::spki::KeyRefused;

use super::UnknownFormat;
use crate::tpm::keys::KeyFlaw;
use crate::wire::Malformed;

/// Why a statement is refused. What it names is the sender's own, so that the sender may read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementRefusal {
    /// Not CBOR of an attestation object, or a structure inside of it is broken.
    #[error("the attestation is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// A format that is not checked here.
    #[error("{0}")]
    Format(#[from] UnknownFormat),
    /// A field that the format needs is not there.
    #[error("the statement has no `{0}`, which its format needs")]
    Missing(&'static str),
    /// A signature algorithm that we do not accept: SHA-1, unknown, or not of this key.
    #[error(
        "COSE algorithm {0} is not accepted here: use ES256 (-7), ES384 (-35), EdDSA (-8) or RS256 (-257)"
    )]
    Algorithm(i64),
    /// A certificate of `x5c` is none.
    #[error("certificate {position} of `x5c` is malformed: {why}")]
    Certificate {
        /// 0 is the attestation certificate.
        position: usize,
        /// Why.
        why: String,
    },
    /// The key in the attestation certificate is weak or unknown.
    #[error("attestation certificate: {0}")]
    Key(#[from] KeyRefused),
    /// The attestation certificate breaks a rule of its format.
    #[error("the attestation certificate breaks a rule of its format: {0}")]
    Profile(&'static str),
    /// No root is registered for the format.
    #[error("no attestation root is registered for format `{0}`")]
    NoAnchor(super::Format),
    /// The chain ends at no registered root.
    #[error("the attestation certificate was issued by `{issuer}`, which leads to no registered root")]
    UnknownAuthority {
        /// As the certificate names it, cut.
        issuer: String,
    },
    /// Outside of a validity.
    #[error("a certificate of the attestation chain has expired")]
    Expired,
    /// Before a validity.
    #[error("a certificate of the attestation chain is not valid yet: check the clocks")]
    NotYetValid,
    /// Another rule of RFC 5280 6.
    #[error("the attestation chain breaks a rule of path validation: {0}")]
    Path(String),
    /// A registered root cannot be read.
    #[error("the registered attestation root `{0}` is not a usable certificate: register it again")]
    UnusableAnchor(String),
    /// A certificate of the chain is revoked.
    #[error("certificate `{serial}` of the attestation chain is revoked")]
    Revoked {
        /// Serial number in hexadecimal.
        serial: String,
    },
    /// It cannot be told whether the attestation certificate is revoked, and policy wants to know.
    #[error("it is not known whether the attestation certificate is revoked: {0}")]
    RevocationUnknown(&'static str),
    /// The statement answers another challenge.
    #[error("the statement answers another challenge: attest again, over this challenge's key authorization")]
    Challenge,
    /// The signature does not fit.
    #[error("the signature of the statement does not verify with its attestation key")]
    Signature,
    /// The TPM attested something else than a key, or another key.
    #[error("the TPM's certification is for something else than the key in `pubArea`")]
    CertifiedName,
    /// The attested key may leave its chip, or has another use.
    #[error("{0}")]
    KeyAttributes(#[from] KeyFlaw),
    /// The attested key is bound by nothing that makes it a signing key of this device.
    #[error("the attested key breaks a rule: {0}")]
    KeyRule(&'static str),
    /// The statement's model is not accepted.
    #[error("this model of authenticator is not accepted (AAGUID `{0}`)")]
    Model(String),
    /// A key that vouches for itself.
    #[error(
        "self attestation is not accepted: it proves no hardware; send `x5c` with the maker's certificate"
    )]
    SelfAttestation,
}

impl StatementRefusal {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "attestation_malformed",
            Self::Format(_) => "attestation_format",
            Self::Missing(_) => "attestation_field_missing",
            Self::Algorithm(_) => "attestation_algorithm",
            Self::Certificate { .. } => "attestation_certificate_malformed",
            Self::Key(_) => "attestation_certificate_key",
            Self::Profile(_) => "attestation_certificate_profile",
            Self::NoAnchor(_) => "attestation_no_root",
            Self::UnknownAuthority { .. } => "attestation_unknown_authority",
            Self::Expired => "attestation_certificate_expired",
            Self::NotYetValid => "attestation_certificate_not_yet_valid",
            Self::Path(_) => "attestation_path",
            Self::UnusableAnchor(_) => "attestation_root_unusable",
            Self::Revoked { .. } => "attestation_certificate_revoked",
            Self::RevocationUnknown(_) => "attestation_revocation_unknown",
            Self::Challenge => "attestation_challenge",
            Self::Signature => "attestation_signature",
            Self::CertifiedName => "attestation_other_key",
            Self::KeyAttributes(_) => "attestation_key_attributes",
            Self::KeyRule(_) => "attestation_key_rule",
            Self::Model(_) => "attestation_model",
            Self::SelfAttestation => "attestation_self",
        }
    }
}
