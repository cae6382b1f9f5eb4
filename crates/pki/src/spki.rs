//! Public keys as SubjectPublicKeyInfo: which kinds and strengths we accept, and signature checks with them.
//!
//! Accepted: P-256, P-384, Ed25519, RSA of 2048 to 8192 bits (RFC 8017 keys with an odd exponent from 65537
//! on, as FIPS 186-5 A.1.1 asks), ML-DSA-65 (RFC 9881). All else is refused with its reason. Signatures are checked by
//! aws-lc-rs. Also here: putting a SubjectPublicKeyInfo together from what a hardware module says of its keys.

use aws_lc_rs::{digest, signature};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Sequence};
use spki::SubjectPublicKeyInfoRef;

use crate::oid;
use crate::write;

/// The shortest RSA modulus that we accept.
const MIN_RSA_BITS: usize = 2048;
/// The longest: a verify grows with the square of the length, and 8192 is where aws-lc-rs stops.
const MAX_RSA_BITS: usize = 8192;

/// What a public key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with this many bits.
    Rsa(usize),
    /// ML-DSA-65.
    MlDsa65,
}

/// Why a public key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// The bytes are no SubjectPublicKeyInfo, or its key does not fit its algorithm.
    #[error("public key is malformed: {0}")]
    Malformed(&'static str),
    /// An algorithm or curve that we do not use.
    #[error(
        "public key algorithm `{0}` is not accepted: use P-256, P-384, Ed25519, RSA from 2048 bits or ML-DSA-65"
    )]
    Unsupported(String),
    /// Too weak, or so long that it is an attack.
    #[error("public key is too weak or out of range: {0}")]
    Weak(String),
}

/// The signature does not fit key and message, or its algorithm does not fit the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// Wrong signature.
    #[error("signature does not verify")]
    Invalid,
    /// An algorithm that is not one of ours, or of another key type.
    #[error("signature algorithm is not accepted for this key")]
    Algorithm,
}

/// An accepted public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
    bits: Vec<u8>,
    kind: PublicKeyKind,
    sha256: [u8; 32],
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, data_encoding::HEXLOWER.encode(&self.sha256))
    }
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo and refuses what is weak or unknown.
    pub fn parse(spki_der: &[u8]) -> Result<Self, KeyRefused> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der)
            .map_err(|_| KeyRefused::Malformed("not a SubjectPublicKeyInfo"))?;
        let bits =
            spki.subject_public_key.as_bytes().ok_or(KeyRefused::Malformed("unused bits in the key"))?;
        let kind = kind_of(&spki, bits)?;
        Ok(Self { der: spki_der.to_vec(), bits: bits.to_vec(), kind, sha256: sha256(spki_der) })
    }

    /// From the point of an EC or Ed25519 key as PKCS#11 modules give it (CKA_EC_POINT). The standard wants a DER OCTET
    /// STRING around it (PKCS#11 3.1, 6.3.3); some modules give the bare point, and both are in use. Fuzz entry point.
    pub fn from_ec_point(kind: PublicKeyKind, attribute: &[u8]) -> Result<Self, KeyRefused> {
        let (curve, length) = match kind {
            PublicKeyKind::P256 => (Some(oid::P256), 65),
            PublicKeyKind::P384 => (Some(oid::P384), 97),
            PublicKeyKind::Ed25519 => (None, 32),
            PublicKeyKind::Rsa(_) | PublicKeyKind::MlDsa65 => {
                return Err(KeyRefused::Unsupported(format!("{kind:?} has no point")));
            }
        };
        // By length, not by the first byte: a bare point begins with 4 as an OCTET STRING does.
        let point = match attribute.split_first_chunk::<2>() {
            _ if attribute.len() == length => attribute,
            Some(([write::OCTET_STRING, inner], point))
                if usize::from(*inner) == length && point.len() == length =>
            {
                point
            }
            _ => return Err(KeyRefused::Malformed("not an uncompressed point, bare or in an OCTET STRING")),
        };
        let mut der = Vec::with_capacity(128);
        write::tlv(&mut der, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| match curve {
                Some(curve) => {
                    write::oid(o, &oid::EC_PUBLIC_KEY);
                    write::oid(o, &curve);
                }
                None => write::oid(o, &oid::ED25519),
            });
            write::bit_string(o, point);
        });
        Self::parse(&der)
    }

    /// From modulus and exponent as PKCS#11 modules give them: big-endian, with or without leading zeros.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyRefused> {
        // Twice the longest that is accepted: what is longer is not copied.
        if modulus.len() > MAX_RSA_BITS / 4 || exponent.len() > MAX_RSA_BITS / 4 {
            return Err(KeyRefused::Weak("RSA key is out of range".into()));
        }
        let mut key = Vec::with_capacity(modulus.len() + 32);
        write::tlv(&mut key, write::SEQUENCE, |o| {
            write::unsigned(o, modulus);
            write::unsigned(o, exponent);
        });
        let mut der = Vec::with_capacity(key.len() + 32);
        write::tlv(&mut der, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &oid::RSA_ENCRYPTION);
                o.extend_from_slice(&[5, 0]);
            });
            write::bit_string(o, &key);
        });
        Self::parse(&der)
    }

    /// The SubjectPublicKeyInfo.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What key it is.
    pub fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// SHA-256 over the SubjectPublicKeyInfo: how the rest of Lanyard names a key.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The key identifier of RFC 7093 2, method 1: the first 160 bits of SHA-256 over the key bits.
    pub fn key_id(&self) -> [u8; 20] {
        let mut id = [0; 20];
        for (to, from) in id.iter_mut().zip(sha256(&self.bits)) {
            *to = from;
        }
        id
    }

    /// The content of subjectPublicKey: what RFC 6960 4.1.1 hashes as the issuer's key.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Modulus and public exponent of an RSA key, big-endian without leading zeros.
    pub fn rsa_numbers(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        if !matches!(self.kind, PublicKeyKind::Rsa(_)) {
            return None;
        }
        let key = RsaPublicKey::from_der(&self.bits).ok()?;
        Some((key.modulus.as_bytes().to_vec(), key.exponent.as_bytes().to_vec()))
    }

    /// Checks `signature` over `message` with the algorithm that `algorithm` names.
    pub fn verify(
        &self,
        algorithm: &ObjectIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        let with: &'static dyn signature::VerificationAlgorithm = match (self.kind, *algorithm) {
            (PublicKeyKind::P256, oid::ECDSA_WITH_SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
            (PublicKeyKind::P256, oid::ECDSA_WITH_SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
            (PublicKeyKind::P384, oid::ECDSA_WITH_SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
            (PublicKeyKind::P384, oid::ECDSA_WITH_SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
            (PublicKeyKind::Ed25519, oid::ED25519) => &signature::ED25519,
            (PublicKeyKind::Rsa(_), oid::SHA256_WITH_RSA) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (PublicKeyKind::Rsa(_), oid::SHA384_WITH_RSA) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (PublicKeyKind::Rsa(_), oid::SHA512_WITH_RSA) => &signature::RSA_PKCS1_2048_8192_SHA512,
            // Pure, with an empty context (RFC 9881 3): what aws-lc does when none is given.
            (PublicKeyKind::MlDsa65, oid::ML_DSA_65) => &signature::ML_DSA_65,
            _ => return Err(SignatureRefused::Algorithm),
        };
        self.check(with, message, signature)
    }

    /// The same, and RSA with SHA-1 too: for what devices sign that know nothing else, in messages and requests that
    /// prove no more than that the sender has the key now. Never for certificates.
    pub fn verify_legacy(
        &self,
        algorithm: &ObjectIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        match (self.kind, *algorithm) {
            (PublicKeyKind::Rsa(_), oid::SHA1_WITH_RSA) => {
                self.check(&signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, message, signature)
            }
            _ => self.verify(algorithm, message, signature),
        }
    }

    fn check(
        &self,
        with: &'static dyn signature::VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        signature::UnparsedPublicKey::new(with, &self.bits)
            .verify(message, signature)
            .map_err(|_| SignatureRefused::Invalid)
    }
}

fn kind_of(spki: &SubjectPublicKeyInfoRef<'_>, bits: &[u8]) -> Result<PublicKeyKind, KeyRefused> {
    match spki.algorithm.oid {
        oid::EC_PUBLIC_KEY => {
            let curve = spki
                .algorithm
                .parameters_oid()
                .map_err(|_| KeyRefused::Malformed("an EC key must name its curve (RFC 5480 2.1.1)"))?;
            // RFC 5480 2.2 lets a CA refuse the compressed form; one key then has one encoding.
            match (curve, bits.first(), bits.len()) {
                (oid::P256, Some(4), 65) => Ok(PublicKeyKind::P256),
                (oid::P384, Some(4), 97) => Ok(PublicKeyKind::P384),
                (oid::P256 | oid::P384, ..) => {
                    Err(KeyRefused::Malformed("an EC point must be in the uncompressed form"))
                }
                (other, ..) => Err(KeyRefused::Unsupported(other.to_string())),
            }
        }
        oid::ED25519 if spki.algorithm.parameters.is_some() => {
            Err(KeyRefused::Malformed("an Ed25519 key has no parameters (RFC 8410 3)"))
        }
        oid::ED25519 if bits.len() == 32 => Ok(PublicKeyKind::Ed25519),
        oid::ED25519 => Err(KeyRefused::Malformed("an Ed25519 key has 32 bytes (RFC 8032 5.1.5)")),
        oid::RSA_ENCRYPTION => rsa_kind(bits),
        oid::ML_DSA_65 if spki.algorithm.parameters.is_some() => {
            Err(KeyRefused::Malformed("an ML-DSA key has no parameters (RFC 9881 2)"))
        }
        // FIPS 204 table 2
        oid::ML_DSA_65 if bits.len() == 1952 => Ok(PublicKeyKind::MlDsa65),
        oid::ML_DSA_65 => Err(KeyRefused::Malformed("an ML-DSA-65 key has 1952 bytes (RFC 9881 4)")),
        other => Err(KeyRefused::Unsupported(other.to_string())),
    }
}

fn rsa_kind(bits: &[u8]) -> Result<PublicKeyKind, KeyRefused> {
    let key =
        RsaPublicKey::from_der(bits).map_err(|_| KeyRefused::Malformed("not an RSAPublicKey (RFC 8017)"))?;
    let length = bit_length(key.modulus.as_bytes());
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&length) {
        return Err(KeyRefused::Weak(format!(
            "RSA modulus of {length} bits, accepted are {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )));
    }
    let exponent = key.exponent.as_bytes();
    let odd = exponent.last().is_some_and(|b| b % 2 == 1);
    // 2^16 < e: 17 bits at least. An exponent beyond 64 bits only costs time.
    if !odd || !(17..=64).contains(&bit_length(exponent)) {
        return Err(KeyRefused::Weak("RSA exponent must be odd, above 65536 and at most 64 bits".into()));
    }
    if key.modulus.as_bytes().last().is_none_or(|b| b % 2 == 0) {
        return Err(KeyRefused::Weak("RSA modulus is even".into()));
    }
    Ok(PublicKeyKind::Rsa(length))
}

fn bit_length(big_endian: &[u8]) -> usize {
    let mut significant = big_endian.iter().skip_while(|b| **b == 0);
    match significant.next() {
        Some(first) => significant.count() * 8 + (8 - first.leading_zeros() as usize),
        None => 0,
    }
}

/// SHA-256 as an array.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        write::tlv(&mut key, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, modulus);
            write::bytes(o, write::INTEGER, exponent);
        });
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &oid::RSA_ENCRYPTION);
                o.extend_from_slice(&[5, 0]);
            });
            write::bit_string(o, &key);
        });
        out
    }

    fn ec_spki(curve: &ObjectIdentifier, point: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &oid::EC_PUBLIC_KEY);
                write::oid(o, curve);
            });
            write::bit_string(o, point);
        });
        out
    }

    #[test]
    fn weak_and_odd_keys_are_refused() {
        let modulus = |bytes: usize| {
            let mut m = vec![0xc1; bytes];
            m.insert(0, 0);
            m
        };
        let f4: &[u8] = &[1, 0, 1];
        assert_eq!(PublicKey::parse(&rsa_spki(&modulus(256), f4)).unwrap().kind(), PublicKeyKind::Rsa(2048));
        let mut even = modulus(256);
        *even.last_mut().unwrap() = 2;
        for (what, spki) in [
            ("1024 bits", rsa_spki(&modulus(128), f4)),
            ("2040 bits", rsa_spki(&modulus(255), f4)),
            ("16384 bits", rsa_spki(&modulus(2048), f4)),
            ("exponent 3", rsa_spki(&modulus(256), &[3])),
            ("even exponent", rsa_spki(&modulus(256), &[1, 0, 2])),
            ("even modulus", rsa_spki(&even, f4)),
        ] {
            assert!(matches!(PublicKey::parse(&spki), Err(KeyRefused::Weak(_))), "{what}");
        }
        let p521 = ObjectIdentifier::new_unwrap("1.3.132.0.35");
        assert!(matches!(PublicKey::parse(&ec_spki(&p521, &[4; 133])), Err(KeyRefused::Unsupported(_))));
        assert!(matches!(PublicKey::parse(&ec_spki(&oid::P256, &[2; 33])), Err(KeyRefused::Malformed(_))));
        assert!(matches!(PublicKey::parse(b""), Err(KeyRefused::Malformed(_))));
    }

    fn generated(kind: crate::key::KeyKind) -> PublicKey {
        use crate::key::{KeyBackend, MemoryKeys};
        let spki = MemoryKeys::default().generate(&"a".parse().unwrap(), kind).unwrap();
        PublicKey::parse(&spki).unwrap()
    }

    // I12
    #[test]
    fn a_point_is_read_bare_and_in_an_octet_string_and_in_no_other_form() {
        use crate::key::KeyKind;
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let key = generated(kind);
            let bare = key.bits.clone();
            let mut wrapped = Vec::new();
            write::bytes(&mut wrapped, write::OCTET_STRING, &bare);
            for form in [&bare, &wrapped] {
                let again = PublicKey::from_ec_point(key.kind(), form).unwrap();
                assert_eq!(again, key, "{kind}");
                // A form cut to the length of a bare point is taken for one; the module's own signature over a test
                // message then does not verify.
                for at in (0..form.len()).filter(|at| *at != bare.len()) {
                    assert!(PublicKey::from_ec_point(key.kind(), &form[..at]).is_err(), "{kind} cut at {at}");
                }
                let longer = [form.as_slice(), &[0]].concat();
                assert!(PublicKey::from_ec_point(key.kind(), &longer).is_err(), "{kind}");
            }
            let mut twice = Vec::new();
            write::bytes(&mut twice, write::OCTET_STRING, &wrapped);
            let mut other_tag = wrapped.clone();
            other_tag[0] = 3;
            for bad in [twice, other_tag] {
                assert!(PublicKey::from_ec_point(key.kind(), &bad).is_err(), "{kind}");
            }
        }
        // A bare point whose first coordinate begins like the length of what follows.
        let mut looks_wrapped = generated(KeyKind::P256).bits.clone();
        looks_wrapped[1] = 63;
        let key = PublicKey::from_ec_point(PublicKeyKind::P256, &looks_wrapped).unwrap();
        assert_eq!(key.bits, looks_wrapped);
        // Compressed.
        assert!(PublicKey::from_ec_point(PublicKeyKind::P256, &[2; 33]).is_err());
        assert!(PublicKey::from_ec_point(PublicKeyKind::Rsa(2048), &looks_wrapped).is_err());
    }

    #[test]
    fn an_rsa_key_is_read_with_and_without_leading_zeros_and_never_weak() {
        let key = generated(crate::key::KeyKind::Rsa2048);
        let parsed = RsaPublicKey::from_der(&key.bits).unwrap();
        let (modulus, exponent) = (parsed.modulus.as_bytes(), parsed.exponent.as_bytes());
        for zeros in [0, 1, 3] {
            let padded = [&vec![0; zeros], modulus].concat();
            assert_eq!(PublicKey::from_rsa(&padded, exponent).unwrap(), key);
        }
        assert_eq!(PublicKey::from_rsa(modulus, &[0, 1, 0, 1]).unwrap(), key);
        for (modulus, exponent) in [(&modulus[1..], exponent), (modulus, &[3]), (modulus, &[]), (&[], &[])] {
            assert!(PublicKey::from_rsa(modulus, exponent).is_err());
        }
        assert!(PublicKey::from_rsa(&[0xff; 100_000], exponent).is_err());
    }

    #[test]
    fn an_ml_dsa_key_has_its_length_and_no_parameters() {
        let good = generated(crate::key::KeyKind::MlDsa65);
        assert_eq!((good.kind(), good.bits.len()), (PublicKeyKind::MlDsa65, 1952));
        let spki = |parameters: &[u8], bits: &[u8]| {
            let mut out = Vec::new();
            write::tlv(&mut out, write::SEQUENCE, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::oid(o, &oid::ML_DSA_65);
                    o.extend_from_slice(parameters);
                });
                write::bit_string(o, bits);
            });
            out
        };
        assert_eq!(PublicKey::parse(&spki(&[], &good.bits)), Ok(good.clone()));
        for (parameters, bits) in [(&[5, 0][..], good.bits.as_slice()), (&[], &good.bits[1..]), (&[], &[])] {
            assert!(matches!(PublicKey::parse(&spki(parameters, bits)), Err(KeyRefused::Malformed(_))));
        }
    }
}
