//! A template certifies one kind of thing.

use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::SubjectKind;

pub(super) const RULE: Rule = Rule { name: "subject_kind", clause: "R46, R47", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    word::<SubjectKind>(draft, report, &RULE, "subject");
}
