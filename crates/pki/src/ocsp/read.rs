//! Asking and judging: a request of ours, and what the answer to it is worth (RFC 6960 3.2, RFC 9919 5).
//!
//! Used for endorsement keys and IDevIDs of makers that run a responder, and by tests on our own.

use lanyard_domain::time::Timestamp;

use super::cert_id::{CertId, Form, HashKind, IssuerId, Parameters};
use super::data::{ResponseData, basic_response, certificates};
use super::delegate;
use super::nonce::Nonce;
use super::request::write_request;
use crate::certificate::Certificate;
use crate::read::{BadDer, signed};
use crate::revocation::{Freshness, Status};
use crate::serial::Serial;
use crate::spki::{KeyRefused, SignatureRefused};

/// An answer with three certificates of the largest size, and room for the answer.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

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

    pub(super) fn id(&self) -> &CertId {
        &self.id
    }

    pub(super) fn issuer(&self) -> &IssuerId {
        &self.issuer
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
