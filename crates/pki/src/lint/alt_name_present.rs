//! An end entity has a subjectAltName with at least one name, not critical beside a subject.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "alt_name_present", clause: "RFC 5280 4.2.1.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (&linted.facts.alt_names, linted.facts.is_ca()) {
        (None, true) => Ok(()),
        (None, false) => Err("subjectAltName is missing".into()),
        (Some(names), _) if names.is_empty() => Err("subjectAltName has no name".into()),
        (Some(names), _) if names.critical => Err("subjectAltName is critical beside a subject".into()),
        (Some(_), _) => Ok(()),
    }
}
