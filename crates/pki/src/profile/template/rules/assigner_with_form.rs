//! A permanent identifier says who assigned it; an assigner without the form would say nothing.

use super::hardware_type_with_form::with_form;
use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::AltNameForm;

pub(super) const RULE: Rule =
    Rule { name: "assigner_with_form", clause: "RFC 4043 2", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    with_form(draft, report, &RULE, AltNameForm::PermanentIdentifier, "names.permanent_identifier_assigner");
}
