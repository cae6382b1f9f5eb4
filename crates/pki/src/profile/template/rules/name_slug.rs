//! A name stands in events, commands and URLs.

use super::slug;
use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule =
    Rule { name: "name_slug", clause: "R10, RFC 1035 2.3.4", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    if let Some(name) = draft.text("name") {
        slug(name, report, &RULE);
    }
}
