//! Reading an answer: that it is one to our message, from whom we trust, unchanged.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, CertificateError, MAX_CHAIN, PeerIdentity};
use lanyard_pki::path::{self, PathError, Purpose};
use lanyard_pki::write;
use rustls_pki_types::CertificateDer;

use crate::cmp::header::{CMP2000, CMP2021, Header, NONCE_BYTES};
use crate::cmp::mac::{AlgorithmRefused, MacAlgorithm};
use crate::cmp::message::{Kind, MAX_MESSAGE_BYTES, Parts};
use crate::cmp::name::same;
use crate::cmp::status::{FailInfo, StatusInfo};
use crate::cmp::tlv::{Malformed, Tlv, only};

use super::{Client, Credential, Session, Trust};

/// The server said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    status: StatusInfo,
}

impl Declined {
    pub(super) fn new(status: StatusInfo) -> Self {
        Self { status }
    }

    /// Its words.
    pub fn why(&self) -> &str {
        &self.status.text
    }

    /// Whether it names this as the reason.
    pub fn is(&self, fail: FailInfo) -> bool {
        self.status.says(fail)
    }

    /// Whether asking again later may help.
    pub fn is_temporary(&self) -> bool {
        self.is(FailInfo::SystemUnavail) || self.is(FailInfo::SystemFailure)
    }
}

/// Why an answer is not believed, or makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("answer has {0} bytes, at most {MAX_MESSAGE_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 9810.
    #[error("answer: {0}")]
    Malformed(#[from] Malformed),
    /// Neither 2 nor 3.
    #[error("answer has pvno {0}: 2 and 3 are spoken")]
    Version(i64),
    /// To another message.
    #[error("answer is of another transaction, or to another message of this one")]
    OtherExchange,
    /// Without a nonce of its own.
    #[error("answer has no senderNonce of 128 bits")]
    NoNonce,
    /// The clocks differ.
    #[error(
        "the server's clock `{theirs}` is {apart_seconds} seconds from ours `{ours}`, at most {tolerated_seconds} are tolerated: set the clock"
    )]
    Clock {
        /// As sent.
        theirs: Timestamp,
        /// When it came.
        ours: Timestamp,
        /// Between them.
        apart_seconds: i64,
        /// The most.
        tolerated_seconds: u32,
    },
    /// Whoever sent it has not shown to be the server; what it says may help a person all the same.
    #[error("answer cannot be believed, {why}{}", .says.as_deref().map(|s| format!("; it says `{s}`")).unwrap_or_default())]
    Untrusted {
        /// Why not.
        why: Box<Untrusted>,
        /// Its words, if it is an error message.
        says: Option<String>,
    },
    /// A kind of message that does not answer ours.
    #[error("answer is of a kind that does not belong here")]
    Kind,
    /// To another request.
    #[error("answer is to another certReqId")]
    RequestId,
    /// Accepted, and nothing in it.
    #[error("the server accepted the request and sent no certificate")]
    NoCertificate,
    /// One that does not parse.
    #[error("the new certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// For a key that is not ours.
    #[error("the new certificate is not for the key of the request")]
    OtherKey,
}

/// Why an answer's protection does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// There is none.
    #[error("it has no protection")]
    Unprotected,
    /// An algorithm that we do not use.
    #[error("{0}")]
    Algorithm(#[from] AlgorithmRefused),
    /// Something of it does not parse.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// Under no secret of ours.
    #[error("its MAC is not made with our secret")]
    Mac,
    /// No certificate of the sender came with it.
    #[error("no certificate of its sender came with it")]
    NoSigner,
    /// Nobody whose signature counts.
    #[error("its signer is not the server that we trust")]
    NotTheServer,
    /// The signer's path.
    #[error("its signer: {0}")]
    Path(#[from] PathError),
    /// Wrong signature.
    #[error("its signature does not verify")]
    Signature,
}

/// An answer that can be believed.
pub(super) struct Believed<'a> {
    pub kind: Kind,
    pub body: Tlv<'a>,
    pub header: Header,
    /// Certificates that came with it.
    pub extra: Vec<Certificate>,
    /// Whether our secret protects it: then it may say whom to trust.
    pub by_secret: bool,
}

impl Session {
    /// Checks an answer to the message that was sent last.
    pub(super) fn believe<'a>(
        &mut self,
        client: &Client,
        reply: &'a [u8],
        now: Timestamp,
    ) -> Result<Believed<'a>, ReplyError> {
        if reply.len() > MAX_MESSAGE_BYTES {
            return Err(ReplyError::TooLarge(reply.len()));
        }
        let parts = Parts::of(reply)?;
        let header = parts.header()?;
        let extra: Vec<Certificate> =
            parts.extra_certificates()?.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
        // Protection first: nothing else in it means anything before.
        let by_secret = match client.protection(&parts, &header, &extra, now) {
            Ok(by_secret) => by_secret,
            Err(why) => return Err(ReplyError::Untrusted { why: Box::new(why), says: says(&parts) }),
        };
        if !(CMP2000..=CMP2021).contains(&header.version) {
            return Err(ReplyError::Version(header.version));
        }
        if header.transaction.as_deref() != Some(&self.transaction)
            || header.recipient_nonce.as_deref() != Some(&self.sent_nonce)
        {
            return Err(ReplyError::OtherExchange);
        }
        let nonce = header.sender_nonce.clone().filter(|nonce| nonce.len() >= NONCE_BYTES);
        let nonce = nonce.ok_or(ReplyError::NoNonce)?;
        client.check_clock(&header, now)?;
        self.server_nonce = Some(nonce);
        let kind = parts.kind().ok_or(ReplyError::Kind)?;
        Ok(Believed { kind, body: parts.body()?, header, extra, by_secret })
    }
}

impl Believed<'_> {
    /// The status of an error message.
    pub fn error(&self) -> Result<StatusInfo, ReplyError> {
        Ok(StatusInfo::read(self.body.fields().take(write::SEQUENCE, "error.pKIStatusInfo")?)?)
    }
}

/// What an error message says, for a person: it is not believed.
fn says(parts: &Parts<'_>) -> Option<String> {
    if parts.kind() != Some(Kind::Error) {
        return None;
    }
    let status = parts.body().ok()?.fields().take(write::SEQUENCE, "error.pKIStatusInfo").ok()?;
    StatusInfo::read(status).ok().map(|status| status.text)
}

impl Client {
    fn check_clock(&self, header: &Header, now: Timestamp) -> Result<(), ReplyError> {
        let Some(theirs) = header.time else { return Ok(()) };
        let apart_seconds = now.seconds_since(theirs).saturating_abs();
        let tolerated_seconds = self.clock_tolerance_seconds;
        if apart_seconds > i64::from(tolerated_seconds) {
            return Err(ReplyError::Clock { theirs, ours: now, apart_seconds, tolerated_seconds });
        }
        Ok(())
    }

    /// Whether the answer is protected by whom we trust, and if by our secret.
    fn protection(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        extra: &[Certificate],
        now: Timestamp,
    ) -> Result<bool, Untrusted> {
        let (Some(der), Some(protection)) = (&header.protection, parts.protection) else {
            return Err(Untrusted::Unprotected);
        };
        let (id, parameters) = only(der, write::SEQUENCE, "header.protectionAlg")?.algorithm()?;
        if let Some(mac) = MacAlgorithm::read(&id, parameters)? {
            let Credential::Secret { secret, .. } = &self.credential else { return Err(Untrusted::Mac) };
            let verified = mac.verify(secret.as_bytes(), &parts.protected(), protection);
            return if verified { Ok(true) } else { Err(Untrusted::Mac) };
        }
        let sender = header.sender.as_deref().unwrap_or_default();
        let key_id = header.sender_key_id.as_deref();
        let signer = extra.iter().find(|c| {
            same(c.subject_der(), sender)
                && (key_id.is_none() || c.subject_key_id().is_none_or(|id| Some(id) == key_id))
        });
        let signer = match (&self.trust, signer) {
            // A pinned certificate need not come along (RFC 9483 3.3).
            (Trust::Pinned(pinned), None) => {
                pinned.iter().find(|c| same(c.subject_der(), sender)).ok_or(Untrusted::NoSigner)?
            }
            (_, Some(signer)) => signer,
            (_, None) => return Err(Untrusted::NoSigner),
        };
        match &self.trust {
            Trust::SecretOnly => return Err(Untrusted::NotTheServer),
            Trust::Pinned(pinned) if !pinned.contains(signer) => return Err(Untrusted::NotTheServer),
            Trust::Pinned(_) => {}
            Trust::ControlPlane(anchors) => {
                let issuers = extra.iter().filter(|c| *c != signer && c.is_ca()).take(MAX_CHAIN - 1);
                let chain: Vec<CertificateDer<'_>> =
                    std::iter::once(signer).chain(issuers).map(|c| c.der().clone()).collect();
                let verified = path::validate(&chain, anchors, Purpose::Server, now)?;
                if verified.identity() != PeerIdentity::Control {
                    return Err(Untrusted::NotTheServer);
                }
            }
        }
        let key = signer.public_key().map_err(|_| Untrusted::Signature)?;
        key.verify(&id, &parts.protected(), protection).map_err(|_| Untrusted::Signature)?;
        Ok(false)
    }
}
