//! A length of time has whole hours or days.

use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::draft::lifetime_keys;
use crate::profile::template::vocabulary::Lifetime;

pub(super) const RULE: Rule =
    Rule { name: "duration_form", clause: "docs/pki-profiles.md", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for key in lifetime_keys() {
        word::<Lifetime>(draft, report, &RULE, key);
    }
}
