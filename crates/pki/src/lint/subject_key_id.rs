//! subjectKeyIdentifier is there and is the identifier of the key in the certificate.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "subject_key_id", clause: "RFC 5280 4.2.1.2, RFC 7093 2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some(found) = &linted.facts.subject_key_id else {
        return Err("subjectKeyIdentifier is missing".into());
    };
    match &linted.facts.key {
        Ok(key) if found.as_slice() == key.key_id() => Ok(()),
        Ok(_) => Err("subjectKeyIdentifier is not derived from the key".into()),
        // The rule `key_strength` says what is wrong with the key.
        Err(_) => Ok(()),
    }
}
