//! subjectAltName has names of machines and services only: DNS, URI, IP address, and hardware names of devices. No mailbox,
//! no directory name, no other form.

use super::{Lint, Linted};

pub(super) const LINT: Lint =
    Lint { name: "alt_name_forms", clause: "RFC 5280 4.2.1.6, RFC 4043 2, RFC 4108 5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some(names) = &linted.facts.alt_names else { return Ok(()) };
    if names.others > 0 {
        return Err(format!("{} names of a form that no profile writes", names.others));
    }
    if names.uris.len() > 1 {
        return Err("more than one URI".into());
    }
    if names.permanent_identifiers.len() > 1 || names.hardware_modules.len() > 1 {
        return Err("more than one hardware name of a form".into());
    }
    Ok(())
}
