//! CertID (RFC 6960 4.1.1): a certificate named by digests of its issuer and its serial number.
//!
//! SHA-256 and SHA-1 (RFC 9919 3.1.1 has clients use the first and servers know both); here SHA-1 only finds the
//! issuer, nothing rests on it.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};

use crate::certificate::Certificate;
use crate::oid;
use crate::read::{BadDer, Reader};
use crate::serial::Serial;
use crate::spki::KeyRefused;
use crate::write;

/// With which digest a CertID names the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// SHA-1, what most clients in the field send.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// Whether the digest's AlgorithmIdentifier has parameters; both forms are sent (RFC 5754 2 wants them absent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Parameters {
    Null,
    Absent,
}

/// How a CertID is written apart from whom it names. Four forms; each has its own answer in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub hash: HashKind,
    pub parameters: Parameters,
}

impl Form {
    pub(super) const ALL: [Form; 4] = [
        Form { hash: HashKind::Sha1, parameters: Parameters::Null },
        Form { hash: HashKind::Sha1, parameters: Parameters::Absent },
        Form { hash: HashKind::Sha256, parameters: Parameters::Null },
        Form { hash: HashKind::Sha256, parameters: Parameters::Absent },
    ];
}

/// One certificate that a request asks about, as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertId {
    /// The bytes: an answer repeats them.
    whole: Vec<u8>,
    /// `None`: another digest, or parameters that are not NULL.
    form: Option<Form>,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    /// `None`: no certificate can have it.
    serial: Option<Serial>,
}

impl CertId {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, BadDer> {
        if !reader.next_is(write::SEQUENCE) {
            return Err(BadDer::Expected("a CertID"));
        }
        let element = reader.any()?;
        let mut inner = Reader::new(element.content);
        let algorithm = inner.algorithm("the hash algorithm")?;
        let name_hash = inner.take(write::OCTET_STRING, "issuerNameHash")?;
        let key_hash = inner.take(write::OCTET_STRING, "issuerKeyHash")?;
        let serial = inner.take(write::INTEGER, "serialNumber")?;
        inner.end("a CertID")?;
        let hash = match algorithm.oid {
            oid::SHA1 => Some(HashKind::Sha1),
            oid::SHA256 => Some(HashKind::Sha256),
            _ => None,
        };
        let parameters = match algorithm.parameters {
            None => Some(Parameters::Absent),
            Some([write::NULL, 0]) => Some(Parameters::Null),
            Some(_) => None,
        };
        Ok(Self {
            whole: element.whole.to_vec(),
            form: hash.zip(parameters).map(|(hash, parameters)| Form { hash, parameters }),
            name_hash: name_hash.to_vec(),
            key_hash: key_hash.to_vec(),
            serial: Serial::from_der_content(serial).ok(),
        })
    }

    /// The serial number, if a certificate can have it.
    pub fn serial(&self) -> Option<Serial> {
        self.serial
    }

    /// With which digest it names the issuer, if with one of ours.
    pub fn hash(&self) -> Option<HashKind> {
        self.form.map(|form| form.hash)
    }

    pub(super) fn form(&self) -> Option<Form> {
        self.form
    }

    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }
}

/// The digests of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerId {
    spki_sha256: [u8; 32],
    sha1: [[u8; 20]; 2],
    sha256: [[u8; 32]; 2],
}

impl IssuerId {
    /// The digests of a CA's name and key.
    pub fn of(issuer: &Certificate) -> Result<Self, KeyRefused> {
        let key = issuer.public_key().map_err(Clone::clone)?;
        let parts = [issuer.subject_der(), key.bits()];
        Ok(Self { spki_sha256: key.sha256(), sha1: parts.map(sha1), sha256: parts.map(crate::spki::sha256) })
    }

    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }

    /// Whether a CertID names a certificate of this issuer.
    pub fn issued(&self, id: &CertId) -> bool {
        let Some(form) = id.form else { return false };
        let (name, key) = self.hashes(form.hash);
        id.name_hash == name && id.key_hash == key
    }

    fn hashes(&self, hash: HashKind) -> (&[u8], &[u8]) {
        match hash {
            HashKind::Sha1 => {
                let [name, key] = &self.sha1;
                (name, key)
            }
            HashKind::Sha256 => {
                let [name, key] = &self.sha256;
                (name, key)
            }
        }
    }

    /// The CertID of a certificate of this issuer.
    pub(super) fn cert_id(&self, form: Form, serial: &Serial) -> CertId {
        let (name, key) = self.hashes(form.hash);
        let mut whole = Vec::with_capacity(128);
        write::tlv(&mut whole, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(
                    o,
                    match form.hash {
                        HashKind::Sha1 => &oid::SHA1,
                        HashKind::Sha256 => &oid::SHA256,
                    },
                );
                if form.parameters == Parameters::Null {
                    write::bytes(o, write::NULL, &[]);
                }
            });
            write::bytes(o, write::OCTET_STRING, name);
            write::bytes(o, write::OCTET_STRING, key);
            write::bytes(o, write::INTEGER, &serial.der_content());
        });
        CertId {
            whole,
            form: Some(form),
            name_hash: name.to_vec(),
            key_hash: key.to_vec(),
            serial: Some(*serial),
        }
    }
}

/// SHA-1, for the names in OCSP only.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().zip(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()) {
        *to = *from;
    }
    out
}
