//! The parts of a response as they are read (RFC 6960 4.2.1). Nothing here judges; that is [`super::read`].

use lanyard_domain::time::Timestamp;

use super::cert_id::{CertId, sha1};
use super::nonce::Nonce;
use super::read::{Ask, OcspError};
use super::request::{extensions, version_one};
use crate::certificate::Certificate;
use crate::oid;
use crate::read::{BadDer, Reader};
use crate::revocation::{Reason, Revocation, Status};
use crate::spki::KeyRefused;
use crate::write;

/// A responder may answer more than it was asked; more than this is no answer to one question.
const MAX_SINGLES: usize = 64;
/// Responder and its issuers.
const MAX_CERTIFICATES: usize = 4;

/// OCSPResponse: the octets of the BasicOCSPResponse.
pub(super) fn basic_response(der: &[u8]) -> Result<&[u8], OcspError> {
    let mut outer = Reader::new(der);
    let mut response = outer.nested(write::SEQUENCE, "an OCSPResponse")?;
    outer.end("an OCSPResponse")?;
    match response.take(write::ENUMERATED, "responseStatus")? {
        [0] => {}
        [1] => return Err(OcspError::NotSuccessful("it called the request malformed")),
        [2] => return Err(OcspError::NotSuccessful("internal error")),
        [3] => return Err(OcspError::NotSuccessful("try later")),
        [5] => return Err(OcspError::NotSuccessful("it wants a signed request")),
        [6] => return Err(OcspError::NotSuccessful("it does not answer for this CA")),
        _ => return Err(BadDer::Value("responseStatus").into()),
    }
    let mut bytes = response.nested(write::context_constructed(0), "responseBytes")?;
    response.end("an OCSPResponse")?;
    let mut inner = bytes.nested(write::SEQUENCE, "responseBytes")?;
    bytes.end("responseBytes")?;
    if inner.oid("responseType")? != oid::OCSP_BASIC {
        return Err(BadDer::Value("responseType").into());
    }
    let basic = inner.take(write::OCTET_STRING, "the response")?;
    inner.end("responseBytes")?;
    Ok(basic)
}

pub(super) fn certificates(rest: &mut Reader<'_>) -> Result<Vec<Certificate>, OcspError> {
    let Some(content) = rest.optional(write::context_constructed(0))? else { return Ok(Vec::new()) };
    let mut outer = Reader::new(content);
    let mut list = outer.nested(write::SEQUENCE, "the certificates")?;
    outer.end("the certificates")?;
    let mut out = Vec::new();
    while !list.is_empty() {
        if out.len() == MAX_CERTIFICATES {
            return Err(OcspError::Malformed(format!("more than {MAX_CERTIFICATES} certificates")));
        }
        let der = list.any()?.whole;
        out.push(Certificate::parse(der).map_err(|e| OcspError::Malformed(e.to_string()))?);
    }
    Ok(out)
}

/// ResponderID.
pub(super) enum ResponderId<'a> {
    Name(&'a [u8]),
    Key(&'a [u8]),
}

impl ResponderId<'_> {
    pub(super) fn is(&self, certificate: &Certificate) -> Result<bool, KeyRefused> {
        match self {
            ResponderId::Name(name) => Ok(certificate.subject_der() == *name),
            ResponderId::Key(hash) => {
                Ok(sha1(certificate.public_key().map_err(Clone::clone)?.bits()) == *hash)
            }
        }
    }
}

pub(super) struct ResponseData<'a> {
    pub responder: ResponderId<'a>,
    singles: Vec<Single>,
    pub nonce: Option<Nonce>,
}

pub(super) struct Single {
    id: CertId,
    pub status: Status,
    pub this_update: Timestamp,
    pub next_update: Option<Timestamp>,
}

impl<'a> ResponseData<'a> {
    pub(super) fn read(tbs: &'a [u8]) -> Result<Self, OcspError> {
        let mut outer = Reader::new(tbs);
        let mut data = outer.nested(write::SEQUENCE, "the ResponseData")?;
        outer.end("the ResponseData")?;
        version_one(&mut data)?;
        let responder = responder_id(&mut data)?;
        data.time("producedAt")?;
        let mut list = data.nested(write::SEQUENCE, "the responses")?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            if singles.len() == MAX_SINGLES {
                return Err(OcspError::Malformed(format!("more than {MAX_SINGLES} answers")));
            }
            singles.push(single(&mut list)?);
        }
        let mut nonce = None;
        if let Some(content) = data.optional(write::context_constructed(1))? {
            let mut extensions = extensions(content)?;
            while !extensions.is_empty() {
                let extension = extensions.extension()?;
                if extension.id == oid::OCSP_NONCE {
                    nonce = Some(Nonce::from_extension(extension.value)?);
                } else if extension.critical {
                    return Err(OcspError::UnknownCritical(extension.id.to_string()));
                }
            }
        }
        data.end("the ResponseData")?;
        Ok(Self { responder, singles, nonce })
    }

    /// The one answer about what was asked. Two would be two opinions.
    pub(super) fn about(&self, ask: &Ask) -> Result<&Single, OcspError> {
        let mut found = self.singles.iter().filter(|single| {
            single.id.hash() == ask.id().hash()
                && single.id.serial() == ask.id().serial()
                && ask.issuer().issued(&single.id)
        });
        let first = found.next().ok_or(OcspError::OtherCertificate)?;
        if found.next().is_some() {
            return Err(OcspError::Malformed("two answers about one certificate".into()));
        }
        Ok(first)
    }
}

fn responder_id<'a>(data: &mut Reader<'a>) -> Result<ResponderId<'a>, BadDer> {
    if let Some(name) = data.optional(write::context_constructed(1))? {
        return Ok(ResponderId::Name(name));
    }
    let mut explicit = data.nested(write::context_constructed(2), "the ResponderID")?;
    let hash = explicit.take(write::OCTET_STRING, "the ResponderID")?;
    explicit.end("the ResponderID")?;
    Ok(ResponderId::Key(hash))
}

fn single(list: &mut Reader<'_>) -> Result<Single, OcspError> {
    let mut single = list.nested(write::SEQUENCE, "a SingleResponse")?;
    let id = CertId::read(&mut single)?;
    let status = single.any()?;
    const UNKNOWN: u8 = write::context(2);
    const GOOD: u8 = write::context(0);
    const REVOKED: u8 = write::context_constructed(1);
    let status = match (status.tag, status.content) {
        (GOOD, []) => Status::Good,
        (UNKNOWN, []) => Status::Unknown,
        (REVOKED, info) => Status::Revoked(revoked_info(Reader::new(info))?),
        _ => return Err(BadDer::Value("a certificate's status").into()),
    };
    let this_update = single.time("thisUpdate")?.at;
    let next_update = match single.optional(write::context_constructed(0))? {
        None => None,
        Some(content) => {
            let mut explicit = Reader::new(content);
            let at = explicit.time("nextUpdate")?.at;
            explicit.end("nextUpdate")?;
            Some(at)
        }
    };
    if let Some(content) = single.optional(write::context_constructed(1))? {
        let mut extensions = extensions(content)?;
        while !extensions.is_empty() {
            let extension = extensions.extension()?;
            if extension.critical {
                return Err(OcspError::UnknownCritical(extension.id.to_string()));
            }
        }
    }
    single.end("a SingleResponse")?;
    Ok(Single { id, status, this_update, next_update })
}

fn revoked_info(mut info: Reader<'_>) -> Result<Revocation, BadDer> {
    let at = info.time("revocationTime")?.at;
    let mut reason = Reason::Unspecified;
    if let Some(content) = info.optional(write::context_constructed(0))? {
        let mut explicit = Reader::new(content);
        reason = match explicit.take(write::ENUMERATED, "a reason code")? {
            [code] => Reason::from_code(*code).ok_or(BadDer::Value("a reason code"))?,
            _ => return Err(BadDer::Value("a reason code")),
        };
        explicit.end("a reason code")?;
    }
    info.end("RevokedInfo")?;
    Ok(Revocation { at, reason })
}
