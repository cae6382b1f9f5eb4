//! A list with extensions is version 2.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_version_two", clause: "RFC 5280 5.1.2.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match linted.facts.version {
        2 => Ok(()),
        other => Err(format!("version is {other}, extensions need 2")),
    }
}
