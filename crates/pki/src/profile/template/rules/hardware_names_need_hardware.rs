//! A certificate that names a hardware module says that its key lives there; a key made by the server does not.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::AltNameForm;

pub(super) const RULE: Rule =
    Rule { name: "hardware_names_need_hardware", clause: "RFC 4108 5, R34", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(flag) = draft.flag("key.server_generated") else { return };
    let forms = draft.forms();
    let hardware = [AltNameForm::PermanentIdentifier, AltNameForm::HardwareModuleName];
    if flag.value && hardware.iter().any(|form| forms.contains(form)) {
        let help = "a key that the server made is in no hardware of the device: take the hardware names out, or this";
        report.breach(&RULE, flag, help);
    }
}
