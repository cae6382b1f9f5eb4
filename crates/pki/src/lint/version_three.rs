//! A certificate with extensions is version 3.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "version_three", clause: "RFC 5280 4.1.2.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match linted.facts.version {
        // v3 is written as 2.
        2 => Ok(()),
        other => Err(format!("version field is `{other}`, extensions need 2 (v3)")),
    }
}
