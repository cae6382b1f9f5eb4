//! The signing CA's keyUsage asserts cRLSign.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_issuer_may_sign", clause: "RFC 5280 4.2.1.3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.issuer.may_sign_lists {
        Ok(())
    } else {
        Err("the CA's keyUsage does not assert cRLSign".into())
    }
}
