//! The client's side of CMP, for the agent and the simulator: ir, cr, kur, p10cr with polling and confirmation, and rr.
//!
//! Each exchange is a value: it makes the message to POST, and reads what comes back. In scope: making and checking
//! messages. Out of scope: HTTP, keys (signing is a closure), whether the new certificate chains to a trusted root (the
//! caller validates it before it confirms).
//!
//! To add an exchange: a file with its value, its messages through `Session`.

mod enroll;
mod reply;
mod revoke;
#[cfg(test)]
mod tests;

use std::fmt;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::path::Anchors;
use lanyard_pki::spki::KeyRefused;
use zeroize::Zeroizing;

use super::Fresh;
use super::header::{Header, NONCE_BYTES};
use super::mac::MacAlgorithm;
use super::message::{Kind, Unprotected};
use super::name::{NULL_DN, common_name};

pub use enroll::{Enrolling, Issued, Progress, Unconfirmed, Verdict, Wish};
pub use reply::{Declined, ReplyError};
pub use revoke::Revoking;

/// What the client shows of itself.
#[derive(Clone)]
pub enum Credential {
    /// A one-time enrollment secret.
    Secret {
        /// Its id.
        reference: String,
        /// Its whole text.
        secret: Zeroizing<String>,
        /// How.
        mac: Mac,
    },
    /// A certificate and its issuers, without the root. Its key signs in the closures.
    Certificate(Vec<Certificate>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Secret { reference, .. } => write!(f, "Secret({reference}, [redacted])"),
            Credential::Certificate(chain) => f.debug_tuple("Certificate").field(chain).finish(),
        }
    }
}

/// Which MAC protects messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mac {
    /// What every server has.
    Pbm,
    /// What newer ones have.
    Pbmac1,
}

/// Whose signature counts on answers. Answers under our own secret need none.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Only what our secret protects.
    SecretOnly,
    /// The control plane's, under these roots: no other certificate of theirs, a device's say, speaks for the server.
    ControlPlane(Anchors),
    /// One of these certificates and no other.
    Pinned(Vec<Certificate>),
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    credential: Credential,
    trust: Trust,
    recipient: Option<Vec<u8>>,
    clock_tolerance_seconds: u32,
}

/// Why a message could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: std::error::Error> {
    /// The signer failed.
    #[error("signing the message failed: {0}")]
    Signer(#[source] E),
    /// A certificate's or new key's kind.
    #[error("the key cannot be used in CMP: {0}")]
    Key(#[from] KeyRefused),
    /// No certificate to sign with.
    #[error("the credential has no certificate")]
    NoCertificate,
    /// kur needs the certificate that it renews.
    #[error(
        "a key update must be signed with the certificate that it replaces, not with a secret (RFC 9483 4.1.3)"
    )]
    MustBeSigned,
    /// Not a PKCS#10 request.
    #[error("{0}")]
    Request(#[from] csr::CsrError),
    /// The signer signed with another key.
    #[error("the proof of possession does not verify with the new key: {0}")]
    WrongSigner(#[source] csr::CsrError),
}

/// A function that signs as X.509 has it: DER for ECDSA; SHA-256 for P-256 and RSA, SHA-384 for P-384.
pub type Sign<'a, E> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, E>;

impl Client {
    /// A client that goes by `credential` and believes answers by `trust`.
    pub fn new(credential: Credential, trust: Trust) -> Self {
        Self { credential, trust, recipient: None, clock_tolerance_seconds: 900 }
    }

    /// The same, naming the CA (DER of its Name) as recipient.
    pub fn to(mut self, recipient: &[u8]) -> Self {
        self.recipient = Some(recipient.to_vec());
        self
    }
}

/// One transaction, as the client knows it.
#[derive(Debug, Clone)]
struct Session {
    transaction: [u8; NONCE_BYTES],
    /// What we sent last: the answer must show it.
    sent_nonce: [u8; NONCE_BYTES],
    /// What the server sent last: our next message shows it.
    server_nonce: Option<Vec<u8>>,
}

/// What a message says besides its body.
#[derive(Debug, Clone, Default)]
struct Options {
    version: i64,
    implicit_confirm: bool,
    profile: Option<String>,
}

impl Session {
    fn new(transaction: [u8; NONCE_BYTES]) -> Self {
        Self { transaction, sent_nonce: [0; NONCE_BYTES], server_nonce: None }
    }

    /// Makes the next message.
    fn message<E: std::error::Error>(
        &mut self,
        client: &Client,
        (kind, content): (Kind, &[u8]),
        options: Options,
        sign: Sign<'_, E>,
        (fresh, now): (Fresh, Timestamp),
    ) -> Result<Vec<u8>, BuildError<E>> {
        self.sent_nonce = fresh.nonce;
        let mut header = Header {
            version: options.version,
            sender: None,
            recipient: Some(client.recipient.clone().unwrap_or_else(|| NULL_DN.to_vec())),
            time: Some(now),
            protection: None,
            sender_key_id: None,
            transaction: Some(self.transaction.to_vec()),
            sender_nonce: Some(fresh.nonce.to_vec()),
            recipient_nonce: self.server_nonce.clone(),
            implicit_confirm: options.implicit_confirm,
            confirm_by: None,
            profile: options.profile,
        };
        match &client.credential {
            Credential::Secret { reference, secret, mac } => {
                let algorithm = match mac {
                    Mac::Pbm => MacAlgorithm::pbm(&fresh.salt),
                    Mac::Pbmac1 => MacAlgorithm::pbmac1(&fresh.salt),
                };
                // RFC 9483 3.1: the common name is the senderKID.
                header.sender = Some(common_name(reference));
                header.sender_key_id = Some(reference.as_bytes().to_vec());
                header.protection = Some(algorithm.to_der());
                let message = Unprotected::new(&header, kind, content);
                let tag = algorithm.tag(secret.as_bytes(), &message.protected());
                Ok(message.with(&tag, &[]))
            }
            Credential::Certificate(chain) => {
                let signer = chain.first().ok_or(BuildError::NoCertificate)?;
                let key = signer.public_key().map_err(|e| BuildError::Key(e.clone()))?;
                let mut algorithm = Vec::with_capacity(16);
                csr::signature_algorithm(&mut algorithm, key.kind());
                header.sender = Some(signer.subject_der().to_vec());
                header.sender_key_id = signer.subject_key_id().map(<[u8]>::to_vec);
                header.protection = Some(algorithm);
                let message = Unprotected::new(&header, kind, content);
                let signature = sign(&message.protected()).map_err(BuildError::Signer)?;
                let extra: Vec<&[u8]> = chain.iter().map(|c| c.der().as_ref()).collect();
                Ok(message.with(&signature, &extra))
            }
        }
    }
}
