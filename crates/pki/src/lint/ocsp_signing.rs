//! Who signs OCSP answers does nothing else, and says nocheck; nobody else says it.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint = Lint { name: "ocsp_signing", clause: "RFC 6960 4.2.2.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let usages = linted.facts.extended_key_usage.as_deref().unwrap_or_default();
    let signs = usages.contains(&oid::OCSP_SIGNING);
    match linted.facts.criticality(&oid::OCSP_NO_CHECK) {
        _ if signs && usages.len() > 1 => Err("OCSPSigning stands beside another purpose".into()),
        None if signs => Err("OCSPSigning without id-pkix-ocsp-nocheck".into()),
        Some(_) if !signs => Err("id-pkix-ocsp-nocheck without OCSPSigning".into()),
        Some(true) => Err("id-pkix-ocsp-nocheck is critical".into()),
        None | Some(false) => Ok(()),
    }
}
