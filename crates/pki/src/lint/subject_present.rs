//! The subject is not empty: our subjectAltName is not critical, and a CA must have a name.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "subject_present", clause: "RFC 5280 4.1.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.subject_is_empty { Err("subject is empty".into()) } else { Ok(()) }
}
