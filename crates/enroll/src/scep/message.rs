//! What the signed attributes of a request say (RFC 8894 3.2.1), and what is inside of its envelope (3.3).

use std::fmt;

use der::{Reader, SliceReader};
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::write;
use zeroize::Zeroizing;

use super::algorithm::Algorithms;
use super::asn1::{self, CONTEXT_0, Element, Malformed};
use super::oid;
use super::refusal::Refusal;
use super::signed::Signed;

const TRANSACTION: &str =
    "the transactionID must be a string of 1 to 128 printable characters (RFC 8894 3.2.1.1)";
const NONCE: &str = "the senderNonce must be an OCTET STRING of 1 to 64 octets (RFC 8894 3.2.1.5)";
const TYPE: &str = "the messageType is missing or not a string (RFC 8894 3.2.1.2)";
const SEALED: &str = "the content is malformed";

/// certmonger writes a SHA-256 in decimal: 78 digits. Twice that is no identifier any more.
const MAX_TRANSACTION_BYTES: usize = 128;
/// RFC 8894 3.2.1.5 says 16.
const MAX_NONCE_BYTES: usize = 64;
/// RFC 2985 5.4.1, pkcs-9-ub-challengePassword.
const MAX_CHALLENGE_BYTES: usize = 255;

/// A string that the client chose for one enrollment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(Vec<u8>);

impl TransactionId {
    /// Its characters.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 8894 3.2.1.2, what clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageType {
    RenewalReq,
    PkcsReq,
    CertPoll,
    GetCert,
    GetCrl,
}

impl MessageType {
    pub fn read(text: &str) -> Result<Self, Refusal> {
        match text {
            "17" => Ok(Self::RenewalReq),
            "19" => Ok(Self::PkcsReq),
            "20" => Ok(Self::CertPoll),
            "21" => Ok(Self::GetCert),
            "22" => Ok(Self::GetCrl),
            other => Err(Refusal::MessageType(other.chars().take(16).collect())),
        }
    }
}

/// The attributes that a reply needs, whatever becomes of the request.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub message_type: String,
    pub transaction: TransactionId,
    pub sender_nonce: Vec<u8>,
}

/// Reads them. They are believed only after [`Signed::verify`].
pub(super) fn head(signed: &Signed<'_>) -> Result<Head, Malformed> {
    let transaction = signed.attribute(&oid::TRANSACTION_ID).and_then(text).ok_or(Malformed(TRANSACTION))?;
    if !(1..=MAX_TRANSACTION_BYTES).contains(&transaction.len()) {
        return Err(Malformed(TRANSACTION));
    }
    let nonce = signed.attribute(&oid::SENDER_NONCE).ok_or(Malformed(NONCE))?;
    let nonce = nonce.tagged(write::OCTET_STRING, NONCE)?.content;
    if !(1..=MAX_NONCE_BYTES).contains(&nonce.len()) {
        return Err(Malformed(NONCE));
    }
    Ok(Head {
        message_type: signed.attribute(&oid::MESSAGE_TYPE).and_then(text).ok_or(Malformed(TYPE))?.to_owned(),
        transaction: TransactionId(transaction.as_bytes().to_vec()),
        sender_nonce: nonce.to_vec(),
    })
}

/// The text of a UTF8String, PrintableString, TeletexString or IA5String, if it is printable ASCII: clients do not
/// agree on the type, and other characters stand in none of the values that are read with this.
fn text<'a>(element: &Element<'a>) -> Option<&'a str> {
    let is_string = matches!(element.tag, 0x0c | 0x13 | 0x14 | 0x16);
    let is_printable = element.content.iter().all(|byte| (0x20..0x7f).contains(byte));
    if is_string && is_printable { std::str::from_utf8(element.content).ok() } else { None }
}

/// A request for a certificate (RFC 8894 3.3.1).
pub(super) struct Request {
    pub csr: VerifiedCsr,
    pub challenge: Option<Zeroizing<String>>,
}

/// Reads the PKCS #10 in an opened envelope, and checks that it is signed with its own key. Says nothing of what is
/// wrong, see [`super::envelope`].
pub(super) fn request(text: &[u8], block_bytes: usize, accepted: Algorithms) -> Result<Request, Refusal> {
    let (der, padding) = first_element(text).ok_or(Refusal::Sealed)?;
    let csr = match accepted {
        Algorithms::Current => csr::verify(der),
        Algorithms::Legacy => csr::verify_legacy(der),
    };
    let csr = csr.map_err(|_| Refusal::Sealed)?;
    let challenge = challenge(der).map_err(|_| Refusal::Sealed)?;
    // Last, when all else is good, so that nothing can be learnt from how long a refusal takes.
    if !is_padding(padding, block_bytes) {
        return Err(Refusal::Sealed);
    }
    Ok(Request { csr, challenge })
}

/// The element that the text begins with, and what follows after it.
fn first_element(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let element = SliceReader::new(text).and_then(|mut reader| reader.tlv_bytes()).ok()?;
    text.split_at_checked(element.len())
}

// RFC 5652 6.3: one to a whole block of octets, each with their number.
fn is_padding(octets: &[u8], block_bytes: usize) -> bool {
    (1..=block_bytes).contains(&octets.len())
        && octets.iter().all(|octet| usize::from(*octet) == octets.len())
}

// RFC 2986 4.1, RFC 2985 5.4.1.
fn challenge(der: &[u8]) -> Result<Option<Zeroizing<String>>, Malformed> {
    let fields = asn1::one(der, write::SEQUENCE, SEALED)?.parts(SEALED)?;
    let info = fields.first().ok_or(Malformed(SEALED))?.parts(SEALED)?;
    let [_, _, _, attributes] = info.as_slice() else { return Err(Malformed(SEALED)) };
    let mut found = None;
    for attribute in attributes.tagged(CONTEXT_0, SEALED)?.parts(SEALED)? {
        let fields = attribute.parts(SEALED)?;
        let [id, values] = fields.as_slice() else { return Err(Malformed(SEALED)) };
        if id.oid(SEALED)? != oid::CHALLENGE_PASSWORD {
            continue;
        }
        let values = values.parts(SEALED)?;
        let ([value], None) = (values.as_slice(), &found) else { return Err(Malformed(SEALED)) };
        let text = text(value).filter(|text| text.len() <= MAX_CHALLENGE_BYTES).ok_or(Malformed(SEALED))?;
        found = Some(Zeroizing::new(text.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scep::testing::{CHALLENGE, DEVICE};

    #[test]
    fn a_request_with_a_wrong_padding_is_refused() {
        let der = DEVICE.csr(Some(CHALLENGE));
        let read = |padding: &[u8]| {
            request(&[der.as_slice(), padding].concat(), 16, Algorithms::Current)
                .map(|r| r.challenge.unwrap())
        };
        for good in [&[1][..], &[2, 2], &[16; 16]] {
            assert_eq!(read(good).unwrap().as_str(), CHALLENGE);
        }
        for bad in [&[][..], &[0], &[2], &[1, 2], &[2, 1], &[3, 2, 2], &[17; 17], &[0; 16]] {
            assert_eq!(read(bad).err(), Some(Refusal::Sealed), "{bad:?}");
        }
    }
}
