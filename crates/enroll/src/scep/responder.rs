//! Who answers: the certificate that opens and signs, the CA certificates that are given out, what may be read.

use lanyard_pki::certificate::{Certificate, CertificateError};
use lanyard_pki::spki::PublicKeyKind;
use lanyard_pki::write;

use super::algorithm::Algorithms;
use super::asn1;
use super::cipher::MAX_KEY_BYTES;
use super::envelope::ContentKey;
use super::peer;
use super::signed::{self, Signer};
use crate::reply::Reply;

/// A root, an issuing CA and a cross certificate for two generations, and the responder's own.
const MAX_CERTIFICATES: usize = 8;

/// Why a responder cannot be made of these certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// One of them is no certificate.
    #[error("SCEP certificate {number}: {error}")]
    Certificate {
        /// Counted from 1, the responder's own first.
        number: usize,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The responder's key is not RSA.
    #[error("the SCEP responder's certificate must have an RSA key: clients encrypt to it (RFC 8894 2.9)")]
    NotRsa,
    /// Too many.
    #[error("{0} certificates for SCEP, at most {MAX_CERTIFICATES} are given out")]
    TooMany(usize),
    /// A next generation without a certificate.
    #[error("the next CA generation needs at least one certificate")]
    NoNext,
}

/// The server side of SCEP. Holds certificates, no keys.
#[derive(Debug, Clone)]
pub struct Responder {
    /// Its own first.
    certificates: Vec<Vec<u8>>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    next: Vec<Vec<u8>>,
    /// Serial numbers of certificates before, DER.
    former: Vec<Vec<u8>>,
    algorithms: Algorithms,
}

/// Randomness for one message: a nonce, a content key and its initialisation vector.
#[derive(Clone)]
pub struct Fresh {
    nonce: [u8; 16],
    key: [u8; MAX_KEY_BYTES],
    iv: [u8; 16],
}

impl Fresh {
    /// From random bytes that are used nowhere else.
    pub fn from_random(bytes: [u8; 64]) -> Self {
        let mut fresh = Self { nonce: [0; 16], key: [0; MAX_KEY_BYTES], iv: [0; 16] };
        let Self { nonce, key, iv } = &mut fresh;
        for (to, from) in nonce.iter_mut().chain(key).chain(iv).zip(bytes) {
            *to = from;
        }
        fresh
    }

    pub(super) fn nonce(&self) -> &[u8; 16] {
        &self.nonce
    }

    pub(super) fn key(&self) -> &[u8; MAX_KEY_BYTES] {
        &self.key
    }

    pub(super) fn content_key(&self) -> ContentKey<'_> {
        ContentKey { key: &self.key, iv: &self.iv }
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Responder {
    /// A responder with this certificate (DER; digitalSignature and keyEncipherment, RSA), below the issuing CA and its
    /// issuers, in order. The issuing CA itself may answer too, with its own certificate first: then its key decrypts what
    /// strangers send, so better it does not.
    pub fn new(certificate: &[u8], issuers: &[Vec<u8>], algorithms: Algorithms) -> Result<Self, SetupError> {
        let certificates = [&[certificate.to_vec()], issuers].concat();
        let parsed = parse(&certificates)?;
        let is_rsa = parsed.first().and_then(|own| own.public_key().ok()).map(|key| key.kind());
        if !matches!(is_rsa, Some(PublicKeyKind::Rsa(_))) {
            return Err(SetupError::NotRsa);
        }
        let (issuer, serial) = named(certificate, 1)?;
        Ok(Self { certificates, issuer, serial, next: Vec::new(), former: Vec::new(), algorithms })
    }

    /// The same with the CA certificates of the next generation, for GetNextCACert (RFC 8894 4.7).
    pub fn with_next(mut self, next: Vec<Vec<u8>>) -> Result<Self, SetupError> {
        if parse(&next)?.is_empty() {
            return Err(SetupError::NoNext);
        }
        self.next = next;
        Ok(self)
    }

    /// The same, which also opens what was encrypted to these certificates of the same key before: clients keep the one
    /// that they got for longer than it is good.
    pub fn with_former(mut self, former: &[Vec<u8>]) -> Result<Self, SetupError> {
        let numbered = former.iter().zip(1..);
        self.former = numbered
            .map(|(der, number)| named(der, number).map(|(_, serial)| serial))
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    pub(super) fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    /// Whether an envelope for this serial number (DER) is for us.
    pub(super) fn is_addressed(&self, serial: &[u8]) -> bool {
        self.serial == serial || self.former.iter().any(|former| former == serial)
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        let certificate = self.certificates.first().map(Vec::as_slice).unwrap_or_default();
        Signer { certificate, issuer: &self.issuer, serial: &self.serial }
    }

    /// RFC 8894 3.5.2. strongSwan 5.9.8 looks for SHA-256 in the wrong place and goes on only when the longer hashes and
    /// GetNextCACert are there too.
    pub(super) fn capabilities(&self) -> Reply {
        let legacy = match self.algorithms {
            Algorithms::Current => "",
            Algorithms::Legacy => "DES3\nSHA-1\n",
        };
        let current =
            "AES\nPOSTPKIOperation\nRenewal\nSCEPStandard\nSHA-256\nSHA-384\nSHA-512\nGetNextCACert\n";
        Reply::new(200, "text/plain", format!("{current}{legacy}"))
    }

    /// RFC 8894 4.2.1: one certificate as it is, several in a SignedData without signers.
    pub(super) fn ca_certificate(&self) -> Reply {
        match self.certificates.as_slice() {
            [only] => Reply::new(200, "application/x-x509-ca-cert", only.clone()),
            several => {
                let body = signed::degenerate(several);
                Reply::new(200, "application/x-x509-ca-ra-cert", body)
            }
        }
    }

    /// RFC 8894 4.7.1: the next generation, signed by this one. Nothing if there is no next one.
    pub(super) fn next_ca_certificate<E>(
        &self,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Option<Result<Reply, E>> {
        if self.next.is_empty() {
            return None;
        }
        let content = signed::degenerate(&self.next);
        let body = signed::write(&content, Vec::new(), &self.signer(), sign);
        Some(body.map(|body| Reply::new(200, "application/x-x509-next-ca-cert", body)))
    }
}

/// Issuer and serial number, DER.
fn named(certificate: &[u8], number: usize) -> Result<(Vec<u8>, Vec<u8>), SetupError> {
    asn1::one(certificate, write::SEQUENCE, "")
        .and_then(|whole| peer::issuer_and_serial(&whole).map(|(i, s)| (i.to_vec(), s.to_vec())))
        .map_err(|e| SetupError::Certificate { number, error: CertificateError::Malformed(e.to_string()) })
}

fn parse(certificates: &[Vec<u8>]) -> Result<Vec<Certificate>, SetupError> {
    if certificates.len() > MAX_CERTIFICATES {
        return Err(SetupError::TooMany(certificates.len()));
    }
    let numbered = certificates.iter().zip(1..);
    numbered
        .map(|(der, number)| {
            Certificate::parse(der).map_err(|error| SetupError::Certificate { number, error })
        })
        .collect()
}
