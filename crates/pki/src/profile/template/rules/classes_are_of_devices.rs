//! Device classes are given where devices are certified.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::SubjectKind;

pub(super) const RULE: Rule =
    Rule { name: "classes_are_of_devices", clause: "R47", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(classes) = draft.list("classes") else { return };
    let other = draft.subject().is_some_and(|kind| kind != SubjectKind::Device);
    if other && !classes.value.is_empty() {
        report.breach(&RULE, classes, "only devices have classes: take the key out");
    }
}
