//! An object identifier is written in dots.

use super::{Check, Draft, Report, Rule};
use der::asn1::ObjectIdentifier;

pub(super) const RULE: Rule = Rule { name: "oid_form", clause: "X.660 7.6", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for key in ["names.permanent_identifier_assigner", "names.hardware_module_type"] {
        let Some(text) = draft.text(key) else { continue };
        if text.value.parse::<ObjectIdentifier>().is_err() {
            let help = format!("`{}` is no object identifier such as 1.3.6.1.4.1.32473.1", text.value);
            report.breach(&RULE, text, help);
        }
    }
}
