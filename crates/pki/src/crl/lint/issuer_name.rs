//! The issuer is the subject of the signing CA, octet for octet, and not empty.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_issuer_name", clause: "RFC 5280 5.1.2.3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.issuer_is_empty {
        Err("the issuer's name is empty".into())
    } else if linted.facts.issuer != linted.issuer.subject {
        Err("the issuer is not the subject of the signing CA".into())
    } else {
        Ok(())
    }
}
