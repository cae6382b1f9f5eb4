//! What the subject has besides the organization has three words.

use super::no_person::is_personal;
use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::SubjectStyle;

pub(super) const RULE: Rule =
    Rule { name: "subject_style", clause: "RFC 5280 4.1.2.6", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    if draft.text("names.subject").is_some_and(|text| !is_personal(&text.value)) {
        word::<SubjectStyle>(draft, report, &RULE, "names.subject");
    }
}
