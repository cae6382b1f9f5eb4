//! Credential protection (TPM Library part 1, 24): a secret that only the TPM with this endorsement key can
//! open, and only if it also holds the attestation key of this name. [`make_credential`] is the verifier's
//! side, [`activate`] the software TPM's.
//!
//! Randomness (OAEP seed, ephemeral key) comes from the provider: it is part of the encryption, and a
//! caller who could choose it could choose it badly.

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::{agreement, hmac};
use zeroize::Zeroizing;

use super::keys::{KeyFlaw, check_ek};
use super::structures::{Curve, HashAlg, Key, Public, Symmetric, spki_der};
use crate::wire::{Malformed, Reader, put_tpm2b};

/// The label of credential protection, with the zero that ends it in OAEP (part 1, B.10.4).
const OAEP_LABEL: &[u8] = b"IDENTITY\0";

/// Why a credential cannot be made or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The key is no endorsement key.
    #[error("the endorsement key is not fit: {0}")]
    Key(#[from] KeyFlaw),
    /// The provider refused the key: not a point of the curve, or a modulus it will not use.
    #[error("the endorsement key is not a usable public key")]
    UnusableKey,
    /// The secret is longer than the name algorithm's digest.
    #[error("the secret has {found} bytes, the limit is {limit}: the size of the name algorithm")]
    SecretTooLong {
        /// Length found.
        found: usize,
        /// Limit.
        limit: usize,
    },
    /// The bytes are not a credential.
    #[error("the credential is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The seed cannot be opened: another endorsement key.
    #[error("the encrypted seed does not open with this endorsement key")]
    WrongEndorsementKey,
    /// The integrity value is wrong: another attestation key, another seed, or changed bytes.
    #[error("the credential is not for this attestation key, or was changed")]
    Integrity,
}

/// A protected credential, as TPM2_ActivateCredential takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// TPMS_ID_OBJECT: integrity value and encrypted secret.
    pub blob: Vec<u8>,
    /// The seed for the endorsement key: RSA ciphertext, or the ephemeral point.
    pub encrypted_secret: Vec<u8>,
}

impl Credential {
    /// TPM2B_ID_OBJECT then TPM2B_ENCRYPTED_SECRET.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.blob.len() + self.encrypted_secret.len());
        put_tpm2b(&mut out, &self.blob);
        put_tpm2b(&mut out, &self.encrypted_secret);
        out
    }

    /// Reads what [`Credential::encode`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        // 66 bytes of integrity, 66 of secret; an RSA-3072 ciphertext has 384.
        let blob = r.tpm2b("credential blob", 132)?.to_vec();
        let encrypted_secret = r.tpm2b("encrypted secret", 384)?.to_vec();
        r.finish("credential")?;
        Ok(Self { blob, encrypted_secret })
    }
}

/// Protects `secret` (at most the size of the EK's name algorithm) for the TPM that holds both keys.
pub fn make_credential(ek: &Public, ak_name: &[u8], secret: &[u8]) -> Result<Credential, CredentialError> {
    check_ek(ek)?;
    let limit = ek.name_alg.size();
    if secret.len() > limit {
        return Err(CredentialError::SecretTooLong { found: secret.len(), limit });
    }
    let (seed, encrypted_secret) = make_seed(ek)?;
    let mut identity = Vec::with_capacity(secret.len() + 2);
    put_tpm2b(&mut identity, secret);
    let encrypted = encrypt(&symmetric_key(ek, &seed, ak_name)?, identity)?;
    let mut blob = Vec::with_capacity(limit + 2 + encrypted.len());
    put_tpm2b(&mut blob, hmac::sign(&integrity_key(ek, &seed)?, &[&encrypted, ak_name].concat()).as_ref());
    blob.extend_from_slice(&encrypted);
    Ok(Credential { blob, encrypted_secret })
}

/// The private half of an endorsement key, where it is in software.
pub enum EkPrivate<'a> {
    /// RSA.
    Rsa(&'a PrivateDecryptingKey),
    /// Elliptic curve.
    Ecc(&'a agreement::PrivateKey),
}

/// What TPM2_ActivateCredential does: opens the seed, checks the binding to `ak_name`, returns the secret.
pub fn activate(
    ek: &Public,
    private: EkPrivate<'_>,
    ak_name: &[u8],
    credential: &Credential,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let seed = open_seed(ek, private, &credential.encrypted_secret)?;
    let mut r = Reader::new(&credential.blob);
    let integrity = r.tpm2b("integrity value", ek.name_alg.size())?;
    let encrypted = r.rest();
    hmac::verify(&integrity_key(ek, &seed)?, &[encrypted, ak_name].concat(), integrity)
        .map_err(|_| CredentialError::Integrity)?;
    let identity = decrypt(&symmetric_key(ek, &seed, ak_name)?, encrypted.to_vec())?;
    let mut r = Reader::new(&identity);
    let secret = Zeroizing::new(r.tpm2b("secret", ek.name_alg.size())?.to_vec());
    r.finish("secret")?;
    Ok(secret)
}

type Seed = Zeroizing<Vec<u8>>;

fn make_seed(ek: &Public) -> Result<(Seed, Vec<u8>), CredentialError> {
    match &ek.key {
        Key::Rsa { .. } => {
            let mut seed = Zeroizing::new(vec![0; ek.name_alg.size()]);
            aws_lc_rs::rand::fill(&mut seed).map_err(|_| CredentialError::UnusableKey)?;
            let key = PublicEncryptingKey::from_der(&spki_der(ek))
                .map_err(|_| CredentialError::UnusableKey)
                .and_then(|k| OaepPublicEncryptingKey::new(k).map_err(|_| CredentialError::UnusableKey))?;
            let mut out = vec![0; key.ciphertext_size()];
            let used = key
                .encrypt(oaep(ek.name_alg), &seed, &mut out, Some(OAEP_LABEL))
                .map_err(|_| CredentialError::UnusableKey)?
                .len();
            out.truncate(used);
            Ok((seed, out))
        }
        Key::Ecc { curve, .. } => {
            let ephemeral =
                agreement::PrivateKey::generate(ecdh(*curve)).map_err(|_| CredentialError::UnusableKey)?;
            let point = ephemeral.compute_public_key().map_err(|_| CredentialError::UnusableKey)?;
            let (x, y) = coordinates(*curve, point.as_ref()).ok_or(CredentialError::UnusableKey)?;
            let ek_point = ek.point().ok_or(CredentialError::UnusableKey)?;
            let seed = agree(ek, &ephemeral, &ek_point, x).ok_or(CredentialError::UnusableKey)?;
            let mut out = Vec::with_capacity(4 + x.len() + y.len());
            put_tpm2b(&mut out, x);
            put_tpm2b(&mut out, y);
            Ok((seed, out))
        }
    }
}

fn open_seed(ek: &Public, private: EkPrivate<'_>, secret: &[u8]) -> Result<Seed, CredentialError> {
    match (private, &ek.key) {
        (EkPrivate::Rsa(private), Key::Rsa { .. }) => {
            let key = OaepPrivateDecryptingKey::new(private.clone())
                .map_err(|_| CredentialError::WrongEndorsementKey)?;
            let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
            let used = key
                .decrypt(oaep(ek.name_alg), secret, &mut out, Some(OAEP_LABEL))
                .map_err(|_| CredentialError::WrongEndorsementKey)?
                .len();
            out.truncate(used);
            Ok(out)
        }
        (EkPrivate::Ecc(private), Key::Ecc { curve, .. }) => {
            let mut r = Reader::new(secret);
            let x = pad(*curve, r.tpm2b("ephemeral x", curve.size())?)?;
            let y = pad(*curve, r.tpm2b("ephemeral y", curve.size())?)?;
            r.finish("ephemeral point")?;
            let peer = [&[4], x.as_slice(), &y].concat();
            agree(ek, private, &peer, &x).ok_or(CredentialError::WrongEndorsementKey)
        }
        _ => Err(CredentialError::WrongEndorsementKey),
    }
}

fn pad(curve: Curve, value: &[u8]) -> Result<Vec<u8>, CredentialError> {
    super::structures::padded(value, curve.size()).ok_or(CredentialError::WrongEndorsementKey)
}

/// The shared point's x, through KDFe with both public x coordinates, is the seed (part 1, C.6.1).
fn agree(ek: &Public, mine: &agreement::PrivateKey, peer: &[u8], ephemeral_x: &[u8]) -> Option<Seed> {
    let Key::Ecc { curve, .. } = &ek.key else { return None };
    let ek_point = ek.point()?;
    let (ek_x, _) = coordinates(*curve, &ek_point)?;
    let peer = agreement::UnparsedPublicKey::new(ecdh(*curve), peer);
    agreement::agree(mine, peer, (), |z| Ok(kdfe(ek.name_alg, z, b"IDENTITY", ephemeral_x, ek_x))).ok()
}

fn coordinates(curve: Curve, point: &[u8]) -> Option<(&[u8], &[u8])> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(curve.size())?;
    (y.len() == curve.size()).then_some((x, y))
}

fn ecdh(curve: Curve) -> &'static agreement::Algorithm {
    match curve {
        Curve::P256 => &agreement::ECDH_P256,
        Curve::P384 => &agreement::ECDH_P384,
    }
}

fn oaep(hash: HashAlg) -> &'static OaepAlgorithm {
    match hash {
        // `Public::parse` refuses SHA-1 as name algorithm.
        HashAlg::Sha1 | HashAlg::Sha256 => &OAEP_SHA256_MGF1SHA256,
        HashAlg::Sha384 => &OAEP_SHA384_MGF1SHA384,
        HashAlg::Sha512 => &OAEP_SHA512_MGF1SHA512,
    }
}

fn symmetric_key(ek: &Public, seed: &[u8], ak_name: &[u8]) -> Result<Seed, CredentialError> {
    let Symmetric::AesCfb { bits } = ek.symmetric() else { return Err(CredentialError::UnusableKey) };
    kdfa(ek.name_alg, seed, b"STORAGE", ak_name, &[], bits).ok_or(CredentialError::UnusableKey)
}

fn integrity_key(ek: &Public, seed: &[u8]) -> Result<hmac::Key, CredentialError> {
    // The widest digest has 64 bytes: 512 bits.
    let bits = u16::try_from(ek.name_alg.size() * 8).unwrap_or(512);
    let key = kdfa(ek.name_alg, seed, b"INTEGRITY", &[], &[], bits).ok_or(CredentialError::UnusableKey)?;
    let algorithm = match ek.name_alg {
        HashAlg::Sha1 | HashAlg::Sha256 => hmac::HMAC_SHA256,
        HashAlg::Sha384 => hmac::HMAC_SHA384,
        HashAlg::Sha512 => hmac::HMAC_SHA512,
    };
    Ok(hmac::Key::new(algorithm, &key))
}

/// KDFa (part 1, 11.4.10.2): SP 800-108 counter mode with the TPM's fixed input.
fn kdfa(hash: HashAlg, key: &[u8], label: &[u8], u: &[u8], v: &[u8], bits: u16) -> Option<Seed> {
    let id = match hash {
        HashAlg::Sha1 => return None,
        HashAlg::Sha256 => KbkdfCtrHmacAlgorithmId::Sha256,
        HashAlg::Sha384 => KbkdfCtrHmacAlgorithmId::Sha384,
        HashAlg::Sha512 => KbkdfCtrHmacAlgorithmId::Sha512,
    };
    let info = [label, &[0], u, v, &u32::from(bits).to_be_bytes()].concat();
    let mut out = Zeroizing::new(vec![0; usize::from(bits / 8)]);
    kbkdf_ctr_hmac(get_kbkdf_ctr_hmac_algorithm(id)?, key, &info, &mut out).ok()?;
    Some(out)
}

/// KDFe (part 1, 11.4.10.3), one block: a seed is as long as the digest.
fn kdfe(hash: HashAlg, z: &[u8], label: &[u8], u: &[u8], v: &[u8]) -> Seed {
    let input = Zeroizing::new([&1u32.to_be_bytes(), z, label, &[0], u, v].concat());
    Zeroizing::new(hash.digest(&input))
}

fn cipher_key(key: &[u8]) -> Result<UnboundCipherKey, CredentialError> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    UnboundCipherKey::new(algorithm, key).map_err(|_| CredentialError::UnusableKey)
}

// The key is used once, so the structure fixes the initial vector to zero (part 1, 24.4).
const ZERO_IV: [u8; 16] = [0; 16];

fn encrypt(key: &[u8], mut data: Vec<u8>) -> Result<Vec<u8>, CredentialError> {
    EncryptingKey::cfb128(cipher_key(key)?)
        .and_then(|k| {
            k.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(ZERO_IV))).map(drop)
        })
        .map_err(|_| CredentialError::UnusableKey)?;
    Ok(data)
}

fn decrypt(key: &[u8], data: Vec<u8>) -> Result<Seed, CredentialError> {
    let mut data = Zeroizing::new(data);
    DecryptingKey::cfb128(cipher_key(key)?)
        .and_then(|k| k.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(ZERO_IV))).map(drop))
        .map_err(|_| CredentialError::UnusableKey)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{truncations, vector};
    use crate::tpm::keys::{ek_template_p256, ek_template_rsa2048};
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::KeySize;

    enum Ek {
        Rsa(Public, PrivateDecryptingKey),
        Ecc(Public, agreement::PrivateKey),
    }

    impl Ek {
        fn public(&self) -> &Public {
            let (Self::Rsa(p, _) | Self::Ecc(p, _)) = self;
            p
        }
        fn private(&self) -> EkPrivate<'_> {
            match self {
                Self::Rsa(_, k) => EkPrivate::Rsa(k),
                Self::Ecc(_, k) => EkPrivate::Ecc(k),
            }
        }
    }

    fn rsa_ek() -> Ek {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let spki: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
        let mut public = ek_template_rsa2048();
        let Key::Rsa { modulus: m, .. } = &mut public.key else { unreachable!() };
        // SPKI header 24 + SEQUENCE 4 + INTEGER header 4 + sign octet 1.
        m.copy_from_slice(&spki.as_ref()[33..289]);
        assert_eq!(spki_der(&public), spki.as_ref());
        Ek::Rsa(public, private)
    }

    fn ecc_ek(curve: Curve) -> Ek {
        let private = agreement::PrivateKey::generate(ecdh(curve)).unwrap();
        let point = private.compute_public_key().unwrap();
        let (px, py) = coordinates(curve, point.as_ref()).unwrap();
        let mut public = ek_template_p256();
        if curve == Curve::P384 {
            public.name_alg = HashAlg::Sha384;
            public.auth_policy = vec![1; 48];
        }
        let bits = if curve == Curve::P384 { 256 } else { 128 };
        public.key = Key::Ecc {
            symmetric: Symmetric::AesCfb { bits },
            scheme: crate::tpm::structures::Scheme::Null,
            curve,
            x: px.to_vec(),
            y: py.to_vec(),
        };
        Ek::Ecc(public, private)
    }

    // R34
    #[test]
    fn a_credential_opens_only_with_its_endorsement_key_and_attestation_key() {
        let name = [&[0, 11][..], &[7; 32]].concat();
        for (ek, other) in [
            (rsa_ek(), rsa_ek()),
            (ecc_ek(Curve::P256), ecc_ek(Curve::P256)),
            (ecc_ek(Curve::P384), rsa_ek()),
        ] {
            let credential = make_credential(ek.public(), &name, b"the secret of enrolment").unwrap();
            let opened = activate(ek.public(), ek.private(), &name, &credential).unwrap();
            assert_eq!(opened.as_slice(), b"the secret of enrolment");

            let mut other_name = name.clone();
            other_name[20] ^= 1;
            let wrong = activate(ek.public(), ek.private(), &other_name, &credential);
            assert_eq!(wrong.unwrap_err(), CredentialError::Integrity);
            assert!(activate(other.public(), other.private(), &name, &credential).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_of_a_credential_is_noticed() {
        let ek = ecc_ek(Curve::P256);
        let name = [&[0, 11][..], &[7; 32]].concat();
        let credential = make_credential(ek.public(), &name, &[9; 32]).unwrap();
        let bytes = credential.encode();
        assert_eq!(Credential::parse(&bytes), Ok(credential));
        truncations(&bytes, |b| Credential::parse(b).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = Credential::parse(&flipped)
                .map_err(CredentialError::from)
                .and_then(|c| activate(ek.public(), ek.private(), &name, &c));
            assert!(opened.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_cannot_be_protected_is_refused() {
        let ek = ecc_ek(Curve::P256);
        let too_long = make_credential(ek.public(), &[0; 34], &[0; 33]);
        assert_eq!(too_long, Err(CredentialError::SecretTooLong { found: 33, limit: 32 }));
        // The template's zero point is on no curve.
        assert_eq!(
            make_credential(&ek_template_p256(), &[0; 34], &[0; 32]),
            Err(CredentialError::UnusableKey)
        );
        let mut not_ek = ek.public().clone();
        not_ek.attributes = crate::tpm::keys::TLS_ATTRIBUTES;
        assert!(matches!(make_credential(&not_ek, &[0; 34], &[0; 32]), Err(CredentialError::Key(_))));
    }

    #[test]
    fn recorded_credential_has_the_shape_that_we_make() {
        let Some(file) = vector("keylime/test-data/files/mkcred.out") else { return };
        // tpm2-tools put a magic and a version in front.
        let body = file.strip_prefix(&[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1]).unwrap();
        let recorded = Credential::parse(body).unwrap();
        let ek = Public::parse_sized(&vector("keylime/test-data/files/ek.pub").unwrap()).unwrap();
        let name = vector("keylime/test-data/files/ak.name").unwrap();
        let secret_len = recorded.blob.len() - 34 - 2;
        let ours = make_credential(&ek, &name, &vec![1; secret_len]).unwrap();
        assert_eq!(ours.blob.len(), recorded.blob.len());
        assert_eq!(ours.encrypted_secret.len(), recorded.encrypted_secret.len());
    }

    // Part 1, 11.4.10.2 written out: HMAC(key, counter, label, 0, context, bits).
    #[test]
    fn key_derivation_matches_the_formula() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[3; 32]);
        let block = [&1u32.to_be_bytes(), &b"STORAGE\0"[..], b"name", &128u32.to_be_bytes()].concat();
        let expected = hmac::sign(&key, &block);
        let derived = kdfa(HashAlg::Sha256, &[3; 32], b"STORAGE", b"name", &[], 128).unwrap();
        assert_eq!(derived.as_slice(), &expected.as_ref()[..16]);
    }
}
