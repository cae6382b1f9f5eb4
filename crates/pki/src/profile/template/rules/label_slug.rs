//! A label stands in URLs of four protocols.

use super::slug;
use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule =
    Rule { name: "label_slug", clause: "RFC 7030 3.2.2", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    if let Some(label) = draft.text("enrollment.label") {
        slug(label, report, &RULE);
    }
}
