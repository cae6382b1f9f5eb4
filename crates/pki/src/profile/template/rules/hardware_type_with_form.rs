//! A hardware module name says the type of the module; a type without the form would say nothing.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::AltNameForm;

pub(super) const RULE: Rule =
    Rule { name: "hardware_type_with_form", clause: "RFC 4108 5", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    with_form(draft, report, &RULE, AltNameForm::HardwareModuleName, "names.hardware_module_type");
}

/// A form of name and the OID that it needs stand together or not at all.
pub(super) fn with_form(
    draft: &Draft,
    report: &mut Report<'_>,
    rule: &Rule,
    form: AltNameForm,
    key: &'static str,
) {
    match (draft.forms().contains(&form), draft.has(key)) {
        (true, false) => {
            let help = format!("`{form}` among names.alternative needs this OID; give it");
            report.breach_at(rule, key, draft.place(key), help);
        }
        (false, true) => {
            let help = format!("it is not used: add `{form}` to names.alternative, or take the key out");
            report.breach_at(rule, key, draft.place(key), help);
        }
        _ => {}
    }
}
