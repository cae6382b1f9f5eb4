//! The subject has an organization and the name of a machine, service or CA: no person, mailbox or place.

use super::{Lint, Linted};
use crate::oid;

pub(super) const LINT: Lint = Lint { name: "subject_attributes", clause: "R46; RFC 5280 4.1.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let attributes = &linted.facts.subject_attributes;
    let known = [oid::ORGANIZATION, oid::SERIAL_NUMBER, oid::COMMON_NAME];
    if let Some(other) = attributes.iter().find(|a| !known.contains(a)) {
        return Err(format!("subject attribute `{other}` belongs to no profile"));
    }
    if attributes.iter().any(|a| attributes.iter().filter(|b| *b == a).count() > 1) {
        return Err("a subject attribute stands twice".into());
    }
    Ok(())
}
