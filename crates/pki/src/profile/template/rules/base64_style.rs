//! How EST answers are broken into lines has three words.

use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::Base64Style;

pub(super) const RULE: Rule = Rule { name: "base64_style", clause: "RFC 8951 3", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    word::<Base64Style>(draft, report, &RULE, "enrollment.est_base64");
}
