//! How path validation looks at revocation.
//!
//! webpki is not asked: lists are read and judged in one place ([`crate::crl`]), the same for a path as for anything else.
//! In scope: which lists speak for which certificate of a path, the newest first. Out of scope: indirect lists (refused when
//! they are read), what a list alone means ([`crate::crl`]), fetching, OCSP ([`crate::ocsp`]).

use std::cmp::Reverse;

use lanyard_domain::time::Timestamp;

use super::PathError;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::revocation::{Freshness, Status};

/// How it is made sure that no certificate of a path was revoked.
#[derive(Debug, Clone, Copy)]
pub enum Revocation<'a> {
    /// The end entity must say that it is never revoked (RFC 9608).
    NoneNeeded,
    /// Lists are not read: the caller knows which certificates are current and asks for no other. The end entity says
    /// either that it is never revoked or where it would be listed.
    Elsewhere,
    /// Each certificate below the anchor must be on a side of one of these lists, and on the good one. An end entity
    /// that says noRevAvail needs none; its issuers still do.
    Crls(&'a [Crl]),
    /// Nobody asks. For makers that publish no lists; whoever chooses it answers for it.
    NotAsked,
}

/// Each certificate of a path, the end entity first, against the lists of the one above it.
pub(super) fn check(
    crls: &[Crl],
    leaf: &Certificate,
    issuers: &[Certificate],
    anchor: &Certificate,
    now: Timestamp,
) -> Result<(), PathError> {
    let mut newest: Vec<&Crl> = crls.iter().collect();
    newest.sort_by_key(|crl| Reverse(crl.this_update()));
    let path = std::iter::once(leaf).chain(issuers);
    let above = issuers.iter().chain(std::iter::once(anchor));
    for (certificate, issuer) in path.zip(above) {
        // Never true of a CA.
        if !certificate.facts().is_no_rev_avail() {
            is_good(&newest, certificate, issuer, &Freshness::at(now))?;
        }
    }
    Ok(())
}

/// The first list that speaks of the certificate decides. One that another key signed, or that its issuer may not sign, is
/// no list: whoever put it there shall not end a search that a good one would have ended otherwise.
fn is_good(
    newest: &[&Crl],
    certificate: &Certificate,
    issuer: &Certificate,
    freshness: &Freshness,
) -> Result<(), PathError> {
    for crl in newest {
        match crl.status(certificate, issuer, freshness) {
            Ok(Status::Good) => return Ok(()),
            Ok(Status::Revoked(_)) => return Err(PathError::Revoked),
            Ok(Status::Stale) => return Err(PathError::CrlNotFresh { this_update: crl.this_update() }),
            Ok(Status::Unknown) | Err(_) => {}
        }
    }
    Err(PathError::RevocationUnknown)
}

#[cfg(test)]
mod tests;
