//! A CA with path length 0 signs no other CA.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "issuer_may_sign", clause: "RFC 5280 4.2.1.9", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.is_ca() && linted.issuer.path_len == Some(0) {
        return Err("the signing CA has path length 0 and may sign end entities only".into());
    }
    Ok(())
}
