//! How each kind of key is made and used over PKCS#11, and the two encodings in which it differs from X.509.
//!
//! Digests are made here and not in the module: CKM_ECDSA and CKM_RSA_PKCS are what every module has, and a revocation
//! list of megabytes does not travel to a card. ML-DSA is not here: PKCS#11 3.2 has it and no module that we could test
//! with.

use aws_lc_rs::digest;
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::Attribute;
use cryptoki::slot::Slot;
use der::asn1::UintRef;
use der::{Encode, Sequence};
use lanyard_pki::key::{KeyKind, KeyUse};

use crate::error::{HsmError, meaning};

/// DER of the curves' object identifiers (RFC 5480 2.1.1.1; RFC 8410 3), as CKA_EC_PARAMS has them.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The same curve by its name, PrintableString `edwards25519` (PKCS#11 3.1, 6.3.3), which other modules write.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";
/// And by the identifier that came before RFC 8410 (GnuPG's arc).
const ED25519_OLD: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// RFC 8017 9.2, note 1: DigestInfo of SHA-256 up to the digest.
const SHA256_DIGEST_INFO: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// 65537, as FIPS 186-5 A.1.1 allows and everybody uses.
const EXPONENT: &[u8] = &[1, 0, 1];

/// Which kinds the token says it makes and signs with.
pub(crate) fn kinds(context: &Pkcs11, slot: Slot) -> Result<Vec<KeyKind>, HsmError> {
    let list = context.get_mechanism_list(slot).map_err(|e| meaning(e, "list its mechanisms"))?;
    let has = |needed: [MechanismType; 2]| needed.iter().all(|m| list.contains(m));
    let mut kinds = Vec::new();
    for kind in KeyKind::ALL {
        let (fits, bits) = match kind {
            KeyKind::P256 => (has([MechanismType::ECC_KEY_PAIR_GEN, MechanismType::ECDSA]), None),
            KeyKind::P384 => (has([MechanismType::ECC_KEY_PAIR_GEN, MechanismType::ECDSA]), None),
            KeyKind::Ed25519 => (has([MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, MechanismType::EDDSA]), None),
            KeyKind::Rsa2048 => (has(RSA), Some(2048)),
            KeyKind::Rsa3072 => (has(RSA), Some(3072)),
            KeyKind::Rsa4096 => (has(RSA), Some(4096)),
            KeyKind::MlDsa65 => (false, None),
        };
        if !fits {
            continue;
        }
        if let Some(bits) = bits {
            let info = context
                .get_mechanism_info(slot, MechanismType::RSA_PKCS_KEY_PAIR_GEN)
                .map_err(|e| meaning(e, "read its mechanisms"))?;
            if !(info.min_key_size()..=info.max_key_size()).contains(&bits) {
                continue;
            }
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

const RSA: [MechanismType; 2] = [MechanismType::RSA_PKCS_KEY_PAIR_GEN, MechanismType::RSA_PKCS];

/// How a key pair of this kind is made: the mechanism, and what the public and the private template add.
pub(crate) struct Recipe {
    pub mechanism: Mechanism<'static>,
    pub public: Vec<Attribute>,
    pub private: Vec<Attribute>,
}

pub(crate) fn recipe(kind: KeyKind, usage: KeyUse) -> Option<Recipe> {
    let curve = |mechanism, parameters: &[u8]| Recipe {
        mechanism,
        public: vec![Attribute::EcParams(parameters.to_vec())],
        private: vec![Attribute::Derive(false)],
    };
    let rsa = |bits: u16| {
        let decrypts = usage == KeyUse::SignAndDecrypt;
        Recipe {
            mechanism: Mechanism::RsaPkcsKeyPairGen,
            public: vec![
                Attribute::ModulusBits(u64::from(bits).into()),
                Attribute::PublicExponent(EXPONENT.to_vec()),
                Attribute::Encrypt(decrypts),
                Attribute::Wrap(false),
            ],
            private: vec![Attribute::Decrypt(decrypts), Attribute::Unwrap(false)],
        }
    };
    match kind {
        KeyKind::P256 => Some(curve(Mechanism::EccKeyPairGen, P256)),
        KeyKind::P384 => Some(curve(Mechanism::EccKeyPairGen, P384)),
        KeyKind::Ed25519 => Some(curve(Mechanism::EccEdwardsKeyPairGen, ED25519)),
        KeyKind::Rsa2048 => Some(rsa(2048)),
        KeyKind::Rsa3072 => Some(rsa(3072)),
        KeyKind::Rsa4096 => Some(rsa(4096)),
        KeyKind::MlDsa65 => None,
    }
}

/// The kind of an EC or Edwards key by its CKA_EC_PARAMS.
pub(crate) fn kind_of_curve(parameters: &[u8]) -> Option<KeyKind> {
    match parameters {
        P256 => Some(KeyKind::P256),
        P384 => Some(KeyKind::P384),
        ED25519 | ED25519_NAME | ED25519_OLD => Some(KeyKind::Ed25519),
        _ => None,
    }
}

/// The mechanism that signs, and what it is given for a message.
pub(crate) fn signing(kind: KeyKind, message: &[u8]) -> Option<(Mechanism<'static>, Vec<u8>)> {
    match kind {
        KeyKind::P256 => Some((Mechanism::Ecdsa, digest::digest(&digest::SHA256, message).as_ref().to_vec())),
        KeyKind::P384 => Some((Mechanism::Ecdsa, digest::digest(&digest::SHA384, message).as_ref().to_vec())),
        KeyKind::Ed25519 => {
            let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
            Some((Mechanism::Eddsa(pure), message.to_vec()))
        }
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
            let digest = digest::digest(&digest::SHA256, message);
            Some((Mechanism::RsaPkcs, [SHA256_DIGEST_INFO, digest.as_ref()].concat()))
        }
        KeyKind::MlDsa65 => None,
    }
}

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// A module's signature as X.509 has it: ECDSA is r and s one after the other (PKCS#11 3.1, 6.3.1), and a DER SEQUENCE
/// of both there (RFC 5758 3.2). All others are the same.
pub(crate) fn in_x509(kind: KeyKind, signature: Vec<u8>) -> Result<Vec<u8>, HsmError> {
    let half = match kind {
        KeyKind::P256 => 32,
        KeyKind::P384 => 48,
        _ => return Ok(signature),
    };
    let refused = || HsmError::Refused(format!("its ECDSA signature has {} bytes", signature.len()));
    if signature.len() != 2 * half {
        return Err(refused());
    }
    let (r, s) = signature.split_at_checked(half).ok_or_else(refused)?;
    let value = |number| UintRef::new(number).map_err(|_| refused());
    EcdsaSigValue { r: value(r)?, s: value(s)? }.to_der().map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_signatures_become_der_with_the_shortest_integers() {
        let mut raw = vec![0; 64];
        raw[31] = 0x7f;
        raw[63] = 0x80;
        assert_eq!(in_x509(KeyKind::P256, raw).unwrap(), [0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80]);
        let high = in_x509(KeyKind::P384, vec![0xff; 96]).unwrap();
        assert_eq!((high.len(), &high[..5]), (2 + 2 * 51, &[0x30, 102, 2, 49, 0][..]));
        for length in [0, 1, 63, 65, 70, 72, 96] {
            assert!(in_x509(KeyKind::P256, vec![1; length]).is_err(), "{length}");
        }
        assert_eq!(in_x509(KeyKind::Ed25519, vec![1; 64]).unwrap(), vec![1; 64]);
    }

    #[test]
    fn each_kind_that_is_made_is_recognised_and_can_sign() {
        for kind in KeyKind::ALL {
            let recipe = recipe(kind, KeyUse::Sign);
            assert_eq!(recipe.is_some(), kind != KeyKind::MlDsa65);
            assert_eq!(signing(kind, b"x").is_some(), recipe.is_some());
            let curve = recipe.into_iter().flat_map(|r| r.public).find_map(|a| match a {
                Attribute::EcParams(parameters) => Some(parameters),
                _ => None,
            });
            if let Some(parameters) = curve {
                assert_eq!(kind_of_curve(&parameters), Some(kind));
            }
        }
        assert_eq!(kind_of_curve(b"\x13\x0cedwards25519"), Some(KeyKind::Ed25519));
        assert_eq!(kind_of_curve(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]), None);
    }
}
