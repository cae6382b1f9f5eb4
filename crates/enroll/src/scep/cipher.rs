//! Ciphers of the content of an envelope, all in CBC mode with the padding of RFC 5652 6.3.
//!
//! DES and triple DES are here because micromdm's client encrypts with nothing but DES and many old devices with
//! nothing but triple DES; aws-lc-rs has them behind its feature `legacy-des`. What they hide is a secret that is good
//! once and for one record, and it is used up when we read it. They are read where [`Algorithms::Legacy`] says so, and
//! the answer, which hides a certificate and so nothing, goes back in the cipher that the client used: it may know no
//! other.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptionContext,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
#[expect(deprecated, reason = "old devices can do no better; only where Algorithms::Legacy allows it")]
use aws_lc_rs::cipher::{DES_EDE3_FOR_LEGACY_USE_ONLY, DES_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::iv::FixedLength;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use super::algorithm::Algorithms;
use super::oid;

/// The longest key of any of them: AES-256.
pub(super) const MAX_KEY_BYTES: usize = 32;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    Des,
}

impl Cipher {
    /// The cipher of this object identifier, if it may be used.
    pub fn named(id: &ObjectIdentifier, accepted: Algorithms) -> Option<Self> {
        match (*id, accepted) {
            (oid::AES_128_CBC, _) => Some(Self::Aes128),
            (oid::AES_192_CBC, _) => Some(Self::Aes192),
            (oid::AES_256_CBC, _) => Some(Self::Aes256),
            (oid::DES_EDE3_CBC, Algorithms::Legacy) => Some(Self::TripleDes),
            (oid::DES_CBC, Algorithms::Legacy) => Some(Self::Des),
            _ => None,
        }
    }

    /// Its object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128 => oid::AES_128_CBC,
            Self::Aes192 => oid::AES_192_CBC,
            Self::Aes256 => oid::AES_256_CBC,
            Self::TripleDes => oid::DES_EDE3_CBC,
            Self::Des => oid::DES_CBC,
        }
    }

    /// Length of its key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
            Self::Des => 8,
        }
    }

    /// Length of its block, which is also that of its initialisation vector.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
            Self::TripleDes | Self::Des => 8,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes192 => &AES_192,
            Self::Aes256 => &AES_256,
            #[expect(deprecated, reason = "as above")]
            Self::TripleDes => &DES_EDE3_FOR_LEGACY_USE_ONLY,
            #[expect(deprecated, reason = "as above")]
            Self::Des => &DES_FOR_LEGACY_USE_ONLY,
        }
    }

    /// The plain text with its padding still on it; nothing if key, vector or length are wrong, which everybody can see.
    pub fn decrypt(self, key: &[u8], iv: &[u8], cipher_text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let context = match self.block_bytes() {
            16 => DecryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(iv).ok()?)),
            _ => DecryptionContext::Iv64(FixedLength::from(<[u8; 8]>::try_from(iv).ok()?)),
        };
        let key = DecryptingKey::cbc(UnboundCipherKey::new(self.algorithm(), key).ok()?).ok()?;
        let mut text = Zeroizing::new(cipher_text.to_vec());
        key.decrypt(&mut text, context).ok()?;
        Some(text)
    }

    /// The cipher text; nothing if key or vector have the wrong length.
    pub fn encrypt(self, key: &[u8], iv: &[u8], plain_text: &[u8]) -> Option<Vec<u8>> {
        let context = match self.block_bytes() {
            16 => EncryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(iv).ok()?)),
            _ => EncryptionContext::Iv64(FixedLength::from(<[u8; 8]>::try_from(iv).ok()?)),
        };
        let key =
            PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(self.algorithm(), key).ok()?).ok()?;
        let mut text = plain_text.to_vec();
        key.less_safe_encrypt(&mut text, context).ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Cipher; 5] = [Cipher::Aes128, Cipher::Aes192, Cipher::Aes256, Cipher::TripleDes, Cipher::Des];

    #[test]
    fn what_is_encrypted_is_decrypted_and_only_in_whole_blocks() {
        let (key, iv) = ((1..=32u8).collect::<Vec<_>>(), [9; 16]);
        for cipher in ALL {
            let (key, iv) = (&key[..cipher.key_bytes()], &iv[..cipher.block_bytes()]);
            let text = cipher.encrypt(key, iv, b"a certificate").unwrap();
            assert_eq!(text.len() % cipher.block_bytes(), 0);
            // RFC 5652 6.3: 13 bytes and three, for blocks of 8 as of 16.
            let padded = b"a certificate\x03\x03\x03";
            assert_eq!(cipher.decrypt(key, iv, &text).unwrap().as_slice(), padded, "{cipher:?}");
            assert!(cipher.decrypt(&key[1..], iv, &text).is_none(), "a short key");
            assert!(cipher.decrypt(key, &iv[1..], &text).is_none(), "a short vector");
            assert!(cipher.decrypt(key, iv, &text[1..]).is_none(), "no whole block");
            assert!(cipher.encrypt(&key[1..], iv, b"").is_none());
        }
    }

    #[test]
    fn des_is_read_only_where_legacy_is_allowed() {
        for cipher in ALL {
            let is_des = matches!(cipher, Cipher::Des | Cipher::TripleDes);
            assert_eq!(Cipher::named(&cipher.oid(), Algorithms::Legacy), Some(cipher));
            assert_eq!(Cipher::named(&cipher.oid(), Algorithms::Current).is_none(), is_des);
        }
        let rc2 = ObjectIdentifier::new_unwrap("1.2.840.113549.3.2");
        assert_eq!(Cipher::named(&rc2, Algorithms::Legacy), None);
    }
}
