//! The server's side of CMP: from bytes to a [`Request`] whose sender has proven itself, and from what became of it to
//! bytes.
//!
//! 1. [`Server::receive`] takes the message apart and says by [`Received::reference`] which secret, if any, is needed.
//! 2. [`Received::verify`] checks the protection and the proof of possession. Nothing before it can be acted on. Whether
//!    the sender is anybody who is known is the caller's question, best asked here: [`Verified::refuse`] says no.
//! 3. [`Verified::accept`] looks the transaction up, under the caller's lock, and gives a [`Request`].
//! 4. The caller acts; `answer` of the request takes the outcome, again under the lock, and gives a [`Draft`].
//! 5. [`Draft::sign`] makes the protection and the HTTP reply, without the lock.
//!
//! After 3 and 4 the caller takes [`super::Transactions::take_settled`] and records it before it sends anything.
//! A refusal at any step is a [`Refused`], which is answered in the same way (RFC 9810 5.3.21).
//!
//! In scope: RFC 9810, 9811 and the lightweight profile RFC 9483 for one request a message. Out of scope: nested messages
//! and other tasks of a registration authority, keys made by the server, key encipherment, KEM, announcements.

mod accept;
mod answer;
mod endpoint;
mod receive;
mod refusal;
#[cfg(test)]
mod tests;

use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::spki::KeyRefused;

use super::name::{NULL_DN, same};

pub use accept::{Abort, Confirm, Enroll, Inform, Request, RevocationRequest, Revoke};
pub use answer::{Draft, RevocationOutcome};
pub use endpoint::{BadEndpoint, Endpoint, Operation};
pub use receive::{Received, Reference, Verified};
pub use refusal::{NotReceived, Refusal, Refused, Rejected};

/// Whether a certificate counts as confirmed when the client asks for that (RFC 9810 5.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImplicitConfirm {
    /// One round trip less, and no word whether the device has stored the certificate.
    Granted,
    /// Each certificate is confirmed by a certConf.
    Refused,
}

/// What a site may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How far messageTime may be from our clock, either way. Freshness rests on transaction numbers and nonces (RFC 9483
    /// 3.1), the clock only bounds for how long numbers are remembered; so a device that is ten minutes off is served.
    /// The longest: half of [`super::TransactionLimits::ended_seconds`].
    pub clock_tolerance_seconds: u32,
    /// See there.
    pub implicit_confirm: ImplicitConfirm,
    /// DER of Names that count as ours besides those of the certificates: of CAs of earlier generations, by which devices
    /// still call us.
    pub former_names: Vec<Vec<u8>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            clock_tolerance_seconds: 900,
            implicit_confirm: ImplicitConfirm::Granted,
            former_names: Vec::new(),
        }
    }
}

/// Why a server cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServer {
    /// Nothing to sign answers with.
    #[error("the CMP server needs a certificate to sign its answers with")]
    NoSigner,
    /// Clients check keyUsage (RFC 9483 3.2).
    #[error(
        "the CMP signer's certificate must assert digitalSignature in keyUsage: a CA certificate does not do"
    )]
    MayNotSign,
    /// Of no accepted kind.
    #[error("the CMP signer's certificate: {0}")]
    Key(#[source] KeyRefused),
}

/// Who answers: the certificates that go with each signed answer, and the site's policy. Holds no key.
#[derive(Debug, Clone)]
pub struct Server {
    /// The signer, then its issuers.
    chain: Vec<Certificate>,
    roots: Vec<Certificate>,
    policy: Policy,
    /// The AlgorithmIdentifier of its signatures.
    algorithm: Vec<u8>,
}

impl Server {
    /// `chain` is the signer and its issuers up to but without the root, `roots` are the roots that devices are to trust:
    /// they go to clients that a secret authenticates (RFC 9483 4.1.1, caPubs). The signer signs with SHA-256 under P-256
    /// and RSA, SHA-384 under P-384.
    pub fn new(chain: Vec<Certificate>, roots: Vec<Certificate>, policy: Policy) -> Result<Self, BadServer> {
        let signer = chain.first().ok_or(BadServer::NoSigner)?;
        if !signer.may_sign_messages() {
            return Err(BadServer::MayNotSign);
        }
        let key = signer.public_key().map_err(|e| BadServer::Key(e.clone()))?;
        let mut algorithm = Vec::with_capacity(16);
        csr::signature_algorithm(&mut algorithm, key.kind());
        Ok(Self { chain, roots, policy, algorithm })
    }

    /// Whether `name` (DER) is one by which we go. The NULL-DN names nobody and is taken: a client that has a secret and
    /// nothing else does not know the CA's name (RFC 9483 3.1).
    fn goes_by(&self, name: &[u8]) -> bool {
        let certificates = self.chain.iter().chain(&self.roots);
        name == NULL_DN
            || certificates.map(Certificate::subject_der).any(|own| same(own, name))
            || self.policy.former_names.iter().any(|former| same(former, name))
    }
}
