//! The signature field is the algorithm of the signing key, with the parameters that its document asks for.

use super::{Lint, Linted};
use crate::facts::Parameters;
use crate::oid;

pub(super) const LINT: Lint = Lint {
    name: "signature_algorithm",
    clause: "RFC 5280 4.1.1.2, RFC 4055 5, RFC 5758 3.2, RFC 8410 3, RFC 9881 2",
    check,
};

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let (found, expected) = (linted.facts.signature_algorithm, linted.issuer.signature_algorithm);
    if found != expected {
        return Err(format!("signature algorithm is `{found}`, the signing key makes `{expected}`"));
    }
    let parameters = if oid::is_rsa_signature(&expected) { Parameters::Null } else { Parameters::Absent };
    if linted.facts.signature_parameters != parameters {
        return Err(format!(
            "parameters of signature algorithm `{found}` are {:?}, must be {parameters:?}",
            linted.facts.signature_parameters
        ));
    }
    Ok(())
}
