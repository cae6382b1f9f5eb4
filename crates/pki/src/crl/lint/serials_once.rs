//! No serial number stands twice: readers differ in which of two entries counts.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "crl_serials_once", clause: "RFC 5280 5.1.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let mut entries = linted.facts.entries.iter();
    let Some(mut before) = entries.next() else { return Ok(()) };
    // They are in the order of their serials.
    for entry in entries {
        if entry.serial == before.serial {
            return Err(format!("serial `{}` stands twice", entry.serial));
        }
        before = entry;
    }
    Ok(())
}
