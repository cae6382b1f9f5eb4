//! The account's key: P-256, in software. It opens no door of a device: what a device may have is decided by its
//! record and its statement, and the certificate's own key stays in the root of trust.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use super::error::ClientError;
use crate::acme::base64url::encode;
use crate::acme::jwk::Jwk;

/// PKCS#8 of a P-256 key has 138 bytes; other writers leave out the public key.
const MAX_PKCS8: usize = 512;

/// A key that signs for one account.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountKey({:?}, [redacted])", self.jwk)
    }
}

impl AccountKey {
    /// A new key.
    pub fn generate() -> Result<Self, ClientError> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| ClientError::AccountKey)?;
        Self::of(pair)
    }

    /// The key of [`Self::to_pkcs8`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, ClientError> {
        if pkcs8.len() > MAX_PKCS8 {
            return Err(ClientError::AccountKey);
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| ClientError::AccountKey)?;
        Self::of(pair)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, ClientError> {
        let (x, y) = match pair.public_key().as_ref() {
            [4, point @ ..] => point.split_at_checked(32).ok_or(ClientError::AccountKey)?,
            _ => return Err(ClientError::AccountKey),
        };
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y));
        let jwk = Jwk::parse(&text).map_err(|_| ClientError::AccountKey)?;
        Ok(Self { pair, jwk })
    }

    /// What to keep; secret.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| ClientError::AccountKey)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The public key.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// RFC 7518 3.4: r and s, 32 octets each.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ClientError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| ClientError::AccountKey)?;
        Ok(signature.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_is_the_same_and_other_bytes_are_none() {
        let key = AccountKey::generate().unwrap();
        let kept = key.to_pkcs8().unwrap();
        assert_eq!(AccountKey::from_pkcs8(&kept).unwrap().jwk(), key.jwk());
        for n in 0..kept.len() {
            assert!(AccountKey::from_pkcs8(&kept[..n]).is_err(), "cut to {n}");
        }
        assert!(AccountKey::from_pkcs8(&[0x30; MAX_PKCS8 + 1]).is_err());
        assert!(format!("{key:?}").ends_with("[redacted])"));
    }
}
