//! Asking and judging: a request of ours, and what the answer to it is worth (RFC 6960 3.2, RFC 9919 5).
//!
//! Used for endorsement keys and IDevIDs of makers that run a responder, and by tests on our own.

use lanyard_domain::time::Timestamp;

use super::cert_id::{CertId, Form, HashKind, IssuerId, Parameters, sha1};
use super::delegate;
use super::nonce::Nonce;
use super::request::{extensions, version_one, write_request};
use crate::certificate::Certificate;
use crate::oid;
use crate::read::{BadDer, Reader, signed};
use crate::revocation::{Freshness, Reason, Revocation, Status};
use crate::serial::Serial;
use crate::spki::{KeyRefused, SignatureRefused};
use crate::write;

/// An answer with three certificates of the largest size, and room for the answer.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// A responder may answer more than it was asked; more than this is no answer to one question.
const MAX_SINGLES: usize = 64;
/// Responder and its issuers.
const MAX_CERTIFICATES: usize = 4;

/// What is asked: one certificate.
#[derive(Debug, Clone)]
pub struct Ask {
    id: CertId,
    issuer: IssuerId,
    nonce: Option<Nonce>,
}

impl Ask {
    /// Asks about the certificate of `issuer` with this serial number.
    pub fn new(
        issuer: &Certificate,
        serial: &Serial,
        hash: HashKind,
        nonce: Option<Nonce>,
    ) -> Result<Self, KeyRefused> {
        let issuer = IssuerId::of(issuer)?;
        // RFC 5754 2 wants SHA-2 without parameters; for SHA-1 all of the field writes NULL.
        let parameters = match hash {
            HashKind::Sha1 => Parameters::Null,
            HashKind::Sha256 => Parameters::Absent,
        };
        Ok(Self { id: issuer.cert_id(Form { hash, parameters }, serial), issuer, nonce })
    }

    /// The request in DER.
    pub fn request(&self) -> Vec<u8> {
        write_request(std::slice::from_ref(&self.id), self.nonce.as_ref())
    }
}

/// Why an answer is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Longer than [`MAX_RESPONSE_BYTES`].
    #[error("OCSP response has {0} bytes, at most {MAX_RESPONSE_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 6960 4.2.1.
    #[error("OCSP response is malformed: {0}")]
    Malformed(String),
    /// The responder did not answer.
    #[error("the OCSP responder did not answer: {0}")]
    NotSuccessful(&'static str),
    /// RFC 6960 4.4: with a critical extension that one does not process it is not to be used.
    #[error("OCSP response has the critical extension `{0}`, which is not processed here")]
    UnknownCritical(String),
    /// Signed by nobody who may.
    #[error("the OCSP response's signer may not answer for this CA: {0}")]
    Signer(&'static str),
    /// The signature does not hold.
    #[error("OCSP response: {0}")]
    Signature(#[from] SignatureRefused),
    /// A key is of no accepted kind.
    #[error("OCSP response: {0}")]
    Key(#[from] KeyRefused),
    /// An answer to another request.
    #[error("the OCSP response repeats another nonce: it answers another request")]
    OtherNonce,
    /// It says nothing about the certificate that was asked about.
    #[error("the OCSP response does not speak of the certificate asked about")]
    OtherCertificate,
}

impl From<BadDer> for OcspError {
    fn from(error: BadDer) -> Self {
        OcspError::Malformed(error.to_string())
    }
}

/// Who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The CA itself.
    Issuer,
    /// A responder to which the CA delegated it.
    Delegate,
}

/// A verified answer. Made only by [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: Status,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    repeats_nonce: bool,
    by: AnsweredBy,
}

impl Answer {
    /// What it says.
    pub fn status(&self) -> Status {
        self.status
    }
    /// As of when.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }
    /// Until when.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.next_update
    }
    /// Whether it was made for this request. Without it, it may be an older one, and the times bound its age.
    pub fn repeats_nonce(&self) -> bool {
        self.repeats_nonce
    }
    /// Who signed it.
    pub fn answered_by(&self) -> AnsweredBy {
        self.by
    }
}

/// Reads an answer and checks it: who signed it, that it answers `ask`, and how old it is. Fuzz entry point.
///
/// `issuer` is the CA of a path that was validated.
pub fn verify(
    der: &[u8],
    ask: &Ask,
    issuer: &Certificate,
    freshness: &Freshness,
) -> Result<Answer, OcspError> {
    if der.len() > MAX_RESPONSE_BYTES {
        return Err(OcspError::TooLarge(der.len()));
    }
    let mut basic = signed(basic_response(der)?, "a BasicOCSPResponse")?;
    let certificates = certificates(&mut basic.rest)?;
    basic.rest.end("a BasicOCSPResponse")?;
    let data = ResponseData::read(basic.tbs)?;
    let by = check_signer(&data, &certificates, issuer, freshness, |key| {
        key.verify(&basic.algorithm.oid, basic.tbs, basic.signature)
    })?;
    let repeats_nonce = match (&data.nonce, &ask.nonce) {
        (Some(found), Some(asked)) if found != asked => return Err(OcspError::OtherNonce),
        (Some(_), Some(_)) => true,
        // RFC 9919 3.2.1: answers made ahead have none.
        (None, Some(_)) | (_, None) => false,
    };
    let single = data.about(ask)?;
    let fresh = freshness.holds(single.this_update, single.next_update);
    let status = match single.status {
        Status::Good if !fresh => Status::Stale,
        status => status,
    };
    Ok(Answer { status, this_update: single.this_update, next_update: single.next_update, repeats_nonce, by })
}

/// OCSPResponse: the octets of the BasicOCSPResponse.
fn basic_response(der: &[u8]) -> Result<&[u8], OcspError> {
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

fn certificates(rest: &mut Reader<'_>) -> Result<Vec<Certificate>, OcspError> {
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

/// RFC 6960 3.2 (3) and 4.2.2.2: the CA, or whom it delegated. The delegate must be in its own validity.
fn check_signer(
    data: &ResponseData<'_>,
    certificates: &[Certificate],
    issuer: &Certificate,
    freshness: &Freshness,
    verifies: impl Fn(&crate::spki::PublicKey) -> Result<(), SignatureRefused>,
) -> Result<AnsweredBy, OcspError> {
    if data.responder.is(issuer)? {
        verifies(issuer.public_key().map_err(Clone::clone)?)?;
        return Ok(AnsweredBy::Issuer);
    }
    for certificate in certificates {
        if !data.responder.is(certificate).unwrap_or(false) {
            continue;
        }
        delegate::may_answer_for(certificate, issuer).map_err(OcspError::Signer)?;
        let skew = freshness.skew_seconds;
        let begun = certificate.not_before() <= freshness.now.plus_seconds(skew);
        if !begun || certificate.not_after() < freshness.now.plus_seconds(-skew) {
            return Err(OcspError::Signer("its certificate is outside of its validity"));
        }
        verifies(certificate.public_key().map_err(Clone::clone)?)?;
        return Ok(AnsweredBy::Delegate);
    }
    Err(OcspError::Signer("its certificate is not in the response"))
}

/// ResponderID.
enum ResponderId<'a> {
    Name(&'a [u8]),
    Key(&'a [u8]),
}

impl ResponderId<'_> {
    fn is(&self, certificate: &Certificate) -> Result<bool, KeyRefused> {
        match self {
            ResponderId::Name(name) => Ok(certificate.subject_der() == *name),
            ResponderId::Key(hash) => {
                Ok(sha1(certificate.public_key().map_err(Clone::clone)?.bits()) == *hash)
            }
        }
    }
}

struct ResponseData<'a> {
    responder: ResponderId<'a>,
    singles: Vec<Single>,
    nonce: Option<Nonce>,
}

struct Single {
    id: CertId,
    status: Status,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

impl<'a> ResponseData<'a> {
    fn read(tbs: &'a [u8]) -> Result<Self, OcspError> {
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
    fn about(&self, ask: &Ask) -> Result<&Single, OcspError> {
        let mut found = self.singles.iter().filter(|single| {
            single.id.hash() == ask.id.hash()
                && single.id.serial() == ask.id.serial()
                && ask.issuer.issued(&single.id)
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
