//! A SCEP client, as far as load needs one (RFC 8894 3): a device's key and requests, pkiMessages made and their answers opened.
//!
//! In scope: RSA-2048, SHA-256, AES-128 in CBC, one recipient. Out of scope: what real clients do wrong; interop suites have those.

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::write;
use lanyard_sim::rng::fresh;

// Object identifiers as they stand in DER. RFC 5652 4, 5.1, 6.1:
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
// RFC 5652 11, RFC 2985 5.4.1:
const CONTENT_TYPE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const CHALLENGE_PASSWORD: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07";
// RFC 8017 C, RFC 5754 2, RFC 3565 4.1:
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
const SHA_256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
/// RFC 8894 3.2.1, and then the attribute's number: 2 messageType, 5 senderNonce, 7 transactionID.
const ATTRIBUTE: &[u8] = b"\x60\x86\x48\x01\x86\xf8\x45\x01\x09";
/// The attribute pkiStatus that says SUCCESS, whole.
const SUCCESS: &[u8] = b"\x30\x11\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x03\x31\x03\x13\x01\x30";
/// RFC 5280 A.1: id-at-commonName.
const COMMON_NAME: &[u8] = b"\x55\x04\x03";

/// What a message asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A first certificate, by a secret; signed with a self-signed certificate.
    PkcsReq,
    /// The next one; signed with the one before.
    Renewal,
}

/// A device: its key, and a certificate that it made for it.
pub struct Device {
    key: RsaKeyPair,
    pkcs8: Vec<u8>,
    spki: Vec<u8>,
    /// Self-signed.
    pub own: Certificate,
}

impl Device {
    /// With a new key.
    pub fn new(now: Timestamp) -> Result<Self> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).context("cannot make an RSA key")?;
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().context("an RSA key has no encoding")?;
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().context("an RSA key has no encoding")?;
        let (pkcs8, spki) = (pkcs8.as_ref().to_vec(), spki.as_ref().to_vec());
        let serial: [u8; 8] = fresh()?;
        let mut tbs = Vec::new();
        write::tlv(&mut tbs, write::SEQUENCE, |o| {
            write::tlv(o, write::context_constructed(0), |o| write::bytes(o, write::INTEGER, &[2]));
            write::bytes(o, write::INTEGER, &[&[1], serial.as_slice()].concat());
            algorithm(o, SHA256_WITH_RSA);
            name(o);
            write::tlv(o, write::SEQUENCE, |o| {
                write::time(o, now.plus_seconds(-60));
                write::time(o, now.plus_seconds(86_400));
            });
            name(o);
            o.extend_from_slice(&spki);
        });
        let own = Certificate::parse(&signed_by(&key, &tbs)?)?;
        Ok(Self { key, pkcs8, spki, own })
    }

    /// A PKCS#10, with the secret as its challenge password.
    pub fn request(&self, secret: Option<&str>) -> Result<Vec<u8>> {
        let mut info = Vec::new();
        write::tlv(&mut info, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &[0]);
            name(o);
            o.extend_from_slice(&self.spki);
            write::tlv(o, write::context_constructed(0), |o| {
                let Some(secret) = secret else { return };
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::OBJECT_IDENTIFIER, CHALLENGE_PASSWORD);
                    write::tlv(o, write::SET, |o| write::bytes(o, write::UTF8_STRING, secret.as_bytes()));
                });
            });
        });
        signed_by(&self.key, &info)
    }

    /// A pkiMessage for the RA with this certificate, signed with `by`.
    pub fn message(&self, kind: Kind, request: &[u8], by: &Certificate, ra: &Certificate) -> Result<Vec<u8>> {
        let sealed = seal(request, ra)?;
        let transaction = hex(&fresh::<16>()?);
        let (nonce, type_): ([u8; 16], &[u8]) = (
            fresh()?,
            match kind {
                Kind::PkcsReq => b"19",
                Kind::Renewal => b"17",
            },
        );
        let scep = |number: u8| [ATTRIBUTE, &[number]].concat();
        let mut attributes = [
            attribute(&scep(2), write::PRINTABLE_STRING, type_),
            attribute(&scep(5), write::OCTET_STRING, &nonce),
            attribute(&scep(7), write::PRINTABLE_STRING, transaction.as_bytes()),
            attribute(CONTENT_TYPE, write::OBJECT_IDENTIFIER, DATA),
            attribute(MESSAGE_DIGEST, write::OCTET_STRING, digest(&SHA256, &sealed).as_ref()),
        ];
        // X.690 11.6
        attributes.sort_unstable();
        let attributes = attributes.concat();
        let mut set = Vec::new();
        write::bytes(&mut set, write::SET, &attributes);
        let signature = sign(&self.key, &set)?;
        Ok(content_info(SIGNED_DATA, |o| {
            write::bytes(o, write::INTEGER, &[1]);
            write::tlv(o, write::SET, |o| algorithm(o, SHA_256));
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::OBJECT_IDENTIFIER, DATA);
                write::tlv(o, write::context_constructed(0), |o| {
                    write::bytes(o, write::OCTET_STRING, &sealed);
                });
            });
            write::bytes(o, write::context_constructed(0), by.der());
            write::tlv(o, write::SET, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::INTEGER, &[1]);
                    issuer_and_serial(o, by);
                    algorithm(o, SHA_256);
                    write::bytes(o, write::context_constructed(0), &attributes);
                    algorithm(o, RSA_ENCRYPTION);
                    write::bytes(o, write::OCTET_STRING, &signature);
                });
            });
        }))
    }

    /// The certificate in an answer that says SUCCESS. Its signature is not checked: the certificate's own is known to the server
    /// alone, and what this costs a device is not measured.
    pub fn open(&self, answer: &[u8]) -> Result<Certificate> {
        ensure!(answer.windows(SUCCESS.len()).any(|w| w == SUCCESS), "SCEP did not answer SUCCESS");
        let envelope = element(at(answer, &[1, 0, 2, 1, 0])?)?.content;
        let recipient = at(envelope, &[1, 0, 1, 0])?;
        let wrapped = element(at(recipient, &[3])?)?.content;
        let encrypted = at(envelope, &[1, 0, 2])?;
        let iv = element(at(encrypted, &[1, 1])?)?.content;
        let mut text = element(at(encrypted, &[2])?)?.content.to_vec();
        let key = PrivateDecryptingKey::from_pkcs8(&self.pkcs8).context("a key cannot be read")?;
        let key = Pkcs1PrivateDecryptingKey::new(key).context("a key cannot decrypt")?;
        let mut out = vec![0; key.min_output_size()];
        let content_key = key.decrypt(wrapped, &mut out).context("an envelope is not for this device")?;
        let cipher = match content_key.len() {
            16 => &AES_128,
            32 => &AES_256,
            other => bail!("a content key has {other} bytes"),
        };
        let cipher = UnboundCipherKey::new(cipher, content_key).context("a content key cannot be used")?;
        let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).context("a content key cannot be used")?;
        let iv: [u8; 16] = iv.try_into().context("a vector has another length")?;
        let text = cipher
            .decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(iv)))
            .context("an envelope does not open")?;
        let certificate = Certificate::parse(element(at(text, &[1, 0, 3, 0])?)?.whole)?;
        ensure!(
            certificate.public_key().is_ok_and(|key| key.der() == self.spki),
            "the certificate is for another key"
        );
        Ok(certificate)
    }
}

fn seal(content: &[u8], ra: &Certificate) -> Result<Vec<u8>> {
    let (key, iv): ([u8; 16], [u8; 16]) = (fresh()?, fresh()?);
    let cipher = UnboundCipherKey::new(&AES_128, &key).context("AES takes no key")?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).context("AES takes no key")?;
    let mut text = content.to_vec();
    cipher
        .less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv)))
        .context("cannot encrypt")?;
    let spki = ra.public_key().map_err(|e| anyhow::anyhow!("the RA's key: {e}"))?.der();
    let transport = PublicEncryptingKey::from_der(spki).context("the RA's key is not RSA")?;
    let transport = Pkcs1PublicEncryptingKey::new(transport).context("the RA's key does not encrypt")?;
    let mut wrapped = vec![0; transport.ciphertext_size()];
    let wrapped = transport.encrypt(&key, &mut wrapped).context("cannot encrypt a key")?;
    Ok(content_info(ENVELOPED_DATA, |o| {
        write::bytes(o, write::INTEGER, &[0]);
        write::tlv(o, write::SET, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[0]);
                issuer_and_serial(o, ra);
                algorithm(o, RSA_ENCRYPTION);
                write::bytes(o, write::OCTET_STRING, wrapped);
            });
        });
        write::tlv(o, write::SEQUENCE, |o| {
            write::bytes(o, write::OBJECT_IDENTIFIER, DATA);
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::OBJECT_IDENTIFIER, AES_128_CBC);
                write::bytes(o, write::OCTET_STRING, &iv);
            });
            write::bytes(o, write::context(0), &text);
        });
    }))
}

fn content_info(content_type: &[u8], fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::bytes(o, write::OBJECT_IDENTIFIER, content_type);
        write::tlv(o, write::context_constructed(0), |o| write::tlv(o, write::SEQUENCE, fields));
    });
    out
}

fn attribute(id: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::bytes(o, write::OBJECT_IDENTIFIER, id);
        write::tlv(o, write::SET, |o| write::bytes(o, tag, value));
    });
    out
}

fn algorithm(out: &mut Vec<u8>, id: &[u8]) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::bytes(o, write::OBJECT_IDENTIFIER, id);
        write::bytes(o, write::NULL, &[]);
    });
}

fn name(out: &mut Vec<u8>) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::tlv(o, write::SET, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::OBJECT_IDENTIFIER, COMMON_NAME);
                write::bytes(o, write::UTF8_STRING, b"device");
            });
        });
    });
}

fn issuer_and_serial(out: &mut Vec<u8>, certificate: &Certificate) {
    write::tlv(out, write::SEQUENCE, |o| {
        o.extend_from_slice(certificate.issuer_der());
        write::bytes(o, write::INTEGER, &certificate.serial().der_content());
    });
}

fn signed_by(key: &RsaKeyPair, content: &[u8]) -> Result<Vec<u8>> {
    let signature = sign(key, content)?;
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        o.extend_from_slice(content);
        algorithm(o, SHA256_WITH_RSA);
        write::bit_string(o, &signature);
    });
    Ok(out)
}

fn sign(key: &RsaKeyPair, content: &[u8]) -> Result<Vec<u8>> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content, &mut signature).context("cannot sign")?;
    Ok(signature)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A DER element.
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// The first one in these bytes.
fn element(der: &[u8]) -> Result<Element<'_>> {
    let short = "an answer ends early";
    let first = usize::from(*der.get(1).context(short)?);
    let (header, length) = match first {
        0..=0x7f => (2, first),
        _ => {
            let count = first & 0x7f;
            let digits = der.get(2..2 + count).context(short)?;
            ensure!(count <= 4, "an answer has a length of {count} bytes");
            (2 + count, digits.iter().fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)))
        }
    };
    let (whole, rest) = der.split_at_checked(header + length).context(short)?;
    Ok(Element { whole, content: whole.get(header..).context(short)?, rest })
}

/// The bytes from an element on that is reached by these steps: each the place among an element's parts.
fn at<'a>(der: &'a [u8], steps: &[usize]) -> Result<&'a [u8]> {
    let mut here = der;
    for step in steps {
        here = element(here)?.content;
        for _ in 0..*step {
            here = element(here)?.rest;
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_places_and_every_cut_is_an_error() {
        let mut der = Vec::new();
        write::tlv(&mut der, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &[7]);
            write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::OCTET_STRING, &[9; 300]));
        });
        let found = |der| at(der, &[1, 0]).and_then(element).map(|e| e.content.to_vec());
        assert_eq!(found(&der).unwrap(), vec![9; 300]);
        for end in 0..der.len() {
            assert!(found(&der[..end]).is_err(), "cut at {end}");
        }
    }
}
