//! The key is of a type that the profile certifies.

use super::{Lint, Linted};
use crate::profile::KeyType;

pub(super) const LINT: Lint =
    Lint { name: "key_of_profile", clause: "profile, key.types; NIST SP 800-131A 3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match &linted.facts.key {
        Ok(key) if !linted.terms.key_types.contains(&KeyType::of(key.kind())) => {
            Err(format!("the profile certifies no {} key", KeyType::of(key.kind())))
        }
        // The rule `key_strength` says what is wrong with a key that is not read.
        _ => Ok(()),
    }
}
