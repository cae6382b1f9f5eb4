//! The server's answers (RFC 7030 4.1.3, 4.2.3, 4.5.2; RFC 8951). Sans-IO: status, headers, body.

use lanyard_pki::pkcs7;

use super::base64::{self, Base64Style};
use super::csrattrs::CsrTemplate;
use super::error::EstError;
use super::{CERTS_ONLY, CSRATTRS, PKCS7, REASON};
use crate::{Outcome, Reply};

/// A restart or a key store's failover takes less; a fleet that waits a minute is no herd.
const UNAVAILABLE_RETRY_SECONDS: u32 = 60;

/// All certificates that lead from a device's certificate to the roots, and the roots (RFC 7030 4.1.3).
pub fn ca_certificates(certificates: &[&[u8]], style: Base64Style) -> Reply {
    body(PKCS7, &pkcs7::certs_only(certificates), style)
}

/// What a request should hold; 204 when it does not matter (RFC 8951 4.1).
pub fn csr_attributes(template: Option<&CsrTemplate>, style: Base64Style) -> Reply {
    match template {
        None => Reply::empty(204),
        Some(template) => body(CSRATTRS, &template.to_der(), style),
    }
}

/// What became of an enrollment. Of the chain only the leaf is sent (RFC 7030 4.2.3: "only the certificate that was
/// issued"); the issuers are in cacerts.
pub fn outcome(outcome: &Outcome, style: Base64Style) -> Reply {
    match outcome {
        Outcome::Issued { chain } => match chain.first() {
            Some(leaf) => body(CERTS_ONLY, &pkcs7::certs_only(&[leaf]), style),
            None => text(500, "bug: a certificate was issued and is not there"),
        },
        Outcome::Pending { .. } | Outcome::Refused { .. } | Outcome::Unavailable { .. } => {
            no_certificate(outcome)
        }
    }
}

/// The outcomes that EST tells by their status.
pub(super) fn no_certificate(outcome: &Outcome) -> Reply {
    match outcome {
        Outcome::Issued { .. } => text(500, "bug: an issued certificate has no text"),
        // RFC 7030 4.2.3: 202 always has a Retry-After; zero would be a busy loop.
        Outcome::Pending { retry_after_seconds, why } => {
            without_body(202, why).with("retry-after", retry_after_seconds.max(&1).to_string())
        }
        Outcome::Refused { code, why } => text(403, &format!("{why} ({code})")),
        Outcome::Unavailable { why } => {
            text(503, why).with("retry-after", UNAVAILABLE_RETRY_SECONDS.to_string())
        }
    }
}

/// Shown by clients that ask a person; RFC 9110 11.5 leaves its text to us.
const CHALLENGE: &str = r#"Basic realm="Lanyard EST: the password is a one-time enrollment secret""#;

impl EstError {
    /// The answer to a request that was not taken.
    pub fn reply(&self) -> Reply {
        let reply = text(self.status(), &self.to_string());
        match self {
            EstError::NoAuthentication => {
                without_body(self.status(), &self.to_string()).with("www-authenticate", CHALLENGE)
            }
            // RFC 9110 15.5.2 and 15.5.6.
            EstError::Authorization(_) => reply.with("www-authenticate", CHALLENGE),
            EstError::Method { allowed } => reply.with("allow", *allowed),
            _ => reply,
        }
    }
}

/// RFC 8951 3 has receivers ignore Content-Transfer-Encoding; Bouncy Castle decodes base64 only where it stands.
fn body(media_type: &str, der: &[u8], style: Base64Style) -> Reply {
    Reply::new(200, media_type, base64::encode(der, style)).with("content-transfer-encoding", "base64")
}

/// A sentence for the person who reads the client's output.
fn text(status: u16, sentence: &str) -> Reply {
    Reply::new(status, "text/plain; charset=utf-8", format!("{}\n", one_line(sentence)))
}

/// The two answers after which a client goes on, their sentence in a header: Bouncy Castle (1.72) gives up when they
/// have a body, which it does not read.
fn without_body(status: u16, sentence: &str) -> Reply {
    // RFC 9110 5.5: a field is visible ASCII.
    let ascii: String = one_line(sentence).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    Reply::empty(status).with(REASON, ascii)
}

fn one_line(sentence: &str) -> String {
    sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
