//! A key pair in this process's memory: made, read back, signing, decrypting, all by aws-lc.
//!
//! aws-lc cleanses the private part when it is freed. A pair is used by many threads at once without a lock.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, PqdsaKeyPair, RsaKeyPair};
use zeroize::Zeroizing;

use super::{KeyError, KeyKind, KeyLabel, KeyUse};

/// A key pair and what it is.
pub(super) struct LoadedKey {
    pub kind: KeyKind,
    pub usage: KeyUse,
    pub spki: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa {
        sign: RsaKeyPair,
        /// Only when the key was made to decrypt; the other kind of use is not there to be misused.
        decrypt: Option<Pkcs1PrivateDecryptingKey>,
    },
    MlDsa(PqdsaKeyPair),
}

/// How a kind of key is made.
enum Scheme {
    Ecdsa(&'static signature::EcdsaSigningAlgorithm),
    Ed25519,
    Rsa(KeySize),
    MlDsa(&'static signature::PqdsaSigningAlgorithm),
}

fn scheme(kind: KeyKind) -> Scheme {
    match kind {
        KeyKind::P256 => Scheme::Ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::P384 => Scheme::Ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::Ed25519 => Scheme::Ed25519,
        KeyKind::Rsa2048 => Scheme::Rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => Scheme::Rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => Scheme::Rsa(KeySize::Rsa4096),
        KeyKind::MlDsa65 => Scheme::MlDsa(&signature::ML_DSA_65_SIGNING),
    }
}

const GENERATE: KeyError = KeyError::Crypto("generate a key pair");
const LOAD: KeyError = KeyError::Crypto("load a key pair");
const ENCODE: KeyError = KeyError::Crypto("encode a key pair");
const SIGN: KeyError = KeyError::Crypto("sign");

impl LoadedKey {
    pub(super) fn generate(kind: KeyKind, usage: KeyUse) -> Result<Self, KeyError> {
        let pair = match scheme(kind) {
            Scheme::Ecdsa(algorithm) => Pair::Ecdsa(EcdsaKeyPair::generate(algorithm).map_err(|_| GENERATE)?),
            Scheme::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(|_| GENERATE)?),
            Scheme::Rsa(size) => Pair::rsa(RsaKeyPair::generate(size).map_err(|_| GENERATE)?, usage)?,
            Scheme::MlDsa(algorithm) => Pair::MlDsa(PqdsaKeyPair::generate(algorithm).map_err(|_| GENERATE)?),
        };
        Self::of(kind, usage, pair)
    }

    pub(super) fn from_pkcs8(kind: KeyKind, usage: KeyUse, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = match scheme(kind) {
            Scheme::Ecdsa(algorithm) => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| LOAD)?)
            }
            // Version 1 has no public key to compare with (RFC 8410 7); the file around it is authenticated.
            Scheme::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| LOAD)?)
            }
            Scheme::Rsa(size) => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| LOAD)?;
                if pair.public_modulus_len() != size.len() {
                    return Err(LOAD);
                }
                Pair::rsa(pair, usage)?
            }
            Scheme::MlDsa(algorithm) => {
                Pair::MlDsa(PqdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| LOAD)?)
            }
        };
        Self::of(kind, usage, pair)
    }

    fn of(kind: KeyKind, usage: KeyUse, pair: Pair) -> Result<Self, KeyError> {
        let spki = pair.spki()?;
        Ok(Self { kind, usage, spki, pair })
    }

    /// The private key as PKCS#8, to be sealed.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let der = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(|_| ENCODE)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(|_| ENCODE)?.as_ref().to_vec(),
            Pair::Rsa { sign, .. } => pkcs8_of(sign)?.as_ref().to_vec(),
            Pair::MlDsa(pair) => pair.to_pkcs8v1().map_err(|_| ENCODE)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(der))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| SIGN)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(|_| SIGN)?.as_ref().to_vec()),
            Pair::Rsa { sign, .. } => {
                let mut out = vec![0; sign.public_modulus_len()];
                sign.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
                    .map_err(|_| SIGN)?;
                Ok(out)
            }
            Pair::MlDsa(pair) => {
                let mut out = vec![0; pair.algorithm().signature_len()];
                let length = pair.sign(message, &mut out).map_err(|_| SIGN)?;
                out.truncate(length);
                Ok(out)
            }
        }
    }

    pub(super) fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let Pair::Rsa { decrypt: Some(key), .. } = &self.pair else {
            return Err(KeyError::CannotDecrypt(label.clone()));
        };
        let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
        // One error for a wrong length, a wrong padding and a wrong number: see `super::transport`.
        let plain = key.decrypt(ciphertext, &mut out).map_err(|_| KeyError::NotDecrypted)?;
        Ok(plain.to_vec())
    }
}

impl Pair {
    fn rsa(sign: RsaKeyPair, usage: KeyUse) -> Result<Self, KeyError> {
        let decrypt = match usage {
            KeyUse::Sign => None,
            KeyUse::SignAndDecrypt => {
                let key = PrivateDecryptingKey::from_pkcs8(pkcs8_of(&sign)?.as_ref()).map_err(|_| LOAD)?;
                Some(Pkcs1PrivateDecryptingKey::new(key).map_err(|_| LOAD)?)
            }
        };
        Ok(Pair::Rsa { sign, decrypt })
    }

    fn spki(&self) -> Result<Vec<u8>, KeyError> {
        const PUBLIC: KeyError = KeyError::Crypto("encode a public key");
        let der: PublicKeyX509Der<'_> = match self {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::Rsa { sign, .. } => sign.public_key().as_der(),
            Pair::MlDsa(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| PUBLIC)?;
        Ok(der.as_ref().to_vec())
    }
}

fn pkcs8_of(pair: &RsaKeyPair) -> Result<Pkcs8V1Der<'static>, KeyError> {
    pair.as_der().map_err(|_| ENCODE)
}
