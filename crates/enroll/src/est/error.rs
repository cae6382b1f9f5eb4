//! Why a request was not taken, and with which HTTP status that is said. EST clients print the text (RFC 7030 4.2.3).

use lanyard_pki::csr::{CsrError, MAX_CSR_BYTES};

use super::MAX_REQUEST_BODY;
use super::attributes::BadAttributes;
use super::base64::BadBase64;
use super::credentials::BadAuthorization;
use super::route::BadLabel;

/// What is wrong with a request, before anybody looks whether it may have a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstError {
    /// Not a path of EST.
    #[error(
        "there is nothing at `{0}`: EST has cacerts, csrattrs, simpleenroll, simplereenroll and serverkeygen under /.well-known/est/"
    )]
    NoSuchOperation(String),
    /// The label's form.
    #[error(transparent)]
    Label(#[from] BadLabel),
    /// RFC 7030 4.3 is optional.
    #[error("full CMC is not offered here: use simpleenroll, simplereenroll, or CMP")]
    FullCmc,
    /// GET for POST, or the other way.
    #[error("this operation is asked for with {allowed} (RFC 7030 3.2.2)")]
    Method {
        /// The right one.
        allowed: &'static str,
    },
    /// Not PKCS#10.
    #[error("content type is `{0}`: send `Content-Type: application/pkcs10` (RFC 7030 4.2.1)")]
    ContentType(String),
    /// Longer than [`MAX_REQUEST_BODY`].
    #[error(
        "the body has {0} bytes, at most {MAX_REQUEST_BODY} are read (a request of {MAX_CSR_BYTES} bytes in base64)"
    )]
    BodyTooLarge(usize),
    /// Not base64.
    #[error(transparent)]
    Base64(#[from] BadBase64),
    /// No request, a weak key, or no proof of possession.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// Attributes that cannot be read.
    #[error(transparent)]
    Attributes(#[from] BadAttributes),
    /// A header that cannot be read.
    #[error(transparent)]
    Authorization(#[from] BadAuthorization),
    /// Neither certificate nor secret.
    #[error(
        "who asks? give a client certificate in TLS, or a one-time enrollment secret as the password of HTTP Basic"
    )]
    NoAuthentication,
    /// A renewal by a secret.
    #[error(
        "simplereenroll is for who has a certificate: show it in TLS (RFC 7030 4.2.2); with an enrollment secret use simpleenroll"
    )]
    CertificateNeeded,
    /// RFC 7030 3.5: a request that was made for another connection.
    #[error(
        "the challenge password in the request is neither an enrollment secret nor the channel binding of this TLS connection (tls-exporter, RFC 9266): leave it out"
    )]
    NotLinked,
    /// RFC 6402 2.8.
    #[error(
        "the request asks for other names (ChangeSubjectName): names come from the device's record, have it changed there"
    )]
    NameChange,
    /// RFC 7030 4.4.1.1 and 4.4.1.2.
    #[error(
        "the request asks for a key encrypted once more (DecryptKeyIdentifier): the key is sent under TLS only, leave the attribute out"
    )]
    KeyEncryption,
}

impl EstError {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            EstError::NoSuchOperation(_) | EstError::Label(_) => 404,
            EstError::FullCmc => 501,
            EstError::Method { .. } => 405,
            EstError::ContentType(_) => 415,
            EstError::BodyTooLarge(_) | EstError::Csr(CsrError::TooLarge(_)) => 413,
            EstError::Base64(_) | EstError::Csr(_) | EstError::Attributes(_) | EstError::KeyEncryption => 400,
            EstError::Authorization(_) | EstError::NoAuthentication => 401,
            EstError::CertificateNeeded | EstError::NotLinked | EstError::NameChange => 403,
        }
    }

    /// A stable code for logs, snake case.
    pub fn code(&self) -> &'static str {
        match self {
            EstError::NoSuchOperation(_) => "no_such_operation",
            EstError::Label(_) => "bad_label",
            EstError::FullCmc => "full_cmc_not_offered",
            EstError::Method { .. } => "wrong_method",
            EstError::ContentType(_) => "wrong_content_type",
            EstError::BodyTooLarge(_) => "body_too_large",
            EstError::Base64(_) => "bad_base64",
            EstError::Csr(_) => "bad_request",
            EstError::Attributes(_) => "bad_attributes",
            EstError::Authorization(_) => "bad_authorization",
            EstError::NoAuthentication => "no_authentication",
            EstError::CertificateNeeded => "certificate_needed",
            EstError::NotLinked => "not_linked",
            EstError::NameChange => "name_change",
            EstError::KeyEncryption => "key_encryption_not_offered",
        }
    }
}
