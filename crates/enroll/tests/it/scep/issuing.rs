//! A test CA with RSA keys, and what stands in for the rules: one secret, a number of times to say "not yet".

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;
use lanyard_pki::write;

/// 2026-01-01T00:00:00Z to 2049-12-31: the clients look at the real clock.
const NOT_BEFORE: Timestamp = Timestamp::from_seconds(1_767_225_600);
const NOT_AFTER: Timestamp = Timestamp::from_seconds(2_524_521_600);

/// keyCertSign, cRLSign; digitalSignature, keyEncipherment (RFC 5280 4.2.1.3).
const CA_USAGE: &[u8] = &[3, 2, 1, 0x06];
const END_USAGE: &[u8] = &[3, 2, 5, 0xa0];

/// A key with its certificate.
pub struct Identity {
    key: RsaKeyPair,
    decrypting: Pkcs1PrivateDecryptingKey,
    pub certificate: Vec<u8>,
}

impl Identity {
    fn generate(certificate: impl FnOnce(&RsaKeyPair, &[u8]) -> Vec<u8>) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).unwrap();
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let certificate = certificate(&key, spki.as_ref());
        Self { decrypting: Pkcs1PrivateDecryptingKey::new(decrypting).unwrap(), key, certificate }
    }

    /// A CA that signs itself.
    pub fn ca(name: &str) -> Self {
        Self::generate(|key, spki| certificate(key, name, name, spki, CA_USAGE))
    }

    /// A key certified by this one, named `issuer`.
    pub fn certify(&self, issuer: &str, name: &str) -> Self {
        Self::generate(|_, spki| self.issue(issuer, name, spki))
    }

    /// A certificate for somebody's key.
    pub fn issue(&self, issuer: &str, name: &str, spki: &[u8]) -> Vec<u8> {
        certificate(&self.key, issuer, name, spki, END_USAGE)
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        sign(&self.key, message)
    }

    pub fn decrypt(&self, wrapped: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut out = vec![0; self.decrypting.min_output_size()];
        self.decrypting.decrypt(wrapped, &mut out).map(|plain| plain.to_vec())
    }
}

fn sign(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
    Ok(signature)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

fn certificate(key: &RsaKeyPair, issuer: &str, subject: &str, spki: &[u8], usage: &[u8]) -> Vec<u8> {
    let mut tbs = Vec::new();
    write::tlv(&mut tbs, write::SEQUENCE, |o| {
        write::tlv(o, write::context_constructed(0), |o| write::bytes(o, write::INTEGER, &[2]));
        write::bytes(o, write::INTEGER, &Serial::from_random(random()).der_content());
        sha256_with_rsa(o);
        name(o, issuer);
        write::tlv(o, write::SEQUENCE, |o| {
            write::time(o, NOT_BEFORE);
            write::time(o, NOT_AFTER);
        });
        name(o, subject);
        o.extend_from_slice(spki);
        write::tlv(o, write::context_constructed(3), |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                let is_ca = usage == CA_USAGE;
                write::extension(o, &oid("2.5.29.19"), write::Critical::Yes, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        if is_ca {
                            write::bytes(o, write::BOOLEAN, &[0xff]);
                        }
                    });
                });
                write::extension(o, &oid("2.5.29.15"), write::Critical::Yes, |o| o.extend_from_slice(usage));
            });
        });
    });
    let signature = sign(key, &tbs).unwrap();
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        o.extend_from_slice(&tbs);
        sha256_with_rsa(o);
        write::bit_string(o, &signature);
    });
    out
}

fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new(text).unwrap()
}

fn name(out: &mut Vec<u8>, common_name: &str) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::rdn(o, &oid("2.5.4.10"), write::UTF8_STRING, "General Hospital");
        write::rdn(o, &oid("2.5.4.3"), write::UTF8_STRING, common_name);
    });
}

fn sha256_with_rsa(out: &mut Vec<u8>) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, &oid("1.2.840.113549.1.1.11"));
        o.extend_from_slice(&[5, 0]);
    });
}
