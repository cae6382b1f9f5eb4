//! Classes are written as in the records of devices.

use super::slug;
use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule = Rule { name: "class_slug", clause: "R10", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for class in draft.items("classes") {
        slug(class, report, &RULE);
    }
}
