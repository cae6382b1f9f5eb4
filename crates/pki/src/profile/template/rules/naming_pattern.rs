//! A pattern can be read in one way only.

use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::convention::Pattern;

pub(super) const RULE: Rule = Rule { name: "naming_pattern", clause: "R10", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for key in ["convention.device_name", "convention.ae_title"] {
        word::<Pattern>(draft, report, &RULE, key);
    }
}
