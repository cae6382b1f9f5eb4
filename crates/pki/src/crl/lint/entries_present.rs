//! revokedCertificates is left out when nothing is revoked.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_entries_present", clause: "RFC 5280 5.1.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    if linted.facts.empty_sequence { Err("revokedCertificates is there and empty".into()) } else { Ok(()) }
}
