//! What stands twice in a list was meant to be something else.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::document::{KEYS, Shape};

pub(super) const RULE: Rule =
    Rule { name: "list_without_repeats", clause: "RFC 5280 4.2.1.12", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for (key, _) in KEYS.iter().filter(|(_, shape)| *shape == Shape::List) {
        let items = draft.items(key);
        for (i, item) in items.iter().enumerate() {
            if items.iter().take(i).any(|before| before.value == item.value) {
                report.breach(&RULE, item, format!("`{}` stands in the list before", item.value));
            }
        }
    }
    // A purpose can be spelled by name and by OID.
    let purposes = draft.purposes();
    for (i, (purpose, item)) in purposes.iter().enumerate() {
        if purposes.iter().take(i).any(|(p, before)| p == purpose && before.value != item.value) {
            report.breach(
                &RULE,
                item,
                format!("`{purpose}` stands in the list before, in its other spelling"),
            );
        }
    }
}
