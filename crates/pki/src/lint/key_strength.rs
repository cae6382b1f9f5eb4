//! The certified key is of an accepted kind and strength, and a CA's key is an EC key as its backend makes them.

use super::{Lint, Linted};
use crate::profile::Role;
use crate::spki::PublicKeyKind;

pub(super) const LINT: Lint = Lint { name: "key_strength", clause: "NIST SP 800-57 part 1, table 2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (&linted.facts.key, linted.role) {
        (Err(refused), _) => Err(refused.to_string()),
        (Ok(key), Role::Authority { .. })
            if !matches!(key.kind(), PublicKeyKind::P256 | PublicKeyKind::P384) =>
        {
            Err(format!("a CA key is P-256 or P-384, not {:?}", key.kind()))
        }
        (Ok(_), _) => Ok(()),
    }
}
