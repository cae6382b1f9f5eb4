//! The TBSCertificate (RFC 5280 4.1.2) as bytes: constant parts come pre-encoded, the rest is spliced in.

use lanyard_domain::time::Timestamp;

use crate::oid;
use crate::serial::Serial;
use crate::write::{self, Critical};

/// All that varies between certificates, ready to be written.
pub(crate) struct Tbs<'a> {
    pub serial: &'a Serial,
    /// DER of the AlgorithmIdentifier of the issuer's signature.
    pub signature_algorithm: &'a [u8],
    /// DER of a Name.
    pub issuer: &'a [u8],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// DER of a Name.
    pub subject: &'a [u8],
    pub spki: &'a [u8],
    /// DER of Extension values one after the other.
    pub extensions: &'a [&'a [u8]],
}

impl Tbs<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(640);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            // [0] EXPLICIT Version v3
            o.extend_from_slice(&[0xa0, 3, write::INTEGER, 1, 2]);
            write::bytes(o, write::INTEGER, &self.serial.der_content());
            o.extend_from_slice(self.signature_algorithm);
            o.extend_from_slice(self.issuer);
            write::tlv(o, write::SEQUENCE, |o| {
                write::time(o, self.not_before);
                write::time(o, self.not_after);
            });
            o.extend_from_slice(self.subject);
            o.extend_from_slice(self.spki);
            write::tlv(o, write::context_constructed(3), |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    for extension in self.extensions {
                        o.extend_from_slice(extension);
                    }
                });
            });
        });
        out
    }
}

pub(crate) fn subject_key_id(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    write::extension(&mut out, &oid::SUBJECT_KEY_IDENTIFIER, Critical::No, |o| {
        write::bytes(o, write::OCTET_STRING, id);
    });
    out
}

pub(crate) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    write::extension(&mut out, &oid::AUTHORITY_KEY_IDENTIFIER, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::context(0), id));
    });
    out
}

/// The value of noRevAvail is NULL, the extension is not critical (RFC 9608 2).
pub(crate) fn no_rev_avail() -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write::extension(&mut out, &oid::NO_REV_AVAIL, Critical::No, |o| o.extend_from_slice(&[5, 0]));
    out
}

/// The AlgorithmIdentifier of a signature. Those of RSA carry NULL (RFC 4055 5), those of ECDSA, Ed25519 and ML-DSA
/// nothing (RFC 5758 3.2, RFC 8410 3, RFC 9881 2).
pub(crate) fn algorithm_identifier(id: &der::asn1::ObjectIdentifier) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::oid(o, id);
        if oid::is_rsa_signature(id) {
            o.extend_from_slice(&[5, 0]);
        }
    });
    out
}
