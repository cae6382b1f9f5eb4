//! The signature field is the algorithm of the signing key.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_signature_algorithm", clause: "RFC 5280 5.1.1.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let (found, expected) = (linted.facts.signature_algorithm, linted.issuer.signature_algorithm);
    if found == expected {
        Ok(())
    } else {
        Err(format!("signature algorithm is `{found}`, the signing key makes `{expected}`"))
    }
}
