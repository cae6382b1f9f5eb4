//! A delta counts from a complete list before it; a complete list counts from none.

use super::super::build::Kind;
use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_delta_base", clause: "RFC 5280 5.2.4", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (linted.kind, linted.facts.delta_base) {
        (Kind::Complete { .. }, None) => Ok(()),
        (Kind::Complete { .. }, Some(_)) => Err("a complete list has a delta indicator".into()),
        (Kind::Delta { .. }, None) => Err("the delta indicator is missing".into()),
        (Kind::Delta { .. }, Some(base)) => match linted.facts.number {
            Some(number) if base < number => Ok(()),
            Some(number) => Err(format!("the base {base} is not before the list's own number {number}")),
            // The rule `crl_number` says so.
            None => Ok(()),
        },
    }
}
