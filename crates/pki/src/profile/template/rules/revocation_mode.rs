//! How revocation is known has two words.

use super::word;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::RevocationMode;

pub(super) const RULE: Rule =
    Rule { name: "revocation_mode", clause: "RFC 9608 2, RFC 5280 4.2.1.13", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    word::<RevocationMode>(draft, report, &RULE, "revocation.mode");
}
