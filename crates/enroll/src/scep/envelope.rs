//! EnvelopedData (RFC 5652 6): what a pkiMessage hides from everyone but its receiver, opened and sealed.
//!
//! Key transport is RSAES-PKCS1-v1_5, the only one that SCEP clients know. Whoever can tell a good padding from a bad
//! one can decrypt with our key (Bleichenbacher 1998), and whoever can tell a good padding of CBC from a bad one can read
//! somebody else's envelope, sent again with a signature of his own (Vaudenay 2002). So:
//! - where the key does not come out, a random one takes its place (RFC 3218 2.3.2);
//! - only requests for certificates are opened: their content is signed with its own key, so a changed one is never
//!   good. CertPoll is answered without, GetCert and GetCRL, whose content anybody could shape, are not served;
//! - padding is looked at last ([`super::message::request`]), so time does not tell it either;
//! - whatever is wrong with what comes out is one and the same error ([`Refusal::Sealed`]).
//!
//! In scope: recipients by issuer and serial number. Out of scope: RSAES-OAEP, key agreement, passwords.

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use lanyard_pki::write;
use zeroize::Zeroizing;

use super::algorithm::Algorithms;
use super::asn1::{CONTEXT_0, Element, Malformed};
use super::cipher::{Cipher, MAX_KEY_BYTES};
use super::oid;
use super::refusal::Refusal;
use super::signed;

const ENVELOPE: &str = "the content of the message is not a CMS EnvelopedData (RFC 5652 6.1)";
const RECIPIENT: &str = "a RecipientInfo of the envelope is malformed (RFC 5652 6.2.1)";

/// An envelope for us, not yet opened.
pub(super) struct Envelope<'a> {
    pub cipher: Cipher,
    iv: &'a [u8],
    wrapped_key: &'a [u8],
    cipher_text: Vec<u8>,
}

/// Reads one, out of DER, that has a part for a certificate of ours, by its serial number (DER of the INTEGER).
///
/// The serial number alone decides: some clients write our issuer's name with other string types, and a part that is
/// for somebody else does not open.
pub(super) fn read<'a>(
    der: &'a [u8],
    is_ours: impl Fn(&[u8]) -> bool,
    accepted: Algorithms,
) -> Result<Envelope<'a>, Refusal> {
    let fields = signed::content_info(der, &oid::ENVELOPED_DATA, ENVELOPE)?.parts(ENVELOPE)?;
    let (recipients, encrypted) = match fields.as_slice() {
        [_, originator, recipients, encrypted, ..] if originator.tag == CONTEXT_0 => (recipients, encrypted),
        [_, recipients, encrypted, ..] => (recipients, encrypted),
        _ => return Err(Malformed(ENVELOPE).into()),
    };
    let wrapped_key = wrapped_key(recipients, is_ours)?;
    let fields = encrypted.tagged(write::SEQUENCE, ENVELOPE)?.parts(ENVELOPE)?;
    let [content_type, algorithm, cipher_text] = fields.as_slice() else {
        return Err(Malformed(ENVELOPE).into());
    };
    if content_type.oid(ENVELOPE)? != oid::DATA {
        return Err(Malformed(ENVELOPE).into());
    }
    let (id, parameters) = algorithm.algorithm(ENVELOPE)?;
    let cipher = Cipher::named(&id, accepted).ok_or(Refusal::ContentCipher)?;
    let iv = parameters.ok_or(Malformed(ENVELOPE))?.tagged(write::OCTET_STRING, ENVELOPE)?.content;
    Ok(Envelope { cipher, iv, wrapped_key, cipher_text: cipher_text.octets(ENVELOPE)? })
}

fn wrapped_key<'a>(recipients: &Element<'a>, is_ours: impl Fn(&[u8]) -> bool) -> Result<&'a [u8], Refusal> {
    for recipient in recipients.tagged(write::SET, RECIPIENT)?.parts(RECIPIENT)? {
        // RFC 5652 6.2: key transport has no tag of its own; the other kinds are not for us.
        if recipient.tag != write::SEQUENCE {
            continue;
        }
        let fields = recipient.parts(RECIPIENT)?;
        let [_, id, algorithm, key] = fields.as_slice() else { return Err(Malformed(RECIPIENT).into()) };
        let serial = match id.parts(RECIPIENT)?.as_slice() {
            [_, serial] if id.tag == write::SEQUENCE => serial.whole,
            _ => continue,
        };
        if is_ours(serial) {
            return match algorithm.algorithm(RECIPIENT)?.0 {
                oid::RSA_ENCRYPTION => Ok(key.tagged(write::OCTET_STRING, RECIPIENT)?.content),
                _ => Err(Refusal::KeyTransport),
            };
        }
    }
    Err(Refusal::NotForUs)
}

impl Envelope<'_> {
    /// Opens it; the padding is still on what comes out. `decrypt` undoes RSAES-PKCS1-v1_5 with the private key;
    /// `fallback` is random, for this message alone.
    pub fn open<E>(
        &self,
        decrypt: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
        fallback: &[u8; MAX_KEY_BYTES],
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let unwrapped = Zeroizing::new(decrypt(self.wrapped_key).unwrap_or_default());
        let key = choose(&unwrapped, fallback, self.cipher.key_bytes());
        self.cipher.decrypt(&key, self.iv, &self.cipher_text).ok_or(Refusal::Sealed)
    }
}

/// `unwrapped` if it has the right length, else the fallback; the same steps either way.
fn choose(unwrapped: &[u8], fallback: &[u8; MAX_KEY_BYTES], length: usize) -> Zeroizing<Vec<u8>> {
    let fits = std::hint::black_box(u8::from(unwrapped.len() == length));
    let mask = 0u8.wrapping_sub(fits);
    let padded = unwrapped.iter().copied().chain(std::iter::repeat(0));
    Zeroizing::new(
        fallback
            .iter()
            .zip(padded)
            .take(length)
            .map(|(own, theirs)| (theirs & mask) | (own & !mask))
            .collect(),
    )
}

/// For whom a reply is: the certificate that the request was signed with.
#[derive(Debug, Clone)]
pub(super) struct Recipient {
    /// DER of the Name.
    pub issuer: Vec<u8>,
    /// DER of the INTEGER.
    pub serial: Vec<u8>,
    /// SubjectPublicKeyInfo of an RSA key.
    pub spki: Vec<u8>,
}

/// A key and an initialisation vector, random and used once.
pub(super) struct ContentKey<'a> {
    pub key: &'a [u8; MAX_KEY_BYTES],
    pub iv: &'a [u8; 16],
}

/// Encrypts `content` to one recipient. Nothing if the recipient's key cannot be used.
pub(super) fn seal(
    content: &[u8],
    cipher: Cipher,
    recipient: &Recipient,
    fresh: &ContentKey<'_>,
) -> Option<Vec<u8>> {
    let key = fresh.key.get(..cipher.key_bytes())?;
    let iv = fresh.iv.get(..cipher.block_bytes())?;
    let cipher_text = cipher.encrypt(key, iv, content)?;
    let transport = PublicEncryptingKey::from_der(&recipient.spki).ok()?;
    let transport = Pkcs1PublicEncryptingKey::new(transport).ok()?;
    let mut wrapped = vec![0; transport.ciphertext_size()];
    let wrapped = transport.encrypt(key, &mut wrapped).ok()?;
    Some(signed::content_info_of(&oid::ENVELOPED_DATA, |o| {
        write::bytes(o, write::INTEGER, &[0]);
        write::tlv(o, write::SET, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[0]);
                write::tlv(o, write::SEQUENCE, |o| {
                    o.extend_from_slice(&recipient.issuer);
                    o.extend_from_slice(&recipient.serial);
                });
                signed::algorithm_identifier(o, &oid::RSA_ENCRYPTION);
                write::bytes(o, write::OCTET_STRING, wrapped);
            });
        });
        write::tlv(o, write::SEQUENCE, |o| {
            write::oid(o, &oid::DATA);
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &cipher.oid());
                write::bytes(o, write::OCTET_STRING, iv);
            });
            write::bytes(o, write::context(0), &cipher_text);
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3218 2.3.2
    #[test]
    fn a_key_that_does_not_come_out_is_replaced_by_the_fallback() {
        let fallback = [7; MAX_KEY_BYTES];
        assert_eq!(choose(&[1; 16], &fallback, 16).as_slice(), [1; 16]);
        for wrong in [0, 15, 17, 24, 32, 256] {
            assert_eq!(choose(&vec![1; wrong], &fallback, 16).as_slice(), [7; 16], "{wrong}");
        }
    }
}
