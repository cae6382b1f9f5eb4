//! Our own reader recognises in the names whom the certificate is for, and nobody else.

use super::{Lint, Linted};

pub(super) const LINT: Lint =
    Lint { name: "names_recognised", clause: "R38; certificate::PeerIdentity", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some(names) = &linted.facts.alt_names else { return Ok(()) };
    match (names.identity(), linted.identity) {
        (Ok(found), Some(meant)) if found == meant => Ok(()),
        (Ok(found), Some(meant)) => Err(format!("the names are those of {found}, not of {meant}")),
        (Err(why), Some(meant)) => Err(format!("the names would not be recognised as {meant}: {why}")),
        (Ok(found), None) => Err(format!("the names are those of {found}, and the facts name no machine")),
        (Err(_), None) => Ok(()),
    }
}
