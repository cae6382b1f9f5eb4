//! authorityKeyIdentifier is the key identifier of the signing CA.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_authority_key_id", clause: "RFC 5280 5.2.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match &linted.facts.authority_key_id {
        None => Err("authorityKeyIdentifier is missing".into()),
        Some(id) if id.as_slice() == linted.issuer.key_id => Ok(()),
        Some(_) => Err("authorityKeyIdentifier is not the key identifier of the signing CA".into()),
    }
}
