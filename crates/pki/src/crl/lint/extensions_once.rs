//! No extension stands twice.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_extensions_once", clause: "RFC 5280 4.2 and 5.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match linted.facts.repeated_extension() {
        Some(id) => Err(format!("extension `{id}` stands twice")),
        None => Ok(()),
    }
}
