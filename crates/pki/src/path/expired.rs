//! Certificates of ours that ended: whom they named, for the one use that is left to them, renewal.
//!
//! A device that was switched off for a month shows what it has. It is no longer authenticated by it and is let in
//! nowhere, so this is a type of its own and not a [`super::VerifiedChain`]; but its owner can be told what to do, and a
//! record can be found for re-attestation. In scope: everything that [`super::validate`] checks, at the certificate's
//! own last second, while its issuers are valid today. Out of scope: how long after is too long, and what else is needed.

use lanyard_domain::time::Timestamp;
use rustls_pki_types::CertificateDer;

use super::{Anchors, PathError, Purpose, generic, named, ours};
use crate::certificate::{Certificate, PeerIdentity};

/// A chain of ours whose end entity certificate is expired and in which all else holds. Proves nothing today: take it
/// for a hint which record is meant. Made only by [`validate_expired`].
#[derive(Debug, Clone)]
pub struct ExpiredChain {
    leaf: Certificate,
    identity: PeerIdentity,
    expired_seconds: i64,
}

impl ExpiredChain {
    /// Whom the certificate named.
    pub fn identity(&self) -> PeerIdentity {
        self.identity
    }
    /// The certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }
    /// For how long it had been expired at the moment of the check; at least one second.
    pub fn expired_seconds(&self) -> i64 {
        self.expired_seconds
    }
}

/// Checks the chain of a peer whose certificate ended before `now`. One that has not ended is refused as
/// [`PathError::NotExpired`]: for those there is [`super::validate`].
pub fn validate_expired(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    purpose: Purpose,
    now: Timestamp,
) -> Result<ExpiredChain, PathError> {
    let parsed = generic::parse(chain, ours(purpose, now).longest_chain)?;
    let leaf = parsed.first().ok_or(PathError::Empty)?;
    let expired_seconds = now.seconds_since(leaf.not_after());
    if expired_seconds <= 0 {
        return Err(PathError::NotExpired);
    }
    let policy = ours(purpose, leaf.not_after());
    let identity = named(&parsed, &policy)?;
    let path = generic::build(&parsed, anchors, &policy)?;
    // An issuer that ended meanwhile vouches for nothing, not even for the past: its key may be anywhere.
    for issuer in path.issuers() {
        if issuer.not_after() < now {
            return Err(PathError::Expired { not_after: issuer.not_after() });
        }
    }
    if path.anchor().not_after() < now {
        return Err(PathError::AnchorOutsideValidity);
    }
    Ok(ExpiredChain { leaf: path.leaf().clone(), identity, expired_seconds })
}

#[cfg(test)]
mod tests;
