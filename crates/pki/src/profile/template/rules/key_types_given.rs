//! At least one type of key is certified.

use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule = Rule { name: "key_types_given", clause: "R54", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    if let Some(types) = draft.list("key.types").filter(|types| types.value.is_empty()) {
        report.breach(&RULE, types, "no key would be accepted: list at least one type, or take the key out");
    }
}
