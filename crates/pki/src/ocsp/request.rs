//! An OCSP request (RFC 6960 4.1.1), read and written. Everything in it is a stranger's.

use super::cert_id::CertId;
use super::nonce::Nonce;
use crate::oid;
use crate::read::{BadDer, Reader};
use crate::write;

/// Sixteen CertIDs of 120 octets, a nonce, and room for the signature that some clients add.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// The lightweight profile has one (RFC 9919 3.1.1); a gateway may ask for a chain or a handful of peers.
pub const MAX_ASKED: usize = 16;

/// Why bytes are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Longer than [`MAX_REQUEST_BYTES`].
    #[error("OCSP request has {0} bytes, at most {MAX_REQUEST_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 6960 4.1.1.
    #[error("OCSP request is malformed: {0}")]
    Malformed(String),
    /// More than [`MAX_ASKED`] certificates, or none.
    #[error("OCSP request asks about {0} certificates, 1 to {MAX_ASKED} are answered")]
    Count(usize),
    /// A critical extension that we do not know.
    #[error("OCSP request has the critical extension `{0}`, which is not processed here")]
    UnknownCritical(String),
}

impl From<BadDer> for BadRequest {
    fn from(error: BadDer) -> Self {
        BadRequest::Malformed(error.to_string())
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    asked: Vec<CertId>,
    nonce: Option<Nonce>,
}

impl Request {
    /// Reads a DER request. Fuzz entry point.
    pub fn parse(der: &[u8]) -> Result<Self, BadRequest> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(BadRequest::TooLarge(der.len()));
        }
        let mut outer = Reader::new(der);
        let mut request = outer.nested(write::SEQUENCE, "an OCSPRequest")?;
        outer.end("an OCSPRequest")?;
        let mut tbs = request.nested(write::SEQUENCE, "a TBSRequest")?;
        // optionalSignature: see the module's scope.
        request.optional(write::context_constructed(0))?;
        request.end("an OCSPRequest")?;
        version_one(&mut tbs)?;
        // requestorName: nobody has a right by their name.
        tbs.optional(write::context_constructed(1))?;
        let asked = request_list(tbs.nested(write::SEQUENCE, "the requestList")?)?;
        let mut nonce = None;
        if let Some(content) = tbs.optional(write::context_constructed(2))? {
            let mut extensions = extensions(content)?;
            while !extensions.is_empty() {
                let extension = extensions.extension()?;
                if extension.id == oid::OCSP_NONCE {
                    let found = Nonce::from_extension(extension.value)?;
                    if nonce.replace(found).is_some() {
                        return Err(BadRequest::Malformed("it has two nonces".into()));
                    }
                } else if extension.critical {
                    return Err(BadRequest::UnknownCritical(extension.id.to_string()));
                }
            }
        }
        tbs.end("a TBSRequest")?;
        Ok(Self { asked, nonce })
    }

    /// The certificates, in the client's order; at least one.
    pub fn asked(&self) -> &[CertId] {
        &self.asked
    }

    /// The nonce to be repeated.
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }
}

fn request_list(mut list: Reader<'_>) -> Result<Vec<CertId>, BadRequest> {
    let mut asked = Vec::new();
    while !list.is_empty() {
        let mut single = list.nested(write::SEQUENCE, "a Request")?;
        if asked.len() == MAX_ASKED {
            return Err(BadRequest::Count(asked.len() + 1));
        }
        asked.push(CertId::read(&mut single)?);
        if let Some(content) = single.optional(write::context_constructed(0))? {
            let mut extensions = extensions(content)?;
            while !extensions.is_empty() {
                let extension = extensions.extension()?;
                if extension.critical {
                    return Err(BadRequest::UnknownCritical(extension.id.to_string()));
                }
            }
        }
        single.end("a Request")?;
    }
    if asked.is_empty() { Err(BadRequest::Count(0)) } else { Ok(asked) }
}

/// EXPLICIT Extensions.
pub(super) fn extensions(content: &[u8]) -> Result<Reader<'_>, BadDer> {
    let mut outer = Reader::new(content);
    let inner = outer.nested(write::SEQUENCE, "the extensions")?;
    outer.end("the extensions")?;
    Ok(inner)
}

/// version [0] EXPLICIT, v1 being 0 and the default.
pub(super) fn version_one(reader: &mut Reader<'_>) -> Result<(), BadDer> {
    match reader.optional(write::context_constructed(0))? {
        None | Some([write::INTEGER, 1, 0]) => Ok(()),
        Some(_) => Err(BadDer::Value("the version")),
    }
}

/// A request for these certificates.
pub(super) fn write_request(ids: &[CertId], nonce: Option<&Nonce>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                for id in ids {
                    write::tlv(o, write::SEQUENCE, |o| o.extend_from_slice(id.whole()));
                }
            });
            if let Some(nonce) = nonce {
                write::tlv(o, write::context_constructed(2), |o| {
                    write::tlv(o, write::SEQUENCE, |o| nonce.write_extension(o));
                });
            }
        });
    });
    out
}
