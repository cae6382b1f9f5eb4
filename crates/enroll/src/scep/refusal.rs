//! Why a message is not followed, and what the client hears of it: an HTTP error where there is nobody to sign a reply
//! to, else a CertRep with one of the five codes of RFC 8894 3.2.1.4.5 and a sentence.

use lanyard_pki::certificate::CertificateError;
use lanyard_pki::spki::KeyRefused;

use super::asn1::Malformed;
use super::ber::BerError;
use super::route::RouteError;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a SCEP request.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Not BER.
    #[error("the message is not BER: {0}")]
    Ber(#[from] BerError),
    /// Not the structure that SCEP has, up to the attributes that a reply would need.
    #[error("{0}")]
    Unreadable(Malformed),
    /// Not the structure that SCEP has, behind them.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The SignerInfo names a certificate that is not in the message.
    #[error("the certificate of the signer is not in the message (RFC 8894 3.1)")]
    NoSignerCertificate,
    /// The client's key is not accepted.
    #[error("the signer's {0}")]
    SignerKey(KeyRefused),
    /// The client's key cannot be encrypted to.
    #[error(
        "the signer's key is not RSA: SCEP encrypts its answer to it; use EST, ACME or CMP for other keys"
    )]
    SignerKeyNotRsa,
    /// A digest or signature algorithm that is not read here.
    #[error("the signature is not RSA (PKCS #1 v1.5) with SHA-256, SHA-384 or SHA-512")]
    SignatureAlgorithm,
    /// The signed digest is of another content.
    #[error("the content of the message is not what was signed")]
    MessageDigest,
    /// Wrong signature.
    #[error("the signature of the message does not verify")]
    Signature,
    /// A content encryption that is not read here.
    #[error("the envelope is not encrypted with AES in CBC mode")]
    ContentCipher,
    /// A key transport that is not read here.
    #[error("the envelope's key is not transported by RSA (PKCS #1 v1.5)")]
    KeyTransport,
    /// Encrypted to somebody else.
    #[error("the envelope is not encrypted to this CA's certificate: ask for it again (GetCACert)")]
    NotForUs,
    /// The envelope does not open, or what is in it is not what it should be. Never says which.
    #[error(
        "the envelope does not open with this CA's key, or does not hold a PKCS #10 that is signed with its own key by \
         RSA with SHA-256, SHA-384 or SHA-512"
    )]
    Sealed,
    /// A type that no client sends.
    #[error(
        "messageType `{0}` is none of 17 (RenewalReq), 19 (PKCSReq), 20 (CertPoll), 21 (GetCert), 22 (GetCRL)"
    )]
    MessageType(String),
    /// PKCSReq, signed with a certificate that says it is self-signed and is not.
    #[error(
        "the certificate that signed PKCSReq names itself as its issuer, but its key did not sign it (RFC 8894 2.3)"
    )]
    NotSelfSigned,
    /// PKCSReq, signed with another key than it asks a certificate for.
    #[error("PKCSReq must be signed with the key that it asks a certificate for (RFC 8894 2.3)")]
    OtherKey,
    /// PKCSReq without a secret.
    #[error(
        "PKCSReq has no challengePassword: it is the enrollment secret that was given out for the device"
    )]
    NoChallenge,
    /// PKCSReq with a secret that proves nothing.
    #[error("the challengePassword is not an enrollment secret that is good now")]
    WrongChallenge,
    /// RenewalReq, signed with a certificate that nobody issued.
    #[error(
        "RenewalReq must be signed with the certificate that is to be renewed, not with a self-signed one"
    )]
    RenewalSelfSigned,
    /// RenewalReq, signed with a certificate that we cannot have issued.
    #[error("the certificate to be renewed: {0}")]
    RenewalCertificate(CertificateError),
    /// CertPoll for something that nobody waits for.
    #[error("no request of this transactionID and key is waiting: send the request again")]
    UnknownTransaction,
    /// GetCert or GetCRL.
    #[error(
        "GetCert and GetCRL are not served: a device keeps its certificate, and a revocation list lies where the \
         certificate's distribution point says"
    )]
    NotServed,
    /// GetNextCACert, and there is none.
    #[error("there is no next CA certificate yet")]
    NoNextCertificate,
    /// The rules said no.
    #[error("{why}")]
    Refused {
        /// Stable code.
        code: String,
        /// A sentence.
        why: String,
    },
    /// Our own fault, now.
    #[error("{0}")]
    Unavailable(String),
    /// More requests are waiting for a person than we keep.
    #[error("too many requests are waiting to be approved: try again when some are")]
    TooManyWaiting,
    /// The reply could not be encrypted or signed.
    #[error("the answer could not be made: {0}")]
    Answer(String),
}

/// RFC 8894 3.2.1.4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailInfo {
    /// Unrecognized or unsupported algorithm.
    BadAlg,
    /// Integrity check failed.
    BadMessageCheck,
    /// Transaction not permitted or supported.
    BadRequest,
    /// No certificate could be identified.
    BadCertId,
}

impl FailInfo {
    /// As it stands in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailInfo::BadAlg => "0",
            FailInfo::BadMessageCheck => "1",
            FailInfo::BadRequest => "2",
            FailInfo::BadCertId => "4",
        }
    }
}

/// How a refusal is told.
pub(super) enum Telling {
    /// By HTTP alone.
    Http(u16),
    /// By a CertRep.
    CertRep(FailInfo),
}

impl Refusal {
    pub(super) fn telling(&self) -> Telling {
        match self {
            Refusal::Route(route) => Telling::Http(route.status()),
            Refusal::Ber(_) | Refusal::Unreadable(_) => Telling::Http(400),
            Refusal::NoNextCertificate => Telling::Http(404),
            Refusal::Unavailable(_) | Refusal::TooManyWaiting | Refusal::Answer(_) => Telling::Http(503),
            Refusal::SignerKey(_)
            | Refusal::SignerKeyNotRsa
            | Refusal::SignatureAlgorithm
            | Refusal::ContentCipher
            | Refusal::KeyTransport => Telling::CertRep(FailInfo::BadAlg),
            Refusal::NoSignerCertificate | Refusal::MessageDigest | Refusal::Signature | Refusal::Sealed => {
                Telling::CertRep(FailInfo::BadMessageCheck)
            }
            Refusal::NotForUs | Refusal::UnknownTransaction => Telling::CertRep(FailInfo::BadCertId),
            Refusal::Malformed(_)
            | Refusal::MessageType(_)
            | Refusal::NotServed
            | Refusal::NotSelfSigned
            | Refusal::OtherKey
            | Refusal::NoChallenge
            | Refusal::WrongChallenge
            | Refusal::RenewalSelfSigned
            | Refusal::RenewalCertificate(_)
            | Refusal::Refused { .. } => Telling::CertRep(FailInfo::BadRequest),
        }
    }

    /// The code that the client gets, if it gets a signed reply.
    pub fn fail_info(&self) -> Option<FailInfo> {
        match self.telling() {
            Telling::CertRep(code) => Some(code),
            Telling::Http(_) => None,
        }
    }
}
