//! The issuer field is the subject of the signing CA, octet for octet.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "issuer_name", clause: "RFC 5280 4.1.2.4", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.issuer == linted.issuer.subject {
        Ok(())
    } else {
        Err("issuer field differs from the subject of the signing CA".into())
    }
}
