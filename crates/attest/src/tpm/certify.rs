//! TPM2_Certify: the attestation key vouches that another key, here the TLS key, lives in the same TPM.
//!
//! With it, the key of a CSR is proven to be in the hardware that was attested, not in a file beside it.

use super::keys::{KeyFlaw, check_ak, check_tls_key};
use super::signature;
use super::structures::{Attest, Body, Public, Signature, spki_der};
use crate::check::same;
use crate::wire::Malformed;

/// Why a certification does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertifyRefusal {
    /// One of the two keys is not fit for its role.
    #[error("{0}")]
    Key(#[from] KeyFlaw),
    /// The bytes are no attestation or signature.
    #[error("the key certification is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Signed by another key, or changed.
    #[error("the key certification is not signed by the attestation key of this device")]
    Signature,
    /// An attestation of another type.
    #[error("the attestation is a quote, not a key certification")]
    Type,
    /// Another nonce.
    #[error("the key certification answers another challenge: ask for a new one and certify again")]
    Nonce,
    /// Certifies another key.
    #[error("the certified key is not the key of the request")]
    Name,
}

impl CertifyRefusal {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "key_unfit",
            Self::Malformed(_) => "certify_malformed",
            Self::Signature => "certify_signature",
            Self::Type => "certify_type",
            Self::Nonce => "certify_nonce",
            Self::Name => "certify_other_key",
        }
    }
}

/// Proof: this key was made in, and cannot leave, the TPM of the attestation key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedKey {
    public: Public,
    spki: Vec<u8>,
}

impl CertifiedKey {
    /// The key as TPM structure.
    pub const fn public(&self) -> &Public {
        &self.public
    }
    /// The key as SubjectPublicKeyInfo, to compare with a CSR's.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }
}

/// Checks that `ak` certified `tls_key` with `nonce`.
pub fn verify(
    ak: &Public,
    attest: &[u8],
    signature: &[u8],
    nonce: &[u8],
    tls_key: &Public,
) -> Result<CertifiedKey, CertifyRefusal> {
    check_ak(ak)?;
    let signature = Signature::parse(signature)?;
    if !signature::verify(ak, attest, &signature) {
        return Err(CertifyRefusal::Signature);
    }
    let attest = Attest::parse(attest)?;
    let Body::Certify { name, .. } = &attest.body else { return Err(CertifyRefusal::Type) };
    if !same(&attest.extra_data, nonce) {
        return Err(CertifyRefusal::Nonce);
    }
    if !same(name, &tls_key.name()) {
        return Err(CertifyRefusal::Name);
    }
    check_tls_key(tls_key)?;
    Ok(CertifiedKey { public: tls_key.clone(), spki: spki_der(tls_key) })
}
