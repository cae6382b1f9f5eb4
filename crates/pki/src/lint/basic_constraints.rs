//! An end entity asserts no cA; a CA asserts it critically, and never a deeper path than its issuer allows.

use super::{Lint, Linted};
use crate::oid;
use crate::profile::Role;

pub(super) const LINT: Lint = Lint { name: "basic_constraints", clause: "RFC 5280 4.2.1.9", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let found = linted.facts.basic_constraints.as_ref();
    match linted.role {
        Role::EndEntity if found.is_some_and(|b| b.ca) => Err("an end entity asserts cA".into()),
        Role::EndEntity if found.is_some_and(|b| b.path_len_constraint.is_some()) => {
            Err("an end entity has a path length".into())
        }
        Role::EndEntity => Ok(()),
        Role::Authority { path_len } => {
            let Some(constraints) = found.filter(|b| b.ca) else {
                return Err("a CA does not assert cA".into());
            };
            if linted.facts.criticality(&oid::BASIC_CONSTRAINTS) != Some(true) {
                return Err("basicConstraints of a CA is not critical".into());
            }
            if constraints.path_len_constraint != path_len {
                return Err(format!(
                    "path length is {:?}, the profile says {path_len:?}",
                    constraints.path_len_constraint
                ));
            }
            Ok(())
        }
    }
}
