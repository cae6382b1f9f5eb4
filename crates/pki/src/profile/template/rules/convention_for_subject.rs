//! A convention is given for what the template certifies: device names and AE titles for devices, domains for the others.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::SubjectKind;

pub(super) const RULE: Rule =
    Rule { name: "convention_for_subject", clause: "R10", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(kind) = draft.subject() else { return };
    let keys: &[&str] = match kind {
        SubjectKind::Device => &["convention.dns_suffixes"],
        SubjectKind::Application | SubjectKind::Gateway => &["convention.device_name", "convention.ae_title"],
    };
    for key in keys.iter().filter(|key| draft.has(key)) {
        report.breach_at(&RULE, key, draft.place(key), format!("a template for a {kind} has no use for it"));
    }
}
