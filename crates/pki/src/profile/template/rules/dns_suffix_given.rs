//! An application that may have DNS names says under which domains; without, it could be named as anybody.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::{AltNameForm, SubjectKind};

pub(super) const RULE: Rule =
    Rule { name: "dns_suffix_given", clause: "R10, R69", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let named =
        draft.subject() == Some(SubjectKind::Application) && draft.forms().contains(&AltNameForm::Dns);
    let key = "convention.dns_suffixes";
    if named && draft.items(key).is_empty() {
        let help = "list the domains under which these applications may be named, or take `dns` out of names.alternative";
        report.breach_at(&RULE, key, draft.place(key), help);
    }
}
