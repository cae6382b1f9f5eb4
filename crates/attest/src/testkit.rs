//! What the tests of this crate share: recorded vectors and the truncation walk.

/// A recorded file of a public project, or none (said out loud) where the folder is absent.
pub fn vector(path: &str) -> Option<Vec<u8>> {
    let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(path);
    match std::fs::read(&full) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            println!("SKIPPED: recorded vector {path} is not here ({e})");
            None
        }
    }
}

/// Every proper prefix must be refused, and so must one byte too many.
pub fn truncations(bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    for n in 0..bytes.len() {
        assert!(!accepts(&bytes[..n]), "accepted when cut to {n} of {} bytes", bytes.len());
    }
    let longer = [bytes, &[0]].concat();
    assert!(!accepts(&longer), "accepted with one byte more");
}

/// A TPM in a few lines: an attestation key in software that quotes and certifies as a TPM would.
pub struct SoftAk {
    key: aws_lc_rs::signature::EcdsaKeyPair,
    pub public: crate::tpm::structures::Public,
}

impl SoftAk {
    pub fn new() -> Self {
        Self::with(crate::tpm::structures::Curve::P256)
    }

    pub fn with(curve: crate::tpm::structures::Curve) -> Self {
        use crate::tpm::structures::{Curve, HashAlg, Key, Public, Scheme, Symmetric};
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        };
        let (alg, hash) = match curve {
            Curve::P256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, HashAlg::Sha256),
            Curve::P384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, HashAlg::Sha384),
        };
        let key = EcdsaKeyPair::generate(alg).unwrap();
        let (x, y) = key.public_key().as_ref()[1..].split_at(curve.size());
        let public = Public {
            name_alg: HashAlg::Sha256,
            attributes: crate::tpm::keys::AK_ATTRIBUTES,
            auth_policy: vec![],
            key: Key::Ecc {
                symmetric: Symmetric::Null,
                scheme: Scheme::Ecdsa(hash),
                curve,
                x: x.to_vec(),
                y: y.to_vec(),
            },
        };
        Self { key, public }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        use crate::tpm::structures::{Scheme, Signature};
        let Scheme::Ecdsa(hash) = self.public.scheme() else { unreachable!() };
        let fixed = self.key.sign(&aws_lc_rs::rand::SystemRandom::new(), message).unwrap();
        Signature::ecdsa_from_fixed(hash, fixed.as_ref()).unwrap().encode()
    }

    pub fn attest(&self, nonce: &[u8], body: crate::tpm::structures::Body) -> crate::tpm::structures::Attest {
        crate::tpm::structures::Attest {
            qualified_signer: self.public.name(),
            extra_data: nonce.to_vec(),
            clock: clock(5, 0, 10_000, true),
            firmware_version: 1,
            body,
        }
    }
}

pub const fn clock(
    reset_count: u32,
    restart_count: u32,
    clock: u64,
    safe: bool,
) -> crate::tpm::structures::ClockInfo {
    crate::tpm::structures::ClockInfo { clock, reset_count, restart_count, safe }
}
