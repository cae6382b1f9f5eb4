//! Certificates that exist: ours after signing, and those that peers show. Bounded, parsed once, never judged here.
//!
//! In scope: fields, thumbprint, the identity in the names, PEM and chains with limits. Out of scope: whether a
//! certificate is to be trusted ([`crate::path`]).

use std::fmt;
use std::net::IpAddr;

use der::Decode;
use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::facts::Facts;
pub use crate::identity::{NotOurs, PeerIdentity};
use crate::read::signed;
use crate::serial::{BadSerial, Serial};
use crate::spki::{KeyRefused, PublicKey, sha256};

/// A P-256 leaf of ours has about 700 bytes, an ML-DSA-87 chain element about 8 KiB.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Leaf, issuing CA, and room for two cross certificates of a rollover.
pub const MAX_CHAIN: usize = 4;
/// Four certificates of the largest size, in base64 (4/3) with comments of the tools that wrote them.
const MAX_PEM_BYTES: usize = 128 * 1024;

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`MAX_CERTIFICATE_BYTES`].
    #[error("certificate has {0} bytes, at most {MAX_CERTIFICATE_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 5280.
    #[error("certificate is malformed: {0}")]
    Malformed(String),
    /// A serial that RFC 5280 forbids.
    #[error("certificate: {0}")]
    Serial(#[from] BadSerial),
    /// The two signature algorithm fields differ.
    #[error("certificate has two different signature algorithms (RFC 5280 4.1.1.2)")]
    AlgorithmMismatch,
    /// Not PEM, or without a certificate.
    #[error("no certificate in PEM form found: expected `-----BEGIN CERTIFICATE-----`")]
    NoPem,
    /// PEM that ends early or is not base64.
    #[error("PEM is malformed: {0}")]
    Pem(String),
    /// Longer than a chain can be.
    #[error("chain of {0} certificates, at most {MAX_CHAIN} are read")]
    ChainTooLong(usize),
}

/// A parsed certificate.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    facts: Facts,
    serial: Serial,
    thumbprint: [u8; 32],
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}
impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {} to {})", self.serial, self.not_before(), self.not_after())
    }
}

impl Certificate {
    /// Reads one DER certificate. Fuzz entry point.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let malformed = |e: der::Error| CertificateError::Malformed(e.to_string());
        let parsed = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        if parsed.signature_algorithm() != parsed.tbs_certificate().signature() {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let facts = Facts::read(parsed.tbs_certificate()).map_err(malformed)?;
        // RFC 5280 4.2. Readers differ in whether the first or the last of two counts; that is a way to be two things.
        if let Some(twice) = facts.repeated_extension() {
            return Err(CertificateError::Malformed(format!("extension `{twice}` stands twice")));
        }
        let serial = Serial::from_der_content(&facts.serial)?;
        Ok(Self { der: CertificateDer::from(der.to_vec()), facts, serial, thumbprint: sha256(der) })
    }

    /// The bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
    /// Where it says that its issuer's certificate is (RFC 5280 4.2.2.1), if it does.
    pub fn issuer_address(&self) -> Option<String> {
        let mut access = self.facts.access.iter();
        access.find(|(method, _)| *method == crate::oid::CA_ISSUERS).and_then(|(_, uri)| uri.clone())
    }
    /// Its serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }
    /// First second of its validity.
    pub fn not_before(&self) -> Timestamp {
        self.facts.not_before.at
    }
    /// Last second of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after.at
    }
    /// SHA-256 of the bytes: the `x5t#S256` of RFC 8705 3.1.
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.facts.spki_sha256
    }
    /// Its key, if it is of an accepted kind and strength.
    pub fn public_key(&self) -> Result<&PublicKey, &KeyRefused> {
        self.facts.key.as_ref()
    }
    /// Whether it may sign others.
    pub fn is_ca(&self) -> bool {
        self.facts.is_ca()
    }
    /// Whether it bounds the names below it (RFC 5280 4.2.1.10).
    pub fn is_constrained(&self) -> bool {
        self.facts.name_constraints.is_some()
    }
    /// DER of its subject.
    pub fn subject_der(&self) -> &[u8] {
        &self.facts.subject
    }
    /// Its subject in words (RFC 4514).
    pub fn subject_text(&self) -> String {
        x509_cert::name::Name::from_der(&self.facts.subject).map(|n| n.to_string()).unwrap_or_default()
    }
    /// Its issuer's name in words (RFC 4514).
    pub fn issuer_text(&self) -> String {
        x509_cert::name::Name::from_der(&self.facts.issuer).map(|n| n.to_string()).unwrap_or_default()
    }
    /// The organisation of its subject, where it names one.
    pub fn organization(&self) -> Option<String> {
        let name = x509_cert::name::Name::from_der(&self.facts.subject).ok()?;
        let found = name.iter().find(|attribute| attribute.oid == crate::oid::ORGANIZATION)?;
        std::str::from_utf8(found.value.value()).ok().map(str::to_owned)
    }
    /// DER of its issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.facts.issuer
    }
    /// Its subjectKeyIdentifier: what a protocol may call its key by.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.facts.subject_key_id.as_deref()
    }
    /// The algorithm of the issuer's signature on it.
    pub fn signature_algorithm(&self) -> ObjectIdentifier {
        self.facts.signature_algorithm
    }
    /// Whether its key may sign messages: without keyUsage there is no restriction (RFC 5280 4.2.1.3).
    pub fn may_sign_messages(&self) -> bool {
        self.facts.key_usage.is_none_or(|usage| usage.digital_signature())
    }
    /// The DNS names in it.
    pub fn dns_names(&self) -> &[String] {
        self.facts.alt_names.as_ref().map(|n| n.dns.as_slice()).unwrap_or_default()
    }
    /// The addresses in it.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        self.facts.alt_names.as_ref().map(|n| n.ips.as_slice()).unwrap_or_default()
    }
    /// After this moment it is to be renewed: two thirds of the lifetime leave the last third for retries.
    pub fn renew_at(&self) -> Timestamp {
        let lifetime = self.not_after().seconds_since(self.not_before());
        self.not_before().plus_seconds(lifetime / 3 * 2)
    }

    /// Whether the key of `issuer`, a CA, signed it. Says nothing about names, times and trust.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let (Ok(envelope), Ok(key)) = (signed(&self.der, "a Certificate"), issuer.public_key()) else {
            return false;
        };
        issuer.is_ca() && key.verify(&envelope.algorithm.oid, envelope.tbs, envelope.signature).is_ok()
    }

    /// Whom it names, if its names have the form that our profiles write. Says nothing about trust.
    pub fn identity(&self) -> Result<PeerIdentity, NotOurs> {
        self.facts.alt_names.as_ref().ok_or(NotOurs("there are none"))?.identity()
    }

    /// One PEM block.
    pub fn to_pem(&self) -> String {
        pem_of(&self.der)
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The PEM block of a certificate's DER, which is not looked at.
pub fn pem_of(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    // RFC 7468 2: 64 characters a line.
    let mut out = String::with_capacity(body.len() + body.len() / 64 + 64);
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    for (i, c) in body.chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out.push_str("\n-----END CERTIFICATE-----\n");
    out
}

/// Reads the certificates of a PEM text, at least one, at most [`MAX_CHAIN`]. Fuzz entry point.
pub fn chain_from_pem(pem: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(CertificateError::TooLarge(pem.len()));
    }
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|e| CertificateError::Pem(e.to_string()))?;
        if chain.len() == MAX_CHAIN {
            return Err(CertificateError::ChainTooLong(chain.len() + 1));
        }
        chain.push(Certificate::parse(&der)?);
    }
    if chain.is_empty() { Err(CertificateError::NoPem) } else { Ok(chain) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oid;
    use crate::testing::{self, Installation, NOW};

    // I12
    #[test]
    fn a_certificate_with_an_extension_twice_is_not_read() {
        let a = Installation::new();
        let (_, csr) = a.csr();
        let der = a.draft_der(csr.key(), |d| {
            d.extensions.push(("second", testing::purposes(&[oid::SERVER_AUTH])));
        });
        let refused = Certificate::parse(&der).unwrap_err().to_string();
        assert!(refused.contains("2.5.29.37") && refused.contains("twice"), "{refused}");
    }

    #[test]
    fn a_certificate_beyond_the_size_limit_is_not_read() {
        let der = vec![0x30; MAX_CERTIFICATE_BYTES + 1];
        assert_eq!(Certificate::parse(&der), Err(CertificateError::TooLarge(der.len())));
    }

    #[test]
    fn a_certificate_with_two_signature_algorithms_is_not_read() {
        let der = Installation::new().device().certificate.der().to_vec();
        let sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let last = der.windows(8).rposition(|w| w == sha256).unwrap();
        let mut changed = der.clone();
        changed[last + 7] = 3;
        assert_eq!(Certificate::parse(&changed), Err(CertificateError::AlgorithmMismatch));
    }

    #[test]
    fn the_thumbprint_is_the_digest_of_the_bytes() {
        let certificate = Installation::new().device().certificate;
        assert_eq!(certificate.thumbprint(), sha256(certificate.der()));
        assert!(certificate.renew_at() > NOW && certificate.renew_at() < certificate.not_after());
    }
}
