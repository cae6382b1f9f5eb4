//! Names are written that the subject has: addresses for servers, hardware names for devices.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::{AltNameForm, SubjectKind};

pub(super) const RULE: Rule =
    Rule { name: "san_for_subject", clause: "RFC 5280 4.2.1.6", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(kind) = draft.subject() else { return };
    for item in draft.items("names.alternative") {
        let fits = match (item.value.parse::<AltNameForm>(), kind) {
            (Ok(AltNameForm::Dns | AltNameForm::Ip), SubjectKind::Device) => false,
            (Ok(AltNameForm::PermanentIdentifier | AltNameForm::HardwareModuleName), other) => {
                other == SubjectKind::Device
            }
            _ => true,
        };
        if !fits {
            report.breach(&RULE, item, format!("a {kind} has no name of the form `{}`", item.value));
        }
    }
}
