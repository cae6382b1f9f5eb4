//! Who the other side of a finished handshake is: asked by the application, at each request if it likes.
//!
//! In scope: the certificate that the handshake's signature was made with, against anchors and gate as they are now.
//! Out of scope: what its holder may do.

use lanyard_domain::time::Timestamp;
use rustls_pki_types::CertificateDer;

use super::{Peers, Refusal};
use crate::path::{self, ExpiredChain, PathError, Purpose, VerifiedChain};

/// Why the other side of a finished handshake is nobody that we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The chain is not good.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The chain is good and the gate refuses its holder. Why is not the peer's to know; it stands in the source.
    #[error("the certificate is good and its holder is not accepted here")]
    Refused(#[source] Refusal),
}

/// Who the other side of a finished handshake is; `None` when it showed no certificate.
///
/// The same checks again, the gate's among them, rather than a memory of the first: a connection may be asked long
/// after its handshake, with other anchors and at another time, or its handshake may have asked nothing.
pub fn peer(
    shown: Option<&[CertificateDer<'_>]>,
    peers: &Peers,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<VerifiedChain>, PeerError> {
    shown.map(|chain| admitted(chain, peers, purpose, now)).transpose()
}

pub(super) fn admitted(
    chain: &[CertificateDer<'_>],
    peers: &Peers,
    purpose: Purpose,
    now: Timestamp,
) -> Result<VerifiedChain, PeerError> {
    let verified = path::validate(chain, &peers.anchors.current(), purpose, now)?;
    (peers.gate.0)(&verified).map_err(PeerError::Refused)?;
    Ok(verified)
}

/// What a client showed in a handshake that let any chain through, sorted by what can be done for it.
#[derive(Debug, Clone)]
pub enum Shown {
    /// No certificate.
    Nothing,
    /// A certificate of ours, good today, whose holder the gate accepts.
    Ours(Box<VerifiedChain>),
    /// A certificate of ours that ended. It admits to nothing; see [`ExpiredChain`].
    Expired(Box<ExpiredChain>),
    /// None of ours, or refused: why. It may be a maker's, for [`crate::idevid::verify`] to judge; otherwise the error
    /// is what the client is to be told.
    Other(PeerError),
}

/// Sorts what a client showed; for front ends with [`super::ClientCertificates::OptionalAnyChain`].
pub fn shown(chain: Option<&[CertificateDer<'_>]>, peers: &Peers, purpose: Purpose, now: Timestamp) -> Shown {
    let Some(chain) = chain.filter(|c| !c.is_empty()) else { return Shown::Nothing };
    match admitted(chain, peers, purpose, now) {
        Ok(verified) => Shown::Ours(Box::new(verified)),
        Err(error @ PeerError::Path(PathError::Expired { .. })) => {
            match path::validate_expired(chain, &peers.anchors.current(), purpose, now) {
                Ok(expired) => Shown::Expired(Box::new(expired)),
                // Not one of ours, or its issuer ended too.
                Err(_) => Shown::Other(error),
            }
        }
        Err(error) => Shown::Other(error),
    }
}
