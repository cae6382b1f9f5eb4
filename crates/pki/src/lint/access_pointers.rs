//! authorityInfoAccess of a listed certificate is not critical and names the responder and the issuer's certificate, one
//! URI each, as the installation says; an authority's the latter alone; others have none.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint = Lint { name: "access_pointers", clause: "RFC 5280 4.2.2.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let found = &linted.facts.access;
    let Some(pointers) = linted.pointers else {
        return match found.first() {
            Some((method, _)) => Err(format!("access method `{method}` in a certificate that names none")),
            None => Ok(()),
        };
    };
    if linted.facts.criticality(&oid::AUTHORITY_INFO_ACCESS) == Some(true) {
        return Err("authorityInfoAccess is critical".into());
    }
    let ocsp = pointers.ocsp.iter().map(|uri| (oid::OCSP, uri));
    let expected: Vec<_> = ocsp.chain([(oid::CA_ISSUERS, &pointers.ca_issuers)]).collect();
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|((method, uri), (want, to))| method == want && uri.as_deref() == Some(to.as_str()));
    if same { Ok(()) } else { Err(format!("authorityInfoAccess is {found:?}, not the installation's")) }
}
