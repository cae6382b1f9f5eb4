//! keyEncipherment stands with RSA keys only: no other key of ours can do it, and some peers refuse the claim.

use super::{Lint, Linted};
use crate::profile::KeyType;

pub(super) const LINT: Lint =
    Lint { name: "encipherment", clause: "RFC 5280 4.2.1.3, RFC 8813 3, RFC 9295 3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let claimed = linted.facts.key_usage.is_some_and(|u| u.key_encipherment() || u.data_encipherment());
    match &linted.facts.key {
        Ok(key) if claimed && !KeyType::of(key.kind()).can_encipher() => {
            Err(format!("a {} key claims encipherment", KeyType::of(key.kind())))
        }
        _ => Ok(()),
    }
}
