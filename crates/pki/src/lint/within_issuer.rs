//! No certificate outlives its issuer or starts before it (shell model: peers check each link by itself).

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "within_issuer", clause: "RFC 5280 6.1.3 (a)(2)", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some((from, to)) = linted.issuer.validity else { return Ok(()) };
    if linted.facts.not_before.at < from || to < linted.facts.not_after.at {
        return Err(format!(
            "validity `{}` to `{}` is not within the issuer's `{from}` to `{to}`: make a new CA generation or a shorter lifetime",
            linted.facts.not_before.at, linted.facts.not_after.at
        ));
    }
    Ok(())
}
