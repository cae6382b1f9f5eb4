//! unspecified is left out, removeFromCRL stands in deltas only, and an end entity is no attribute authority. cACompromise may be
//! said of one: of all reasons it alone says that not its holder's key but its issuer's is in other hands.

use super::super::build::{Kind, Scope};
use super::{Lint, Linted};
use crate::revocation::Reason;

pub(super) const LINT: Lint = Lint { name: "crl_reasons", clause: "RFC 5280 5.3.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    for entry in &linted.facts.entries {
        let wrong = match entry.reason {
            Some(Reason::Unspecified) => "unspecified is said by leaving the reason out",
            Some(Reason::RemoveFromCrl) if !matches!(linted.kind, Kind::Delta { .. }) => {
                "removeFromCRL stands in delta lists only"
            }
            Some(Reason::AaCompromise) if matches!(linted.scope, Scope::Users(_)) => {
                "an attribute authority's compromise is no reason for an end entity"
            }
            _ => continue,
        };
        return Err(format!("entry `{}`: {wrong}", entry.serial));
    }
    Ok(())
}
