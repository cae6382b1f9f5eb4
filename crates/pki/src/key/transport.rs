//! RSA key transport (RFC 8017 7.2, RFC 5652 6.2.1) without telling a stranger whether the padding was right.
//!
//! Who can send many ciphertexts and learn which of them unpad decrypts any one of them in about a million tries
//! (Bleichenbacher 1998). So a wrong padding must look like a right one with the wrong key inside: RFC 3218 2.3.2
//! has the receiver go on with a random key, and fail where a wrong key fails, at the content. [`content_key`]
//! does that; callers that take strangers' messages use it and not [`KeyBackend::decrypt`].

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{KeyBackend, KeyError, KeyLabel};

/// The content-encryption key of `length` bytes that was encrypted to the key under `label`, or random bytes of
/// that length when nothing of that length was. Fails only for what does not depend on the ciphertext: no such
/// key, not made to decrypt, backend unavailable.
pub fn content_key(
    backend: &dyn KeyBackend,
    label: &KeyLabel,
    ciphertext: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Made in either case, so that both take the same time.
    let mut instead = Zeroizing::new(vec![0; length]);
    rand::fill(&mut instead).map_err(|_| KeyError::Crypto("make random bytes"))?;
    match backend.decrypt(label, ciphertext).map(Zeroizing::new) {
        Ok(key) if key.len() == length => Ok(key),
        Ok(_) | Err(KeyError::NotDecrypted) => Ok(instead),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::encrypt_to;
    use super::super::{KeyKind, MemoryKeys};
    use super::*;

    #[test]
    fn a_stranger_cannot_tell_a_wrong_padding_from_a_wrong_key() {
        let keys = MemoryKeys::default();
        let label: KeyLabel = "scep-ra".parse().unwrap();
        let spki = keys.generate_to_decrypt(&label, KeyKind::Rsa2048).unwrap();
        let good = encrypt_to(&spki, &[7; 16]).unwrap();
        assert_eq!(content_key(&keys, &label, &good, 16).unwrap().as_slice(), [7; 16]);
        let mut wrong = good.clone();
        wrong[100] ^= 1;
        for (what, ciphertext, length) in [
            ("another length", good.as_slice(), 24),
            ("changed", wrong.as_slice(), 16),
            ("short", &good[1..], 16),
            ("empty", &[], 16),
        ] {
            let key = content_key(&keys, &label, ciphertext, length).unwrap();
            assert_eq!(key.len(), length, "{what}");
            assert_ne!(key.as_slice(), vec![7; length], "{what}");
            assert_ne!(key, content_key(&keys, &label, ciphertext, length).unwrap(), "{what}");
        }
    }

    #[test]
    fn a_key_that_signs_only_and_a_missing_one_are_named() {
        let keys = MemoryKeys::default();
        let label: KeyLabel = "scep-ca".parse().unwrap();
        assert!(matches!(content_key(&keys, &label, &[0; 256], 16), Err(KeyError::NotFound(_))));
        keys.generate(&label, KeyKind::Rsa2048).unwrap();
        assert!(matches!(content_key(&keys, &label, &[0; 256], 16), Err(KeyError::CannotDecrypt(_))));
    }
}
