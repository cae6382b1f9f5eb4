//! Checks that a TPM signature over a message was made by an attestation key.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::structures::{Curve, HashAlg, Key, Public, Signature};

/// Whether `signature` over `message` is `key`'s. Algorithm pairs outside [`super::keys::check_ak`] are not.
pub fn verify(key: &Public, message: &[u8], signature: &Signature) -> bool {
    match (&key.key, signature) {
        (Key::Ecc { curve, .. }, Signature::Ecdsa { hash, .. }) => {
            let algorithm = match (curve, hash) {
                (Curve::P256, HashAlg::Sha256) => &ECDSA_P256_SHA256_FIXED,
                (Curve::P384, HashAlg::Sha384) => &ECDSA_P384_SHA384_FIXED,
                _ => return false,
            };
            let (Some(point), Some(fixed)) = (key.point(), signature.to_fixed(curve.size())) else {
                return false;
            };
            UnparsedPublicKey::new(algorithm, point).verify(message, &fixed).is_ok()
        }
        (Key::Rsa { exponent, modulus, .. }, Signature::Rsassa { hash: HashAlg::Sha256, signature }) => {
            let e = if *exponent == 0 { 65_537 } else { *exponent };
            let e: Vec<u8> = e.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            RsaPublicKeyComponents { n: modulus, e: &e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok()
        }
        _ => false,
    }
}
