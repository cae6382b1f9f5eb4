//! A certificate has at least one alternative name; peers of today read no other.

use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule =
    Rule { name: "san_given", clause: "RFC 9110 4.3.4", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    if let Some(forms) = draft.list("names.alternative").filter(|forms| forms.value.is_empty()) {
        report.breach(&RULE, forms, "no name would stand in the certificate: list at least one form");
    }
}
