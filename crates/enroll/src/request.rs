//! What every protocol's request comes down to, and what becomes of it.

use lanyard_pki::csr::VerifiedCsr;

use crate::acme::ProvenOrder;
use crate::secret::SecretProven;

/// How the request came; stands in the issuance's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 7030.
    Est,
    /// RFC 8555.
    Acme,
    /// RFC 9810.
    Cmp,
    /// RFC 8894.
    Scep,
    /// A request file that a person carried.
    File,
}

impl Protocol {
    /// As it stands in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Est => "est",
            Protocol::Acme => "acme",
            Protocol::Cmp => "cmp",
            Protocol::Scep => "scep",
            Protocol::File => "file",
        }
    }
}

/// One wish for one certificate. What the client asks for besides its key is not in here: names come from the record,
/// everything else from the profile.
#[derive(Debug, Clone)]
pub struct EnrollmentRequest {
    /// How it came.
    pub protocol: Protocol,
    /// The profile that the client asks for (EST label, CMP certProfile, SCEP path, ACME profile); the record's without.
    pub profile: Option<String>,
    /// The key, and proof that the sender holds it.
    pub csr: VerifiedCsr,
    /// Who asks.
    pub authentication: Authentication,
}

/// How the sender showed who it is. The engines check signatures and MACs; whether the certificate or the secret is
/// anyone's, and still good, is not decided here.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// By a one-time enrollment secret.
    Secret(SecretProven),
    /// By a certificate, in the TLS handshake or over the message: DER, leaf first. The sender holds the leaf's key.
    Certificate(Vec<Vec<u8>>),
    /// By an ACME order: an account's key signed for it, each of its identifiers was proven, and a key that a maker
    /// attested is the key of the request.
    Order(Box<ProvenOrder>),
}

/// What became of a request, for the engine to render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate, recorded: DER, leaf first, up to but without the root.
    Issued {
        /// Leaf and its issuers.
        chain: Vec<Vec<u8>>,
    },
    /// Not yet: a person must decide first. Ask again with the same key.
    Pending {
        /// When to ask again.
        retry_after_seconds: u32,
        /// What is waited for, in a sentence.
        why: String,
    },
    /// No, with the reason. Asking again does not help.
    Refused {
        /// Stable code, snake case.
        code: String,
        /// A sentence.
        why: String,
    },
    /// Not now: our own fault (log or key store away), or asked too often. Ask again soon.
    Unavailable {
        /// A sentence.
        why: String,
    },
}
