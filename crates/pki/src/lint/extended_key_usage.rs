//! An end entity names the purposes of its profile, these and no other; our CAs name none.

use super::{Lint, Linted};
use crate::profile::Role;

pub(super) const LINT: Lint = Lint { name: "extended_key_usage", clause: "RFC 5280 4.2.1.12", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (&linted.facts.extended_key_usage, linted.role) {
        (None, Role::Authority { .. }) => Ok(()),
        (Some(_), Role::Authority { .. }) => Err("a CA of ours has no extendedKeyUsage".into()),
        (None, Role::EndEntity) => Err("extendedKeyUsage is missing".into()),
        (Some(usages), Role::EndEntity) if usages.is_empty() => Err("extendedKeyUsage is empty".into()),
        (Some(usages), Role::EndEntity) if *usages != linted.terms.purposes => {
            Err(format!("extendedKeyUsage is {usages:?}, the profile says {:?}", linted.terms.purposes))
        }
        (Some(_), Role::EndEntity) => Ok(()),
    }
}
