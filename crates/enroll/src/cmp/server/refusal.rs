//! Why a message is not served, and what the client is told of it.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::CertificateError;
use lanyard_pki::spki::KeyRefused;

use crate::Reply;
use crate::cmp::crmf::RequestRefused;
use crate::cmp::mac::AlgorithmRefused;
use crate::cmp::message::MAX_MESSAGE_BYTES;
use crate::cmp::revocation::RevocationRefused;
use crate::cmp::status::FailInfo;
use crate::cmp::tlv::Malformed;

use super::answer::{Draft, Exchange};
use crate::cmp::Fresh;

/// Bytes that no PKIMessage can answer: there is no header to answer to (RFC 9811 3.5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Another content type.
    #[error("content type must be `application/pkixcmp` (RFC 9811 3.2)")]
    ContentType,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message has {0} bytes, at most {MAX_MESSAGE_BYTES} are read")]
    TooLarge(usize),
    /// Not even a header.
    #[error("message: {0}")]
    Malformed(#[from] Malformed),
}

impl Rejected {
    /// The HTTP answer.
    pub fn reply(&self) -> Reply {
        let status = match self {
            Rejected::ContentType => 415,
            Rejected::TooLarge(_) => 413,
            Rejected::Malformed(_) => 400,
        };
        Reply::new(status, "text/plain; charset=utf-8", format!("{self}\n"))
    }
}

/// What [`super::Server::receive`] says no with.
#[derive(Debug)]
pub enum NotReceived {
    /// Answer by HTTP alone.
    Rejected(Rejected),
    /// Answer with a PKIMessage. Boxed: it holds what the answer needs.
    Refused(Box<Refused>),
}

impl From<Rejected> for NotReceived {
    fn from(rejected: Rejected) -> Self {
        NotReceived::Rejected(rejected)
    }
}

impl From<Box<Refused>> for NotReceived {
    fn from(refused: Box<Refused>) -> Self {
        NotReceived::Refused(refused)
    }
}

/// Why a message that has a header is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither 2 nor 3.
    #[error("pvno {0} is not served: 2 (cmp2000) and 3 (cmp2021) are")]
    Version(i64),
    /// A kind of message that no client sends us, or one that we do not speak.
    #[error(
        "this kind of message is not served here: ir, cr, p10cr, kur, rr, genm, certConf, pollReq and error are"
    )]
    Kind,
    /// The path is for another operation.
    #[error(
        "this path is for another operation: use /.well-known/cmp, or the path of this one (RFC 9483 6.1)"
    )]
    Operation,
    /// Path and header ask for different profiles.
    #[error("the path asks for one certificate profile and generalInfo for another")]
    TwoProfiles,
    /// Not DER of RFC 9810.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// Missing or short.
    #[error("transactionID must be there and have 128 bits or more (RFC 9483 3.1)")]
    TransactionId,
    /// Missing or short.
    #[error("senderNonce must be there and have 128 bits or more (RFC 9483 3.1)")]
    SenderNonce,
    /// There, in a first message.
    #[error("recipNonce must not be there in the first message of a transaction (RFC 9483 3.1)")]
    UnexpectedNonce,
    /// Not the nonce that we sent.
    #[error(
        "recipNonce is not the senderNonce of the message before: another message was answered meanwhile"
    )]
    RecipientNonce,
    /// Another authority is meant.
    #[error(
        "recipient is not a name of this authority: leave it out, or use the subject of its CA or CMP certificate"
    )]
    Recipient,
    /// The sender's clock, or ours.
    #[error(
        "messageTime `{theirs}` is {apart_seconds} seconds from this server's clock `{ours}`, at most {tolerated_seconds} are tolerated: set the clock"
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
    /// Nothing that shows who sent it.
    #[error("the message has no protection: sign it, or protect it with an enrollment secret")]
    Unprotected,
    /// An algorithm that we do not use.
    #[error("{0}")]
    Algorithm(#[from] AlgorithmRefused),
    /// A MAC where only a signature will do.
    #[error(
        "this message must be signed with the certificate that it is about, a secret is not enough (RFC 9483 4.1.3, 4.2)"
    )]
    MustBeSigned,
    /// Wrong MAC, or no such secret, or one that is used or expired: not told apart to the sender.
    #[error(
        "the protection does not verify: senderKID must be the enrollment secret's id, its whole text is the secret; it may be expired or used"
    )]
    Mac,
    /// The sender's name is of another form than a directoryName.
    #[error("sender must be a directoryName (RFC 9483 3.1)")]
    SenderForm,
    /// No certificate of that name came with it.
    #[error(
        "no certificate in extraCerts has the sender's name and senderKID: send the signer's certificate first (RFC 9483 3.3)"
    )]
    NoSigner,
    /// It came, and is none.
    #[error("extraCerts: {0}")]
    SignerCertificate(#[from] CertificateError),
    /// Its key is of no accepted kind.
    #[error("the signer's certificate: {0}")]
    SignerKey(#[source] KeyRefused),
    /// It may not sign messages.
    #[error("the signer's certificate must assert digitalSignature in keyUsage (RFC 9483 3.2)")]
    SignerUsage,
    /// Wrong signature.
    #[error("the signature of the message does not verify with the signer's certificate")]
    Signature,
    /// The request in it.
    #[error("{0}")]
    Request(#[from] RequestRefused),
    /// kur for another certificate than the signer's.
    #[error("oldCertId must name the certificate that signs the request (RFC 9483 4.1.3)")]
    OldCertificate,
    /// The revocation in it.
    #[error("{0}")]
    Revocation(#[from] RevocationRefused),
    /// The number was used before.
    #[error("transactionID was used before: each transaction needs a new one")]
    TransactionInUse,
    /// No such transaction.
    #[error(
        "no such transaction: it ended, waited too long, or the server was restarted; send the request again"
    )]
    UnknownTransaction,
    /// It does not wait for this.
    #[error("the transaction does not wait for this message")]
    NotNow,
    /// Of somebody else.
    #[error(
        "the transaction was begun by another sender: protect all of its messages with the same secret or key"
    )]
    OtherSender,
    /// Of another request.
    #[error("certReqId {0} is not of this transaction")]
    RequestId(i64),
    /// Two statements, or contradicting ones.
    #[error(
        "certConf must say of one certificate that it is accepted, or rejected with a reason (RFC 9483 4.1)"
    )]
    Confirmation,
    /// hashAlg in cmp2000.
    #[error("hashAlg needs pvno 3 (RFC 9810 5.3.18)")]
    HashNeedsVersion3,
    /// A hash that we do not have.
    #[error("hashAlg is not served: use SHA-256, SHA-384 or SHA-512")]
    HashAlgorithm,
    /// The hash is of another certificate.
    #[error("certHash is not the hash of the certificate that was issued")]
    OtherCertificate,
    /// Too many transactions are open.
    #[error("too many transactions are open: try again in some minutes")]
    Full,
}

impl Refusal {
    /// The bit that says it in a PKIStatusInfo (RFC 9483 3.5, 3.6.4).
    pub fn fail_info(&self) -> FailInfo {
        match self {
            Refusal::Version(_) => FailInfo::UnsupportedVersion,
            Refusal::Malformed(_)
            | Refusal::Request(RequestRefused::Malformed(_))
            | Refusal::Revocation(RevocationRefused::Malformed(_))
            | Refusal::Algorithm(AlgorithmRefused::Malformed(_)) => FailInfo::BadDataFormat,
            Refusal::SenderNonce => FailInfo::BadSenderNonce,
            Refusal::UnexpectedNonce | Refusal::RecipientNonce => FailInfo::BadRecipientNonce,
            Refusal::Recipient => FailInfo::WrongAuthority,
            Refusal::Clock { .. } => FailInfo::BadTime,
            Refusal::Algorithm(_) | Refusal::SignerKey(_) | Refusal::HashAlgorithm => FailInfo::BadAlg,
            Refusal::MustBeSigned => FailInfo::WrongIntegrity,
            Refusal::Unprotected
            | Refusal::Mac
            | Refusal::SenderForm
            | Refusal::NoSigner
            | Refusal::SignerCertificate(_)
            | Refusal::SignerUsage
            | Refusal::Signature
            | Refusal::OtherSender => FailInfo::BadMessageCheck,
            Refusal::Request(RequestRefused::NotOne(_) | RequestRefused::Number(_)) => FailInfo::BadRequest,
            Refusal::Request(RequestRefused::NoKey) => FailInfo::BadCertTemplate,
            Refusal::Request(_) => FailInfo::BadPop,
            Refusal::OldCertificate | Refusal::OtherCertificate => FailInfo::BadCertId,
            Refusal::Revocation(RevocationRefused::NotNamed) => FailInfo::BadCertId,
            Refusal::TransactionInUse => FailInfo::TransactionIdInUse,
            Refusal::Full => FailInfo::SystemUnavail,
            Refusal::Kind
            | Refusal::Operation
            | Refusal::TwoProfiles
            | Refusal::TransactionId
            | Refusal::Revocation(_)
            | Refusal::UnknownTransaction
            | Refusal::NotNow
            | Refusal::RequestId(_)
            | Refusal::Confirmation
            | Refusal::HashNeedsVersion3 => FailInfo::BadRequest,
        }
    }
}

/// A refusal, and the header that it answers.
#[derive(Debug)]
pub struct Refused {
    refusal: Refusal,
    exchange: Exchange,
}

impl Refused {
    pub(super) fn new(refusal: impl Into<Refusal>, exchange: Exchange) -> Box<Self> {
        Box::new(Self { refusal: refusal.into(), exchange })
    }

    /// Why.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// An error message. It is signed as long as the sender has not proven that it knows a secret (RFC 9483 3.6.4).
    pub fn answer(self, fresh: Fresh, now: Timestamp) -> Draft {
        Draft::error(self.exchange, self.refusal.fail_info(), &self.refusal.to_string(), fresh, now)
    }
}
