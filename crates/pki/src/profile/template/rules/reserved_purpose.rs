//! No purpose that belongs to an authority, a TPM or a person.

use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule =
    Rule { name: "reserved_purpose", clause: "RFC 6960 4.2.2.2, RFC 10002, R46", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for (purpose, item) in draft.purposes() {
        if let Some(what) = purpose.reserved_for() {
            report.breach(&RULE, item, format!("`{purpose}` would let its holder {what}"));
        }
    }
}
