//! The server's half: an HTTP request in, a typed one out. Nothing is decided here; who may have a certificate is
//! `control`'s, and the answer is written by [`super::render`].
//!
//! Order of the checks: path, method, size, content type, base64, attributes, who asks, and the signature last,
//! because it is what costs.

use lanyard_pki::csr::{self, CsrError, MAX_CSR_BYTES, VerifiedCsr};

use super::attributes::{self, Attributes};
use super::base64::{self, Base64Style};
use super::credentials::{self, PresentedSecret};
use super::error::EstError;
use super::keygen::{self, ServerKeygen};
use super::linking::{self, Linking};
use super::route::{Label, Operation, Route, route};
use super::{MAX_REQUEST_BODY, PKCS10};
use crate::{Authentication, EnrollmentRequest, Protocol};

/// What the HTTP and TLS layers know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// `GET`, `HEAD` or `POST`.
    pub method: &'a str,
    /// Without query.
    pub path: &'a str,
    /// The header's value.
    pub content_type: Option<&'a str>,
    /// The header's value.
    pub authorization: Option<&'a str>,
    /// The whole body, at most [`MAX_REQUEST_BODY`] of it.
    pub body: &'a [u8],
    /// The certificates that the client showed in the handshake, leaf first, whose key it holds; whether they are
    /// anyone's is not decided here.
    pub certificates: &'a [Vec<u8>],
    /// The connection's tls-exporter value (RFC 9266), if it has one. With TLS 1.2 give none: there a client that
    /// links writes tls-unique, which is another value.
    pub channel_binding: Option<&'a [u8]>,
}

/// A request that is well formed.
#[derive(Debug)]
pub struct Request {
    /// Under which label it was sent.
    pub label: Option<Label>,
    /// How the client writes base64; its answer is written the same way, unless the label's configuration says else.
    pub style: Base64Style,
    /// What it wants.
    pub wish: Wish,
}

/// What a client wants.
#[derive(Debug)]
pub enum Wish {
    /// The CA certificates. Nobody needs to say who they are (RFC 7030 4.1.1).
    CaCertificates,
    /// What to write into a request.
    CsrAttributes,
    /// A certificate for its key.
    Enroll(Box<Enroll>),
    /// A certificate and a key.
    ServerKeygen(Box<ServerKeygen>),
}

/// Whether the client has a certificate already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// simpleenroll.
    First,
    /// simplereenroll: another certificate, for the same key or a new one.
    Again,
}

/// A wish for a certificate.
#[derive(Debug)]
pub struct Enroll {
    /// By which operation.
    pub occasion: Occasion,
    /// The key, and proof that the sender holds it.
    pub csr: VerifiedCsr,
    /// Who asks.
    pub credential: Credential,
    /// Whether the request was made for this connection.
    pub linking: Linking,
}

/// By what a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By a one-time secret that is still to be proven.
    Secret(PresentedSecret),
    /// By the certificate of the TLS handshake: DER, leaf first.
    Certificate(Vec<Vec<u8>>),
}

impl Enroll {
    /// What the use case takes, once the credential is proven.
    pub fn into_request(self, label: Option<&Label>, authentication: Authentication) -> EnrollmentRequest {
        request(label, self.csr, authentication)
    }
}

pub(super) fn request(
    label: Option<&Label>,
    csr: VerifiedCsr,
    authentication: Authentication,
) -> EnrollmentRequest {
    EnrollmentRequest {
        protocol: Protocol::Est,
        profile: label.map(|label| label.as_str().to_owned()),
        csr,
        authentication,
    }
}

/// Reads a request. Fuzz entry point.
pub fn parse(incoming: &Incoming<'_>) -> Result<Request, EstError> {
    let Route { label, operation } = route(incoming.path)?;
    let method = if incoming.method == "HEAD" { "GET" } else { incoming.method };
    if method != operation.method() {
        return Err(EstError::Method { allowed: operation.method() });
    }
    let wish = match operation {
        Operation::CaCerts => Wish::CaCertificates,
        Operation::CsrAttrs => Wish::CsrAttributes,
        Operation::SimpleReenroll => Wish::Enroll(Box::new(enroll(incoming, Occasion::Again)?)),
        Operation::ServerKeygen => Wish::ServerKeygen(Box::new(server_keygen(incoming)?)),
        Operation::SimpleEnroll => Wish::Enroll(Box::new(enroll(incoming, Occasion::First)?)),
        Operation::FullCmc => return Err(EstError::FullCmc),
    };
    Ok(Request { label, style: Base64Style::of(incoming.body), wish })
}

fn enroll(incoming: &Incoming<'_>, occasion: Occasion) -> Result<Enroll, EstError> {
    let der = body(incoming)?;
    let attributes = attributes::read(&der)?;
    let said = linking::judge(&attributes, incoming.channel_binding)?;
    let credential = match occasion {
        Occasion::First => first_credential(incoming, said.secret)?,
        Occasion::Again => certificate_again(incoming, said.secret.as_ref())?,
    };
    grantable(&attributes)?;
    Ok(Enroll { occasion, csr: csr::verify(&der)?, credential, linking: said.linking })
}

fn server_keygen(incoming: &Incoming<'_>) -> Result<ServerKeygen, EstError> {
    let der = body(incoming)?;
    let attributes = attributes::read(&der)?;
    // No linking: there is no key of the client's whose possession could be linked.
    let said = linking::judge(&attributes, None)?;
    let credential = first_credential(incoming, said.secret)?;
    grantable(&attributes)?;
    Ok(ServerKeygen { wanted: keygen::wanted(&der, attributes.spki)?, credential })
}

/// The DER in the body.
fn body(incoming: &Incoming<'_>) -> Result<Vec<u8>, EstError> {
    if incoming.body.len() > MAX_REQUEST_BODY {
        return Err(EstError::BodyTooLarge(incoming.body.len()));
    }
    let content_type = incoming.content_type.unwrap_or_default();
    // Parameters are nothing to us.
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(PKCS10) {
        return Err(EstError::ContentType(content_type.chars().take(80).collect()));
    }
    let der = base64::decode(incoming.body)?;
    if der.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge(der.len()).into());
    }
    Ok(der)
}

/// A secret, and where it came with, before the certificate: who gives a secret means it, while a TLS stack shows a
/// certificate by itself.
fn first_credential(
    incoming: &Incoming<'_>,
    challenge: Option<PresentedSecret>,
) -> Result<Credential, EstError> {
    let header = incoming.authorization.map(credentials::read).transpose()?;
    match header.or(challenge) {
        Some(secret) => Ok(Credential::Secret(secret)),
        None if incoming.certificates.is_empty() => Err(EstError::NoAuthentication),
        None => Ok(Credential::Certificate(incoming.certificates.to_vec())),
    }
}

/// The certificate alone counts: a device that renews often still has its old secret, used up, in its configuration.
fn certificate_again(
    incoming: &Incoming<'_>,
    challenge: Option<&PresentedSecret>,
) -> Result<Credential, EstError> {
    if !incoming.certificates.is_empty() {
        return Ok(Credential::Certificate(incoming.certificates.to_vec()));
    }
    match (incoming.authorization, challenge) {
        (None, None) => Err(EstError::NoAuthentication),
        _ => Err(EstError::CertificateNeeded),
    }
}

/// RFC 7030 4.2.2 has a client repeat the names of its certificate, or ask for others by ChangeSubjectName. Names come
/// from the record, so the first is ignored (device scripts send what they like) and the second is refused: a
/// certificate with other names than those asked for explicitly would be a silent no.
fn grantable(attributes: &Attributes<'_>) -> Result<(), EstError> {
    if attributes.changes_names {
        return Err(EstError::NameChange);
    }
    if attributes.wants_encrypted_key {
        return Err(EstError::KeyEncryption);
    }
    Ok(())
}
