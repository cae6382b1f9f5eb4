//! What readers must understand is critical, and nothing else is.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint =
    Lint { name: "crl_critical_extensions", clause: "RFC 5280 5.2, 5.2.4 and 5.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    for (id, critical) in &linted.facts.extensions {
        let must_be = [oid::ISSUING_DISTRIBUTION_POINT, oid::DELTA_CRL_INDICATOR].contains(id);
        if *critical != must_be {
            return Err(format!("extension `{id}` is {}critical", if *critical { "" } else { "not " }));
        }
    }
    match linted.facts.unknown_critical {
        Some(id) => Err(format!("an entry has the critical extension `{id}`")),
        None => Ok(()),
    }
}
