//! The certified key is of an accepted kind and strength, and a CA's key is of a kind that a key backend makes.

use super::{Lint, Linted};
use crate::key::KeyKind;
use crate::profile::Role;

pub(super) const LINT: Lint = Lint { name: "key_strength", clause: "NIST SP 800-57 part 1, table 2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (&linted.facts.key, linted.role) {
        (Err(refused), _) => Err(refused.to_string()),
        (Ok(key), Role::Authority { .. }) if KeyKind::of(key.kind()).is_none() => Err(format!(
            "a CA key is P-256, P-384, Ed25519, RSA of 2048, 3072 or 4096 bits, or ML-DSA-65, not {:?}",
            key.kind()
        )),
        (Ok(_), _) => Ok(()),
    }
}
