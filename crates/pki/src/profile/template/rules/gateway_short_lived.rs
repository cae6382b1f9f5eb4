//! A gateway's certificate is short-lived: devices check it, and they fetch no lists.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::{RevocationMode, SubjectKind};

pub(super) const RULE: Rule =
    Rule { name: "gateway_short_lived", clause: "R53, RFC 9608 1", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(written) = draft.text("revocation.mode") else { return };
    if draft.subject() == Some(SubjectKind::Gateway) && draft.mode() == Some(RevocationMode::CrlOcsp) {
        let help = "devices refuse a gateway whose revocation they would have to look up: use short-lived";
        report.breach(&RULE, written, help);
    }
}
