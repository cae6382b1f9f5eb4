//! TPMT_PUBLIC: the public area of a TPM key, its name, and the same key as SubjectPublicKeyInfo.
//!
//! Supported: RSA-2048 and RSA-3072, P-256 and P-384; AES-CFB as the symmetric part of a storage key.

use super::{HashAlg, strong};
use crate::wire::{Malformed, Reader, put_tpm2b};

const ALG_RSA: u16 = 0x0001;
const ALG_ECC: u16 = 0x0023;
const ALG_AES: u16 = 0x0006;
const ALG_CFB: u16 = 0x0043;
const ALG_NULL: u16 = 0x0010;

/// Object attributes (part 2, 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes(pub u32);

impl Attributes {
    /// The key cannot leave this TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// The key is gone after a TPM restart.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The key cannot get another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM itself made the private part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// Use is allowed with the auth value.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Administration needs the policy.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// No dictionary-attack protection.
    pub const NO_DA: Self = Self(1 << 10);
    /// May only be duplicated encrypted.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// Signs or decrypts only what the TPM itself made.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// May decrypt.
    pub const DECRYPT: Self = Self(1 << 17);
    /// May sign.
    pub const SIGN: Self = Self(1 << 18);

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// Its `TPM_ECC_CURVE`.
    pub const fn id(self) -> u16 {
        match self {
            Self::P256 => 0x0003,
            Self::P384 => 0x0004,
        }
    }

    /// Length of a coordinate in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    const fn from_id(id: u16) -> Result<Self, Malformed> {
        match id {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            _ => Err(Malformed::Unsupported { field: "curve", found: id as u64 }),
        }
    }
}

/// The symmetric algorithm with which a storage key protects its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symmetric {
    /// None: a signing key.
    Null,
    /// AES in CFB mode.
    AesCfb {
        /// 128 or 256.
        bits: u16,
    },
}

/// The scheme that a key is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Chosen at use.
    Null,
    /// RSASSA-PKCS1-v1_5.
    Rsassa(HashAlg),
    /// RSA-PSS.
    Rsapss(HashAlg),
    /// RSAES-OAEP.
    Oaep(HashAlg),
    /// ECDSA.
    Ecdsa(HashAlg),
    /// ECDH.
    Ecdh(HashAlg),
}

/// The algorithm-specific half of a public area: parameters and the public value itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An RSA key.
    Rsa {
        /// Symmetric part of a storage key.
        symmetric: Symmetric,
        /// Scheme.
        scheme: Scheme,
        /// 2048 or 3072.
        bits: u16,
        /// As the TPM wrote it: 0 stands for 65537.
        exponent: u32,
        /// The modulus, or zeros in a template.
        modulus: Vec<u8>,
    },
    /// An elliptic-curve key.
    Ecc {
        /// Symmetric part of a storage key.
        symmetric: Symmetric,
        /// Scheme.
        scheme: Scheme,
        /// Curve.
        curve: Curve,
        /// As the TPM wrote it, possibly shorter than the field.
        x: Vec<u8>,
        /// As the TPM wrote it, possibly shorter than the field.
        y: Vec<u8>,
    },
}

/// TPMT_PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Public {
    /// Hash of the name, and of credential protection when this is an endorsement key.
    pub name_alg: HashAlg,
    /// Attributes.
    pub attributes: Attributes,
    /// Authorization policy digest, or empty.
    pub auth_policy: Vec<u8>,
    /// Parameters and public value.
    pub key: Key,
}

impl Public {
    /// A public area is below 1 KiB: an RSA-3072 one has 384 bytes of modulus, 64 of policy, 30 of numbers.
    pub const LIMIT: usize = 1024;

    /// Parses a TPMT_PUBLIC (no length in front).
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        crate::wire::within("public area", bytes.len(), Self::LIMIT)?;
        let mut r = Reader::new(bytes);
        let public = Self::read(&mut r)?;
        r.finish("public area")?;
        Ok(public)
    }

    /// Parses a TPM2B_PUBLIC: a two-byte length, then the public area.
    pub fn parse_sized(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let inner = r.tpm2b("public area", Self::LIMIT)?;
        r.finish("sized public area")?;
        Self::parse(inner)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let alg = r.u16("type")?;
        let name_alg = strong("name algorithm", r.u16("name algorithm")?)?;
        let attributes = Attributes(r.u32("attributes")?);
        let auth_policy = r.tpm2b("policy", 64)?.to_vec();
        if !auth_policy.is_empty() && auth_policy.len() != name_alg.size() {
            return Err(Malformed::Invalid {
                field: "policy",
                rule: "a policy digest has the size of the name algorithm",
            });
        }
        let key = match alg {
            ALG_RSA => read_rsa(r)?,
            ALG_ECC => read_ecc(r)?,
            _ => return Err(Malformed::Unsupported { field: "type", found: alg.into() }),
        };
        Ok(Self { name_alg, attributes, auth_policy, key })
    }

    /// The TPMT_PUBLIC bytes: what the name is a hash of.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        out.extend_from_slice(&self.alg().to_be_bytes());
        out.extend_from_slice(&self.name_alg.id().to_be_bytes());
        out.extend_from_slice(&self.attributes.0.to_be_bytes());
        put_tpm2b(&mut out, &self.auth_policy);
        match &self.key {
            Key::Rsa { symmetric, scheme, bits, exponent, modulus } => {
                put_symmetric(&mut out, *symmetric);
                put_scheme(&mut out, *scheme);
                out.extend_from_slice(&bits.to_be_bytes());
                out.extend_from_slice(&exponent.to_be_bytes());
                put_tpm2b(&mut out, modulus);
            }
            Key::Ecc { symmetric, scheme, curve, x, y } => {
                put_symmetric(&mut out, *symmetric);
                put_scheme(&mut out, *scheme);
                out.extend_from_slice(&curve.id().to_be_bytes());
                out.extend_from_slice(&ALG_NULL.to_be_bytes());
                put_tpm2b(&mut out, x);
                put_tpm2b(&mut out, y);
            }
        }
        out
    }

    /// The TPM2B_PUBLIC bytes.
    pub fn encode_sized(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(400);
        put_tpm2b(&mut out, &self.encode());
        out
    }

    /// `TPM_ALG_RSA` or `TPM_ALG_ECC`.
    pub const fn alg(&self) -> u16 {
        match self.key {
            Key::Rsa { .. } => ALG_RSA,
            Key::Ecc { .. } => ALG_ECC,
        }
    }

    /// The name: name algorithm, then its digest of the public area (part 1, 16).
    pub fn name(&self) -> Vec<u8> {
        let mut out = self.name_alg.id().to_be_bytes().to_vec();
        out.extend_from_slice(&self.name_alg.digest(&self.encode()));
        out
    }

    /// The scheme that the key is bound to.
    pub const fn scheme(&self) -> Scheme {
        match &self.key {
            Key::Rsa { scheme, .. } | Key::Ecc { scheme, .. } => *scheme,
        }
    }

    /// The symmetric part.
    pub const fn symmetric(&self) -> Symmetric {
        match &self.key {
            Key::Rsa { symmetric, .. } | Key::Ecc { symmetric, .. } => *symmetric,
        }
    }
}

fn read_rsa(r: &mut Reader<'_>) -> Result<Key, Malformed> {
    let symmetric = read_symmetric(r)?;
    let scheme = read_scheme(r)?;
    if matches!(scheme, Scheme::Ecdsa(_) | Scheme::Ecdh(_)) {
        return Err(Malformed::Invalid { field: "scheme", rule: "an RSA key takes an RSA scheme" });
    }
    let bits = r.u16("key bits")?;
    if !matches!(bits, 2048 | 3072) {
        return Err(Malformed::Unsupported { field: "key bits", found: bits.into() });
    }
    let exponent = r.u32("exponent")?;
    // A small or even exponent has no use in a TPM and opens old attacks on signatures.
    if !matches!(exponent, 0 | 65_537) {
        return Err(Malformed::Unsupported { field: "exponent", found: exponent.into() });
    }
    let modulus = r.tpm2b("modulus", usize::from(bits / 8))?.to_vec();
    if modulus.len() != usize::from(bits / 8) {
        return Err(Malformed::Invalid { field: "modulus", rule: "the modulus has the length of the key" });
    }
    Ok(Key::Rsa { symmetric, scheme, bits, exponent, modulus })
}

fn read_ecc(r: &mut Reader<'_>) -> Result<Key, Malformed> {
    let symmetric = read_symmetric(r)?;
    let scheme = read_scheme(r)?;
    if !matches!(scheme, Scheme::Null | Scheme::Ecdsa(_) | Scheme::Ecdh(_)) {
        return Err(Malformed::Invalid {
            field: "scheme",
            rule: "an elliptic-curve key takes ECDSA or ECDH",
        });
    }
    let curve = Curve::from_id(r.u16("curve")?)?;
    match r.u16("key derivation scheme")? {
        ALG_NULL => {}
        found => return Err(Malformed::Unsupported { field: "key derivation scheme", found: found.into() }),
    }
    let x = r.tpm2b("x", curve.size())?.to_vec();
    let y = r.tpm2b("y", curve.size())?.to_vec();
    Ok(Key::Ecc { symmetric, scheme, curve, x, y })
}

fn read_symmetric(r: &mut Reader<'_>) -> Result<Symmetric, Malformed> {
    match r.u16("symmetric algorithm")? {
        ALG_NULL => Ok(Symmetric::Null),
        ALG_AES => {
            let bits = r.u16("symmetric key bits")?;
            if !matches!(bits, 128 | 256) {
                return Err(Malformed::Unsupported { field: "symmetric key bits", found: bits.into() });
            }
            match r.u16("symmetric mode")? {
                ALG_CFB => Ok(Symmetric::AesCfb { bits }),
                found => Err(Malformed::Unsupported { field: "symmetric mode", found: found.into() }),
            }
        }
        found => Err(Malformed::Unsupported { field: "symmetric algorithm", found: found.into() }),
    }
}

fn put_symmetric(out: &mut Vec<u8>, symmetric: Symmetric) {
    match symmetric {
        Symmetric::Null => out.extend_from_slice(&ALG_NULL.to_be_bytes()),
        Symmetric::AesCfb { bits } => {
            for v in [ALG_AES, bits, ALG_CFB] {
                out.extend_from_slice(&v.to_be_bytes());
            }
        }
    }
}

fn read_scheme(r: &mut Reader<'_>) -> Result<Scheme, Malformed> {
    let id = r.u16("scheme")?;
    if id == ALG_NULL {
        return Ok(Scheme::Null);
    }
    let make = match id {
        0x0014 => Scheme::Rsassa,
        0x0016 => Scheme::Rsapss,
        0x0017 => Scheme::Oaep,
        0x0018 => Scheme::Ecdsa,
        0x0019 => Scheme::Ecdh,
        found => return Err(Malformed::Unsupported { field: "scheme", found: found.into() }),
    };
    Ok(make(strong("scheme hash", r.u16("scheme hash")?)?))
}

fn put_scheme(out: &mut Vec<u8>, scheme: Scheme) {
    let (id, hash) = match scheme {
        Scheme::Null => (ALG_NULL, None),
        Scheme::Rsassa(h) => (0x0014, Some(h)),
        Scheme::Rsapss(h) => (0x0016, Some(h)),
        Scheme::Oaep(h) => (0x0017, Some(h)),
        Scheme::Ecdsa(h) => (0x0018, Some(h)),
        Scheme::Ecdh(h) => (0x0019, Some(h)),
    };
    out.extend_from_slice(&id.to_be_bytes());
    if let Some(h) = hash {
        out.extend_from_slice(&h.id().to_be_bytes());
    }
}

/// The key as DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 3279 2.3.1, RFC 5480 2), with the same bytes
/// as a CSR or certificate of this key, so that the two can be compared.
pub fn spki_der(public: &Public) -> Vec<u8> {
    match &public.key {
        Key::Rsa { .. } => {
            // rsaEncryption 1.2.840.113549.1.1.1 with NULL parameters.
            let algorithm =
                [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
            der(0x30, &[algorithm.to_vec(), der_bits(&key_bits(public))].concat())
        }
        Key::Ecc { curve, .. } => {
            // id-ecPublicKey 1.2.840.10045.2.1 with the named curve prime256v1 or secp384r1.
            let algorithm: &[u8] = match curve {
                Curve::P256 => &[
                    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
                ],
                Curve::P384 => &[
                    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
                    0x04, 0x00, 0x22,
                ],
            };
            der(0x30, &[algorithm.to_vec(), der_bits(&key_bits(public))].concat())
        }
    }
}

/// What the subjectPublicKey bit string of the key holds: RSAPublicKey, or the uncompressed point.
pub(crate) fn key_bits(public: &Public) -> Vec<u8> {
    match &public.key {
        Key::Rsa { exponent, modulus, .. } => {
            let e = if *exponent == 0 { 65_537u32 } else { *exponent };
            der(0x30, &[der_unsigned(modulus), der_unsigned(&e.to_be_bytes())].concat())
        }
        Key::Ecc { .. } => public.point().unwrap_or_default(),
    }
}

impl Public {
    /// The uncompressed point of an elliptic-curve key (SEC 1, 2.3.3), coordinates padded to the field.
    pub fn point(&self) -> Option<Vec<u8>> {
        let Key::Ecc { curve, x, y, .. } = &self.key else { return None };
        let mut out = vec![0x04];
        out.extend(padded(x, curve.size())?);
        out.extend(padded(y, curve.size())?);
        Some(out)
    }
}

/// `bytes` with zeros in front up to `size`; none if it is longer even without its leading zeros.
pub(crate) fn padded(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    let (_, significant) = bytes.split_at_checked(start)?;
    let mut out = vec![0; size.checked_sub(significant.len())?];
    out.extend_from_slice(significant);
    Some(out)
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    // X.690 8.1.3: short form below 128, else the count of length octets first. Keys stay below 64 KiB.
    match u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes() {
        [0, n] if n < 0x80 => out.push(n),
        [0, n] => out.extend_from_slice(&[0x81, n]),
        [h, l] => out.extend_from_slice(&[0x82, h, l]),
    }
    out.extend_from_slice(body);
    out
}

fn der_unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut value: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if value.first().is_none_or(|b| *b >= 0x80) {
        value.insert(0, 0);
    }
    der(0x02, &value)
}

fn der_bits(bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend_from_slice(bytes);
    der(0x03, &body)
}
