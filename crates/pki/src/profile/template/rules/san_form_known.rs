//! A form of alternative name is one that we write.

use super::no_person::is_personal;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::AltNameForm;

pub(super) const RULE: Rule =
    Rule { name: "san_form_known", clause: "RFC 5280 4.2.1.6", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for form in draft.items("names.alternative").iter().filter(|form| !is_personal(&form.value)) {
        if let Err(bad) = form.value.parse::<AltNameForm>() {
            report.breach(&RULE, form, bad.to_string());
        }
    }
}
