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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::SoftAk;
    use crate::tpm::keys::TLS_ATTRIBUTES;
    use crate::tpm::structures::{Attributes, HashAlg, PcrSelection};

    const NONCE: [u8; 32] = [9; 32];

    fn tls_key(attributes: Attributes) -> Public {
        Public { attributes, ..SoftAk::new().public }
    }

    fn certified(ak: &SoftAk, key: &Public) -> Vec<u8> {
        ak.attest(&NONCE, Body::Certify { name: key.name(), qualified_name: vec![1; 34] }).encode()
    }

    // R34
    #[test]
    fn a_key_certified_by_the_attestation_key_is_proven() {
        let (ak, key) = (SoftAk::new(), tls_key(TLS_ATTRIBUTES));
        let attest = certified(&ak, &key);
        let proof = verify(&ak.public, &attest, &ak.sign(&attest), &NONCE, &key).unwrap();
        assert_eq!(proof.public(), &key);
        assert_eq!(proof.spki_der(), spki_der(&key));
    }

    // R38
    #[test]
    fn each_rule_of_a_certification_says_no() {
        let (ak, other) = (SoftAk::new(), SoftAk::new());
        let key = tls_key(TLS_ATTRIBUTES);
        let attest = certified(&ak, &key);
        let signature = ak.sign(&attest);
        let code = |ak: &Public, attest: &[u8], signature: &[u8], nonce: &[u8], key: &Public| {
            verify(ak, attest, signature, nonce, key).unwrap_err().code()
        };
        assert_eq!(code(&other.public, &attest, &signature, &NONCE, &key), "certify_signature");
        assert_eq!(code(&ak.public, &attest, &signature, &[8; 32], &key), "certify_nonce");
        assert_eq!(
            code(&ak.public, &attest, &signature, &NONCE, &tls_key(TLS_ATTRIBUTES)),
            "certify_other_key"
        );
        assert_eq!(code(&key, &attest, &signature, &NONCE, &key), "key_unfit");
        assert_eq!(code(&ak.public, &attest, &signature[..9], &NONCE, &key), "certify_malformed");

        let selection = PcrSelection::of(HashAlg::Sha256, &[0]);
        let quote = ak.attest(&NONCE, Body::Quote { selection, pcr_digest: vec![0; 32] }).encode();
        assert_eq!(code(&ak.public, &quote, &ak.sign(&quote), &NONCE, &key), "certify_type");

        // A key that was imported from a file can be certified, but is not made in the TPM.
        let imported = tls_key(Attributes(TLS_ATTRIBUTES.0 & !Attributes::SENSITIVE_DATA_ORIGIN.0));
        let attest = certified(&ak, &imported);
        assert_eq!(code(&ak.public, &attest, &ak.sign(&attest), &NONCE, &imported), "key_unfit");
    }

    #[test]
    fn every_flipped_bit_of_a_certification_is_noticed() {
        let (ak, key) = (SoftAk::new(), tls_key(TLS_ATTRIBUTES));
        let attest = certified(&ak, &key);
        let signature = ak.sign(&attest);
        for bit in 0..attest.len() * 8 {
            let mut bad = attest.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&ak.public, &bad, &signature, &NONCE, &key).is_err(), "bit {bit}");
        }
    }
}
