//! notAfter lies after notBefore.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "validity_order", clause: "RFC 5280 4.1.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let (from, to) = (linted.facts.not_before.at, linted.facts.not_after.at);
    if from < to { Ok(()) } else { Err(format!("notAfter `{to}` is not after notBefore `{from}`")) }
}
