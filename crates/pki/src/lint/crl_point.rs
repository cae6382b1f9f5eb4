//! A listed certificate has one distribution point with one URI, not critical: that of its own shard, an authority's that of
//! its root's list; others have none.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint = Lint { name: "crl_point", clause: "RFC 5280 4.2.1.13", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let facts = linted.facts;
    let Some(list) = linted.pointers.and_then(|pointers| pointers.crl.as_ref()) else {
        return if facts.names_a_crl {
            Err("a CRL in a certificate that stands on none".into())
        } else {
            Ok(())
        };
    };
    if facts.criticality(&oid::CRL_DISTRIBUTION_POINTS) == Some(true) {
        return Err("cRLDistributionPoints is critical".into());
    }
    if facts.criticality(&oid::FRESHEST_CRL).is_some() {
        return Err("freshestCRL is not written".into());
    }
    match facts.crl_points.as_slice() {
        [point] if point.plain && point.uris == [list.as_str()] => Ok(()),
        [] => Err("cRLDistributionPoints is missing".into()),
        other => Err(format!("distribution points are {other:?}, expected one with `{list}`")),
    }
}
