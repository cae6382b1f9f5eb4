//! freshestCRL stands in complete lists only, and names an address.

use super::super::build::Kind;
use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_freshest_crl", clause: "RFC 5280 5.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some(names) = &linted.facts.freshest else { return Ok(()) };
    if matches!(linted.kind, Kind::Delta { .. }) {
        return Err("a delta list names a freshest list".into());
    }
    if names.uris.is_empty() || names.others > 0 {
        return Err("freshestCRL must name one address and nothing else".into());
    }
    Ok(())
}
