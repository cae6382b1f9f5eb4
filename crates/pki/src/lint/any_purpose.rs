//! No certificate of ours has the wildcard purpose or one that belongs to an authority, a TPM or a person.

use super::{Lint, Linted};
use crate::oid;
use crate::profile::KeyPurpose;

pub(super) const LINT: Lint =
    Lint { name: "any_purpose", clause: "RFC 5280 4.2.1.12, RFC 6960 4.2.2.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let purposes = linted.facts.extended_key_usage.as_deref().unwrap_or_default();
    for purpose in purposes {
        if *purpose == oid::ANY_EXTENDED_KEY_USAGE {
            return Err("anyExtendedKeyUsage is a wildcard".into());
        }
        // Those that a built-in profile names itself are its own business.
        if linted.terms.purposes.contains(purpose) && linted.terms.is_built_in() {
            continue;
        }
        if let Some(what) = KeyPurpose::from(*purpose).reserved_for() {
            return Err(format!("purpose `{purpose}` would let its holder {what}"));
        }
    }
    Ok(())
}
