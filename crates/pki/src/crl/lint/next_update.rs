//! nextUpdate is there and after thisUpdate.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_next_update", clause: "RFC 5280 5.1.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let this = linted.facts.this_update.at;
    match linted.facts.next_update {
        None => Err("nextUpdate is missing".into()),
        Some(next) if next.at > this => Ok(()),
        Some(next) => Err(format!("nextUpdate `{}` is not after thisUpdate `{this}`", next.at)),
    }
}
