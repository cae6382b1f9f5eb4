//! No extension stands twice, and none is critical that peers of ours do not read.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint = Lint { name: "extensions_once", clause: "RFC 5280 4.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if let Some(id) = linted.facts.repeated_extension() {
        return Err(format!("extension `{id}` stands twice"));
    }
    for (id, critical) in &linted.facts.extensions {
        if *critical && ![oid::KEY_USAGE, oid::BASIC_CONSTRAINTS].contains(id) {
            return Err(format!("extension `{id}` is critical"));
        }
    }
    Ok(())
}
