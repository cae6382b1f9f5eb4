//! Bags of certificates: the certs-only form of PKCS#7/CMS SignedData (RFC 5652 5.1, RFC 5272 4.1), signed by nobody.
//!
//! EST and SCEP carry issued certificates and CA certificates in it, and trust bundles come in it. In scope: writing
//! DER; reading DER within limits. Out of scope: signatures, encryption, BER (SCEP's own concern), and whether
//! anything in a bag is to be trusted: nothing in this form proves where it came from.

use std::collections::HashSet;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::certificate::MAX_CERTIFICATE_BYTES;
use crate::{oid, write};

/// A root, an issuing CA and two cross certificates for each of eight generations and sites.
pub const MAX_CERTIFICATES: usize = 32;
/// 32 certificates of 4 KiB; those of today's CAs have 0.6 to 2 KiB, of ML-DSA-65 about 6 KiB.
pub const MAX_BAG_BYTES: usize = 128 * 1024;

/// `[0] EXPLICIT`, and `[0] IMPLICIT` of a SET or SEQUENCE.
const CONTEXT_0: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
/// `[1] IMPLICIT` of a SET.
const CONTEXT_1: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(1) };

/// Why bytes are not a bag of certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs7Error {
    /// Longer than [`MAX_BAG_BYTES`].
    #[error("PKCS#7 message has {0} bytes, at most {MAX_BAG_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 5652.
    #[error("PKCS#7 message is malformed: {0}")]
    Malformed(String),
    /// Another content type.
    #[error("PKCS#7 message has content type {0}: expected signed data (1.2.840.113549.1.7.2)")]
    NotSignedData(ObjectIdentifier),
    /// Somebody signed it.
    #[error("PKCS#7 message has signers: expected the certs-only form (RFC 5272 4.1)")]
    Signed,
    /// More than [`MAX_CERTIFICATES`].
    #[error("PKCS#7 message has more than {MAX_CERTIFICATES} certificates")]
    TooMany,
    /// One of the certificates is longer than we read.
    #[error("a certificate in the PKCS#7 message has {0} bytes, at most {MAX_CERTIFICATE_BYTES} are read")]
    CertificateTooLarge(usize),
    /// An attribute certificate or an older form.
    #[error("PKCS#7 message holds something else than X.509 certificates (RFC 5652 10.2.2)")]
    OtherCertificate,
}

/// A certs-only message with these certificates (DER), each once.
///
/// They stand in the order of DER, not in the order given (X.690 11.6): who reads must not take the first for the leaf.
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(certificates.iter().map(|c| c.len()).sum::<usize>() + 64);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::oid(o, &oid::SIGNED_DATA);
        write::tlv(o, write::context_constructed(0), |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                // RFC 5652 5.1: version 1, for there are no attribute certificates, other formats or signers.
                write::bytes(o, write::INTEGER, &[1]);
                write::bytes(o, write::SET, &[]);
                // RFC 5652 5.2: type data, and no content at all.
                write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::ID_DATA));
                if !certificates.is_empty() {
                    write::set_of(o, write::context_constructed(0), certificates);
                }
                write::bytes(o, write::SET, &[]);
            });
        });
    });
    out
}

/// The certificates of a certs-only message as they stand in it, each once; there may be none. Fuzz entry point.
///
/// Forgiven, because other servers write it: a SET in another order, an empty content.
pub fn read(der: &[u8]) -> Result<Vec<&[u8]>, Pkcs7Error> {
    if der.len() > MAX_BAG_BYTES {
        return Err(Pkcs7Error::TooLarge(der.len()));
    }
    let bag = open(der).map_err(|e| Pkcs7Error::Malformed(e.to_string()))?;
    if bag.content_type != oid::SIGNED_DATA {
        return Err(Pkcs7Error::NotSignedData(bag.content_type));
    }
    let parts = split(bag.signed_data).map_err(|e| Pkcs7Error::Malformed(e.to_string()))?;
    if !parts.signers.is_empty() {
        return Err(Pkcs7Error::Signed);
    }
    certificates(parts.certificates)
}

struct Bag<'a> {
    content_type: ObjectIdentifier,
    signed_data: &'a [u8],
}

fn open(der: &[u8]) -> der::Result<Bag<'_>> {
    let mut reader = SliceReader::new(der)?;
    let bag = reader.sequence(|r| {
        let content_type = r.decode()?;
        let content = expect(r, CONTEXT_0)?;
        Ok::<_, der::Error>(Bag { content_type, signed_data: content })
    })?;
    reader.finish()?;
    Ok(bag)
}

struct Parts<'a> {
    certificates: &'a [u8],
    signers: &'a [u8],
}

fn split(signed_data: &[u8]) -> der::Result<Parts<'_>> {
    let mut reader = SliceReader::new(signed_data)?;
    let parts = reader.sequence(|r| {
        expect(r, Tag::Integer)?;
        // Digest algorithms: of no signature, so of no meaning.
        expect(r, Tag::Set)?;
        expect(r, Tag::Sequence)?;
        let mut next: AnyRef<'_> = r.decode()?;
        let mut certificates: &[u8] = &[];
        if next.tag() == CONTEXT_0 {
            certificates = next.value();
            next = r.decode()?;
        }
        // Revocation lists have their own way here; those in a bag are skipped.
        if next.tag() == CONTEXT_1 {
            next = r.decode()?;
        }
        next.tag().assert_eq(Tag::Set)?;
        Ok::<_, der::Error>(Parts { certificates, signers: next.value() })
    })?;
    reader.finish()?;
    Ok(parts)
}

fn expect<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<&'a [u8]> {
    let any: AnyRef<'a> = reader.decode()?;
    any.tag().assert_eq(tag)?;
    Ok(any.value())
}

fn certificates(set: &[u8]) -> Result<Vec<&[u8]>, Pkcs7Error> {
    let malformed = |e: der::Error| Pkcs7Error::Malformed(e.to_string());
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut rest = set;
    while !rest.is_empty() {
        let mut reader = SliceReader::new(rest).map_err(malformed)?;
        let certificate = reader.tlv_bytes().map_err(malformed)?;
        rest = rest.get(certificate.len()..).unwrap_or_default();
        if certificate.first() != Some(&write::SEQUENCE) {
            return Err(Pkcs7Error::OtherCertificate);
        }
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            return Err(Pkcs7Error::CertificateTooLarge(certificate.len()));
        }
        if seen.insert(certificate) {
            out.push(certificate);
        }
        if out.len() > MAX_CERTIFICATES {
            return Err(Pkcs7Error::TooMany);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Installation;

    fn chain() -> Vec<Vec<u8>> {
        let a = Installation::new();
        [
            a.device().certificate,
            a.authority.issuing.certificate().clone(),
            a.authority.root.certificate().clone(),
        ]
        .iter()
        .map(|c| c.der().to_vec())
        .collect()
    }

    fn slices(chain: &[Vec<u8>]) -> Vec<&[u8]> {
        chain.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn what_is_written_reads_back_each_certificate_once() {
        let chain = chain();
        let twice = [slices(&chain), slices(&chain)].concat();
        let der = certs_only(&twice);
        assert_eq!(der, certs_only(&slices(&chain)));
        let mut sorted = slices(&chain);
        sorted.sort_unstable();
        assert_eq!(read(&der).unwrap(), sorted);
        assert_eq!(read(&certs_only(&[])).unwrap(), Vec::<&[u8]>::new());
    }

    // I12
    #[test]
    fn a_cut_at_any_byte_is_refused() {
        let chain = chain();
        let der = certs_only(&slices(&chain));
        for at in 0..der.len() {
            assert!(read(&der[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(read(&[der.as_slice(), &[0]].concat()), Err(Pkcs7Error::Malformed(_))));
    }

    // I12
    #[test]
    fn a_bag_beyond_the_limits_is_not_read() {
        assert_eq!(read(&vec![0x30; MAX_BAG_BYTES + 1]), Err(Pkcs7Error::TooLarge(MAX_BAG_BYTES + 1)));
        let small = |n: u16| {
            let mut out = Vec::new();
            write::bytes(&mut out, write::SEQUENCE, &n.to_be_bytes());
            out
        };
        let many: Vec<Vec<u8>> = (0..=MAX_CERTIFICATES as u16).map(small).collect();
        assert_eq!(read(&certs_only(&slices(&many))), Err(Pkcs7Error::TooMany));
        assert_eq!(read(&certs_only(&slices(&many[1..]))).unwrap().len(), MAX_CERTIFICATES);
        let mut long = Vec::new();
        write::bytes(&mut long, write::SEQUENCE, &vec![0; MAX_CERTIFICATE_BYTES]);
        assert_eq!(read(&certs_only(&[&long])), Err(Pkcs7Error::CertificateTooLarge(long.len())));
    }

    #[test]
    fn what_is_no_bag_of_certificates_is_refused() {
        let chain = chain();
        let der = certs_only(&slices(&chain));
        // id-signedData ends in 2; 3 is envelopedData.
        let mut other = der.clone();
        let at = other.windows(9).position(|w| w == oid::SIGNED_DATA.as_bytes()).unwrap() + 8;
        other[at] = 3;
        assert!(matches!(read(&other), Err(Pkcs7Error::NotSignedData(_))));
        let mut signed = Vec::new();
        write::tlv(&mut signed, write::SEQUENCE, |o| {
            write::oid(o, &oid::SIGNED_DATA);
            write::tlv(o, write::context_constructed(0), |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::INTEGER, &[1]);
                    write::bytes(o, write::SET, &[]);
                    write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::ID_DATA));
                    write::tlv(o, write::SET, |o| write::bytes(o, write::SEQUENCE, &[]));
                });
            });
        });
        assert_eq!(read(&signed), Err(Pkcs7Error::Signed));
        // [1] in the SET of certificates is an attribute certificate.
        assert_eq!(read(&certs_only(&[&[0xa1, 0]])), Err(Pkcs7Error::OtherCertificate));
    }
}
