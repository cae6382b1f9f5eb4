//! The client's half: typed wishes in, HTTP requests out; HTTP answers in, typed results out. Whoever calls has the
//! sockets, the clock and the trust: cacerts over a server that is not trusted yet gives certificates, not trust, and
//! they become anchors only after a person or a configured fingerprint said so (RFC 7030 4.1.1).

use lanyard_pki::certificate::{Certificate, CertificateError};
use lanyard_pki::pkcs7::{self, MAX_BAG_BYTES, Pkcs7Error};
use lanyard_pki::spki::PublicKey;
use zeroize::Zeroizing;

use super::base64::{self, BadBase64, Base64Style};
use super::credentials;
use super::csrattrs::{BadCsrAttributes, CsrTemplate};
use super::keygen::{self, BadMultipart};
use super::route::{self, Label, Operation};
use super::{CSRATTRS, PKCS7, PKCS10};

/// A full bag in base64 with line ends, 4/3 of 128 KiB and 2 bytes for every 64; a key in front of it fits too.
pub const MAX_ANSWER_BODY: usize = MAX_BAG_BYTES / 3 * 4 + MAX_BAG_BYTES / 24 + 8 * 1024;
/// A day. A person decides meanwhile; a server that says more is asked the next day.
const LONGEST_RETRY_SECONDS: u32 = 86_400;
/// RFC 7030 4.2.3 wants a Retry-After; without one, or with a date, ask like strongSwan does.
const DEFAULT_RETRY_SECONDS: u32 = 60;
/// A sentence or two of the server's.
const MAX_WHY_CHARS: usize = 500;

/// The header to give as [`Answer::reason`].
pub const REASON: &str = super::REASON;

/// A request to send over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// Header fields; names in lower case. `authorization` is secret.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A one-time secret to present, and the user name to send with it.
#[derive(Clone)]
pub struct SecretLogin {
    /// Anything; servers that ask for one get it.
    pub user: String,
    /// The secret's text.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for SecretLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretLogin({}, [redacted])", self.user)
    }
}

/// Asks for the CA certificates.
pub fn ca_certificates(label: Option<&Label>) -> Outgoing {
    get(label, Operation::CaCerts)
}

/// Asks what to write into a request.
pub fn csr_attributes(label: Option<&Label>) -> Outgoing {
    get(label, Operation::CsrAttrs)
}

/// Asks for a first certificate: by a secret, or by the certificate in TLS.
pub fn enroll(label: Option<&Label>, csr: &[u8], login: Option<&SecretLogin>) -> Outgoing {
    post(label, Operation::SimpleEnroll, csr, login)
}

/// Asks for another certificate, by the one in TLS; the key in the request may be a new one.
pub fn reenroll(label: Option<&Label>, csr: &[u8]) -> Outgoing {
    post(label, Operation::SimpleReenroll, csr, None)
}

/// Asks for a certificate and a key. The request's key is not used.
pub fn server_keygen(label: Option<&Label>, csr: &[u8], login: Option<&SecretLogin>) -> Outgoing {
    post(label, Operation::ServerKeygen, csr, login)
}

fn get(label: Option<&Label>, operation: Operation) -> Outgoing {
    let path = route::path(label, operation);
    Outgoing { method: operation.method(), path, headers: Vec::new(), body: Vec::new() }
}

fn post(label: Option<&Label>, operation: Operation, csr: &[u8], login: Option<&SecretLogin>) -> Outgoing {
    let mut headers = vec![("content-type", PKCS10.to_owned())];
    if let Some(login) = login {
        headers.push(("authorization", credentials::write(&login.user, &login.secret)));
    }
    let body = base64::encode(csr, Base64Style::OneLine);
    Outgoing { method: operation.method(), path: route::path(label, operation), headers, body }
}

/// What the HTTP layer has of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub status: u16,
    /// The header's value.
    pub content_type: Option<&'a str>,
    /// The header's value.
    pub retry_after: Option<&'a str>,
    /// The value of the header [`REASON`], which Lanyard writes where an answer has no body.
    pub reason: Option<&'a str>,
    /// The whole body, at most [`MAX_ANSWER_BODY`] of it.
    pub body: &'a [u8],
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered<T> {
    /// It was granted.
    Granted(T),
    /// Not yet: ask again with the same key.
    Pending {
        /// When.
        retry_after_seconds: u32,
        /// The server's sentence.
        why: String,
    },
    /// No.
    Refused {
        /// HTTP status code: 401 wants other credentials, all else another request or a person.
        status: u16,
        /// The server's sentence.
        why: String,
    },
    /// The server cannot now.
    Unavailable {
        /// When to ask again.
        retry_after_seconds: u32,
        /// The server's sentence.
        why: String,
    },
}

/// A certificate for the key that was asked for, and what else came with it (some servers send the issuers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// In no order.
    pub others: Vec<Certificate>,
}

/// A key that the server made, and its certificate.
pub struct IssuedKey {
    /// PKCS#8 (RFC 5958). Whether it is the certificate's key shows in its first use.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// The certificate.
    pub certificate: Certificate,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedKey({:?}, [redacted])", self.certificate)
    }
}

/// Why an answer was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// A status that EST does not use.
    #[error(
        "the server answered with HTTP status {0}, which EST does not use: is this address an EST server?"
    )]
    Status(u16),
    /// Longer than [`MAX_ANSWER_BODY`].
    #[error("the answer has {0} bytes, at most {MAX_ANSWER_BODY} are read")]
    TooLarge(usize),
    /// Success with something else in it.
    #[error("the answer's content type is `{found}`, expected `{expected}`: is this address an EST server?")]
    ContentType {
        /// Cut to 80 characters.
        found: String,
        /// What EST says.
        expected: &'static str,
    },
    /// Not base64.
    #[error("answer: {0}")]
    Base64(#[from] BadBase64),
    /// Not a bag of certificates.
    #[error("answer: {0}")]
    Pkcs7(#[from] Pkcs7Error),
    /// Not a certificate.
    #[error("answer: {0}")]
    Certificate(#[from] CertificateError),
    /// Not the two parts of a made key.
    #[error(transparent)]
    Multipart(#[from] BadMultipart),
    /// Not CSR attributes.
    #[error("answer: {0}")]
    CsrAttributes(#[from] BadCsrAttributes),
    /// Certificates, and none of them for us.
    #[error("the answer has no certificate for the key that was asked for")]
    NotOurKey,
    /// An empty bag.
    #[error("the answer has no certificate")]
    NoCertificate,
}

/// Reads the answer to [`ca_certificates`]. Fuzz entry point.
pub fn read_ca_certificates(answer: &Answer<'_>) -> Result<Answered<Vec<Certificate>>, BadAnswer> {
    granted(answer, |answer| {
        let found = bag(&content(answer, PKCS7)?)?;
        if found.is_empty() { Err(BadAnswer::NoCertificate) } else { Ok(found) }
    })
}

/// Reads the answer to [`csr_attributes`]: 204 and 404 mean that nothing is asked for (RFC 8951 4.1). Fuzz entry point.
pub fn read_csr_attributes(answer: &Answer<'_>) -> Result<Answered<CsrTemplate>, BadAnswer> {
    if matches!(answer.status, 204 | 404) {
        return Ok(Answered::Granted(CsrTemplate::default()));
    }
    granted(answer, |answer| Ok(CsrTemplate::from_der(&content(answer, CSRATTRS)?)?))
}

/// Reads the answer to [`enroll`] and [`reenroll`] with this key in the request. Fuzz entry point.
pub fn read_issued(answer: &Answer<'_>, key: &PublicKey) -> Result<Answered<Issued>, BadAnswer> {
    granted(answer, |answer| {
        let mut others = bag(&content(answer, PKCS7)?)?;
        let is_ours = |c: &Certificate| c.public_key().is_ok_and(|found| found.der() == key.der());
        let at = others.iter().position(is_ours).ok_or(BadAnswer::NotOurKey)?;
        let certificate = others.swap_remove(at);
        Ok(Issued { certificate, others })
    })
}

/// Reads the answer to [`server_keygen`]. Fuzz entry point.
pub fn read_server_key(answer: &Answer<'_>) -> Result<Answered<IssuedKey>, BadAnswer> {
    granted(answer, |answer| {
        let content_type = answer.content_type.unwrap_or_default();
        check_type(content_type, MULTIPART)?;
        let (pkcs8, certificates) = keygen::split(content_type, answer.body)?;
        let pkcs8 = Zeroizing::new(base64::decode(pkcs8)?);
        let mut found = bag(&base64::decode(certificates)?)?;
        // RFC 7030 4.4.2: the certificate that was issued, and no other.
        let certificate = found.pop().filter(|_| found.is_empty()).ok_or(BadAnswer::NoCertificate)?;
        Ok(IssuedKey { pkcs8, certificate })
    })
}

const MULTIPART: &str = "multipart/mixed";

fn granted<T>(
    answer: &Answer<'_>,
    read: impl FnOnce(&Answer<'_>) -> Result<T, BadAnswer>,
) -> Result<Answered<T>, BadAnswer> {
    if answer.body.len() > MAX_ANSWER_BODY {
        return Err(BadAnswer::TooLarge(answer.body.len()));
    }
    let why = || sentence(answer.reason.map_or(answer.body, str::as_bytes));
    match answer.status {
        200 => read(answer).map(Answered::Granted),
        202 => Ok(Answered::Pending { retry_after_seconds: retry_after(answer), why: why() }),
        // RFC 6585 4: too many requests are asked again too.
        429 | 500..=599 if answer.status != 501 => {
            Ok(Answered::Unavailable { retry_after_seconds: retry_after(answer), why: why() })
        }
        400..=499 | 501 => Ok(Answered::Refused { status: answer.status, why: why() }),
        other => Err(BadAnswer::Status(other)),
    }
}

/// RFC 9110 10.2.3, the form in seconds. At least one: zero would be a busy loop.
fn retry_after(answer: &Answer<'_>) -> u32 {
    let seconds = answer.retry_after.and_then(|text| text.trim().parse::<u64>().ok());
    let bounded = seconds.map(|s| u32::try_from(s).unwrap_or(u32::MAX).clamp(1, LONGEST_RETRY_SECONDS));
    bounded.unwrap_or(DEFAULT_RETRY_SECONDS)
}

/// The server's text, made harmless for a log.
fn sentence(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_WHY_CHARS).collect()
}

fn check_type(found: &str, expected: &'static str) -> Result<(), BadAnswer> {
    let media_type = found.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(BadAnswer::ContentType { found: found.chars().take(80).collect(), expected })
}

fn content(answer: &Answer<'_>, expected: &'static str) -> Result<Vec<u8>, BadAnswer> {
    check_type(answer.content_type.unwrap_or_default(), expected)?;
    Ok(base64::decode(answer.body)?)
}

fn bag(der: &[u8]) -> Result<Vec<Certificate>, BadAnswer> {
    pkcs7::read(der)?.into_iter().map(|der| Ok(Certificate::parse(der)?)).collect()
}
