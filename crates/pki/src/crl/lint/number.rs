//! Every list has a number.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_number", clause: "RFC 5280 5.2.3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.number.is_some() { Ok(()) } else { Err("the CRL number is missing".into()) }
}
