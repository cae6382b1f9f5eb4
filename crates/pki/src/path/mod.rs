//! Path validation: from the chain that a peer shows to a [`VerifiedChain`] that says who it is.
//!
//! Two layers. [`generic`] is RFC 5280 6 over rustls-webpki with the rules of [`rule`] that webpki lacks; here are
//! the rules for certificates of ours: names in the form of our profiles, and what they say of revocation. In scope: one
//! chain at one moment; how far an expired certificate of ours still says who it was ([`validate_expired`]); one that is on record
//! with whoever asks ([`validate_recorded`]). Out of scope: distrust
//! (it acts through [`crate::tls::Gate`] and the decision at each request), and what the identity may do.
//!
//! What was measured, and where we differ on purpose: docs/pki-paths.md. To add a rule see [`rule`].

mod anchors;
mod expired;
mod explain;
pub mod generic;
pub mod import;
mod recorded;
pub mod revocation;
pub mod rule;

use lanyard_domain::time::Timestamp;
use rustls_pki_types::CertificateDer;

pub use anchors::{AnchorError, Anchors};
pub use expired::{ExpiredChain, validate_expired};
pub use generic::AnchoredPath;
pub use recorded::validate_recorded;
pub use rule::Rule;

use crate::certificate::{Certificate, CertificateError, MAX_CHAIN, PeerIdentity};
use generic::{Policy, Strictness, Usage};
use revocation::Revocation;

/// What the peer uses its certificate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// TLS client.
    Client,
    /// TLS server.
    Server,
}

/// Why a chain is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No certificate at all.
    #[error("the peer showed no certificate")]
    Empty,
    /// More than a chain can have.
    #[error("chain of {shown} certificates, at most {most} are read")]
    TooLong {
        /// How many there are.
        shown: usize,
        /// How many are read.
        most: usize,
    },
    /// More CAs between end entity and anchor than the caller allows.
    #[error("path of {issuers} CAs, at most {most} are accepted here")]
    TooDeep {
        /// How many there are.
        issuers: usize,
        /// How many may be.
        most: usize,
    },
    /// One of them does not parse.
    #[error("certificate {position} of the chain: {source}")]
    Certificate {
        /// 0 is the peer's own.
        position: usize,
        /// Why.
        source: CertificateError,
    },
    /// After notAfter.
    #[error("certificate expired at `{not_after}`")]
    Expired {
        /// Its last second.
        not_after: Timestamp,
    },
    /// Asked whether it is expired, and it is not.
    #[error("certificate is not expired")]
    NotExpired,
    /// Before notBefore.
    #[error("certificate is valid from `{not_before}` on: check the clocks of issuer and verifier")]
    NotYetValid {
        /// Its first second.
        not_before: Timestamp,
    },
    /// Signed by nobody we trust.
    #[error("no path to a trusted authority")]
    UnknownIssuer,
    /// The authority that signed is trusted no longer, or not yet.
    #[error("the authority that signed is outside of its own validity: install the current CA generation")]
    AnchorOutsideValidity,
    /// A rule of ours.
    #[error("certificate {position} of the chain: {rule}")]
    Refused {
        /// 0 is the peer's own.
        position: usize,
        /// Which.
        rule: Rule,
    },
    /// What the trust anchor says of itself does not allow this path.
    #[error("the trust anchor: {rule}")]
    RefusedAnchor {
        /// Which.
        rule: Rule,
    },
    /// The end entity has not the name that was asked for.
    #[error("the certificate does not have the name that was asked for")]
    OtherName,
    /// A name is outside of what a CA above it may certify (RFC 5280 4.2.1.10).
    #[error("a name is outside of the nameConstraints of its issuer{}", unread_words(*.unread))]
    OutsideConstraints {
        /// A form of name that is constrained and that we do not compare.
        unread: Option<&'static str>,
    },
    /// On the list of its issuer.
    #[error("a certificate of the chain is revoked")]
    Revoked,
    /// No list says anything about it.
    #[error("no revocation list covers a certificate of the chain: give the list of its issuer")]
    RevocationUnknown,
    /// The newest list is too old to say anything, or from the future.
    #[error(
        "the revocation list of `{this_update}` is too old or from the future: fetch its issuer's newest one"
    )]
    CrlNotFresh {
        /// As of when it is.
        this_update: Timestamp,
    },
    /// Another rule of RFC 5280 6, as webpki names it.
    #[error("path validation failed: {0}")]
    Invalid(String),
}

fn unread_words(form: Option<&'static str>) -> String {
    form.map(|form| format!("; constraints on {form} names are not evaluated, every such name is outside"))
        .unwrap_or_default()
}

/// A chain that was checked by [`validate`], and whom it names.
#[derive(Debug, Clone)]
pub struct VerifiedChain {
    path: AnchoredPath,
    identity: PeerIdentity,
    verified_at: Timestamp,
}

impl VerifiedChain {
    /// Whom the certificate names.
    pub fn identity(&self) -> PeerIdentity {
        self.identity
    }
    /// The peer's own certificate.
    pub fn leaf(&self) -> &Certificate {
        self.path.leaf()
    }
    /// The CAs between it and the anchor, nearest first.
    pub fn issuers(&self) -> &[Certificate] {
        self.path.issuers()
    }
    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        self.path.anchor()
    }
    /// The moment for which it was checked.
    pub fn verified_at(&self) -> Timestamp {
        self.verified_at
    }
}

/// Checks the chain that a peer showed, its own certificate first, for `purpose` at `now`.
pub fn validate(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    purpose: Purpose,
    now: Timestamp,
) -> Result<VerifiedChain, PathError> {
    let policy = ours(purpose, now);
    let parsed = generic::parse(chain, policy.longest_chain)?;
    let identity = named(&parsed, &policy)?;
    let path = generic::build(&parsed, anchors, &policy)?;
    Ok(VerifiedChain { path, identity, verified_at: now })
}

/// Checks signatures, validity and constraints of a chain that is not of our profiles, for any purpose, without
/// asking for revocation. More can be asked for with [`generic::validate`].
pub fn chain_to_anchor(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
) -> Result<AnchoredPath, PathError> {
    let policy = Policy {
        strictness: Strictness::Maker,
        revocation: Revocation::NotAsked,
        ..Policy::strict(Usage::Any, now)
    };
    generic::validate(chain, anchors, &policy)
}

/// What holds for certificates of ours.
fn ours(purpose: Purpose, now: Timestamp) -> Policy<'static> {
    let revocation = match purpose {
        // Whoever serves knows the current certificates of its clients, and takes no other: the gateway's view of a
        // device, the control plane's world.
        Purpose::Client => Revocation::Elsewhere,
        // A device knows nothing of the kind about its gateway: gateways and the control plane are short-lived.
        Purpose::Server => Revocation::NoneNeeded,
    };
    Policy { longest_chain: MAX_CHAIN, revocation, ..Policy::strict(Usage::Tls(purpose), now) }
}

/// Whom the end entity names, if it keeps the rules for itself and for certificates of ours.
fn named(parsed: &[Certificate], policy: &Policy<'_>) -> Result<PeerIdentity, PathError> {
    generic::end_entity(parsed, policy)?;
    let leaf = parsed.first().ok_or(PathError::Empty)?;
    leaf.identity().map_err(|_| PathError::Refused { position: 0, rule: Rule::ForeignNames })
}

#[cfg(test)]
mod tests;
