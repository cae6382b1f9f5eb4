//! What the tests of this engine share: account keys that sign, certificates and requests made by hand.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};

use super::base64url::encode;

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// An account's key.
pub(super) enum ClientKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

impl ClientKey {
    pub(super) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn all() -> [Self; 4] {
        [
            Self::p256(),
            Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
        ]
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    pub(super) fn jwk(&self) -> String {
        let ec = |crv: &str, key: &EcdsaKeyPair, size: usize| {
            let (x, y) = key.public_key().as_ref()[1..].split_at(size);
            format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}"}}"#, encode(x), encode(y))
        };
        match self {
            Self::P256(key) => ec("P-256", key, 32),
            Self::P384(key) => ec("P-384", key, 48),
            Self::Ed25519(key) => {
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(key.public_key().as_ref()))
            }
            Self::Rsa(key) => {
                let public = RsaPublicKey::from_der(key.public_key().as_ref()).unwrap();
                let (n, e) = (encode(public.modulus.as_bytes()), encode(public.exponent.as_bytes()));
                format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// A message: `header` holds what stands behind `alg`.
pub(super) fn jws(key: &ClientKey, header: &str, payload: &str) -> Vec<u8> {
    let protected = encode(format!(r#"{{"alg":"{}",{header}}}"#, key.algorithm()).as_bytes());
    let payload = encode(payload.as_bytes());
    let signature = encode(&key.sign(format!("{protected}.{payload}").as_bytes()));
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#).into_bytes()
}

/// An external account binding.
pub(super) fn eab(kid: &str, secret: &str, url: &str, jwk: &str) -> String {
    let protected = encode(format!(r#"{{"alg":"HS256","kid":"{kid}","url":"{url}"}}"#).as_bytes());
    let payload = encode(jwk.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    let signature = encode(tag.as_ref());
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
}

pub(super) fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(body.len()).unwrap().to_be_bytes() {
        [0, n] if n < 128 => out.push(n),
        [0, n] => out.extend([0x81, n]),
        [a, b] => out.extend([0x82, a, b]),
    }
    out.extend_from_slice(body);
    out
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(super) fn oid(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

pub(super) fn names(parts: &[(&str, &str)]) -> Vec<u8> {
    let rdn = |(id, value): &(&str, &str)| tlv(0x31, &sequence(&[oid(id), tlv(0x0c, value.as_bytes())]));
    sequence(&parts.iter().map(rdn).collect::<Vec<_>>())
}

pub(super) fn name(common: &str) -> Vec<u8> {
    names(&[("2.5.4.3", common)])
}

pub(super) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[oid(id), flag.to_vec(), tlv(0x04, value)])
}

pub(super) fn constraints(ca: bool) -> Vec<u8> {
    let content: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
    extension("2.5.29.19", true, &tlv(0x30, content))
}

/// A subjectAltName extension.
pub(super) fn alt_names(list: &[Vec<u8>]) -> Vec<u8> {
    extension("2.5.29.17", false, &sequence(list))
}

pub(super) fn dns_name(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

pub(super) fn permanent_name(value: &str, assigner: Option<&str>) -> Vec<u8> {
    let inner = sequence(&[tlv(0x0c, value.as_bytes()), assigner.map(oid).unwrap_or_default()]);
    tlv(0xa0, &[oid("1.3.6.1.5.5.7.8.3"), tlv(0xa0, &inner)].concat())
}

pub(super) fn module_name(kind: &str, serial: &str) -> Vec<u8> {
    let inner = sequence(&[oid(kind), tlv(0x04, serial.as_bytes())]);
    tlv(0xa0, &[oid("1.3.6.1.5.5.7.8.4"), tlv(0xa0, &inner)].concat())
}

/// A key of a certificate.
pub(super) struct P256(EcdsaKeyPair);

impl P256 {
    pub(super) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        sequence(&[algorithm, tlv(0x03, &[&[0], self.0.public_key().as_ref()].concat())])
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// A certificate request with these extensions.
    pub(super) fn request(&self, subject: Vec<u8>, extensions: &[Vec<u8>]) -> Vec<u8> {
        let attribute = match extensions {
            [] => vec![],
            some => sequence(&[oid("1.2.840.113549.1.9.14"), tlv(0x31, &sequence(some))]),
        };
        let info = sequence(&[vec![2, 1, 0], subject, self.spki(), tlv(0xa0, &attribute)]);
        self.close(info)
    }

    fn close(&self, signed: Vec<u8>) -> Vec<u8> {
        let signature = self.sign(&signed);
        let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
        sequence(&[signed, algorithm, tlv(0x03, &[&[0], signature.as_slice()].concat())])
    }
}

/// A certificate to be.
pub(super) struct Draft {
    spki: Vec<u8>,
    subject: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(super) fn new(spki: Vec<u8>, subject: Vec<u8>, extensions: Vec<Vec<u8>>) -> Self {
        Self { spki, subject, extensions }
    }

    pub(super) fn sign(&self, issuer: &P256, issuer_name: Vec<u8>) -> Vec<u8> {
        let time = |text: &str| tlv(0x18, text.as_bytes());
        let tbs = sequence(&[
            tlv(0xa0, &[2, 1, 2]),
            tlv(0x02, &[0x41; 16]),
            sequence(&[oid("1.2.840.10045.4.3.2")]),
            issuer_name,
            sequence(&[time("20200101000000Z"), time("99991231235959Z")]),
            self.subject.clone(),
            self.spki.clone(),
            tlv(0xa3, &sequence(&self.extensions)),
        ]);
        issuer.close(tbs)
    }
}
