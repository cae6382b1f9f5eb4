//! The certificate that a client signs with: in PKCSReq a container for its key that it made itself.
//!
//! Read leniently, because nothing in it but the key is believed: certmonger's is version 1 with a serial number of 33
//! octets, which no CA may issue and which our own reader of certificates refuses. A reply is addressed to its issuer
//! and serial number as they stand (RFC 8894 3.2.2). Whether a RenewalReq's certificate is ours is not decided here.

use der::asn1::ObjectIdentifier;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};
use lanyard_pki::write;

use super::algorithm::{self, Algorithms};
use super::asn1::{self, CONTEXT_0, Element, Malformed};
use super::refusal::Refusal;

const WHAT: &str = "the signer's certificate is malformed";

/// A signer's certificate.
pub(super) struct Peer<'a> {
    pub der: &'a [u8],
    pub key: PublicKey,
    /// DER of the Name.
    pub issuer: &'a [u8],
    /// DER of the INTEGER.
    pub serial: &'a [u8],
    subject: &'a [u8],
    tbs: &'a [u8],
    algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

/// Issuer and serial number of a certificate in DER.
pub(super) fn issuer_and_serial<'a>(certificate: &Element<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    match certificate.parts(WHAT)?.as_slice() {
        [tbs, ..] => match *fields(tbs)? {
            [serial, _, issuer, ..] => Ok((issuer.whole, serial.whole)),
            _ => Err(Malformed(WHAT)),
        },
        _ => Err(Malformed(WHAT)),
    }
}

/// TBSCertificate from the serial number on: version 1 has no version field.
fn fields<'a>(tbs: &Element<'a>) -> Result<Box<[Element<'a>]>, Malformed> {
    let mut fields = tbs.tagged(write::SEQUENCE, WHAT)?.parts(WHAT)?;
    if fields.first().is_some_and(|first| first.tag == CONTEXT_0) {
        fields.remove(0);
    }
    Ok(fields.into_boxed_slice())
}

impl<'a> Peer<'a> {
    /// Reads a certificate; its key must be RSA, because the reply is encrypted to it.
    pub fn read(certificate: &Element<'a>) -> Result<Self, Refusal> {
        let parts = asn1::one(certificate.whole, write::SEQUENCE, WHAT)?.parts(WHAT)?;
        let [tbs, algorithm, signature] = parts.as_slice() else { return Err(Malformed(WHAT).into()) };
        let fields = fields(tbs)?;
        let [serial, _, issuer, _, subject, spki, ..] = &*fields else { return Err(Malformed(WHAT).into()) };
        let key = PublicKey::parse(spki.whole).map_err(Refusal::SignerKey)?;
        if !matches!(key.kind(), PublicKeyKind::Rsa(_)) {
            return Err(Refusal::SignerKeyNotRsa);
        }
        // The first octet of a BIT STRING counts its unused bits; a signature has none.
        let (write::BIT_STRING, [0, signature @ ..]) = (signature.tag, signature.content) else {
            return Err(Malformed(WHAT).into());
        };
        Ok(Self {
            der: certificate.whole,
            key,
            issuer: issuer.tagged(write::SEQUENCE, WHAT)?.whole,
            serial: serial.tagged(write::INTEGER, WHAT)?.whole,
            subject: subject.whole,
            tbs: tbs.whole,
            algorithm: algorithm.algorithm(WHAT)?.0,
            signature,
        })
    }

    /// Whether it was made by who holds its key.
    pub fn is_self_signed(&self, accepted: Algorithms) -> bool {
        self.is_self_issued()
            && algorithm::verify(&self.key, &self.algorithm, self.tbs, self.signature, accepted).is_ok()
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}
