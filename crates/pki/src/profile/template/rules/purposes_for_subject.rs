//! Purposes fit what is certified: devices are clients of the gateway, a gateway is server and client, an application is one of the two at least.

use super::{Check, Draft, Report, Rule};
use crate::oid;
use crate::profile::template::vocabulary::SubjectKind;

pub(super) const RULE: Rule =
    Rule { name: "purposes_for_subject", clause: "R53", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let (Some(kind), Some(written)) = (draft.subject(), draft.list("usage.purposes")) else { return };
    let has = |oid| draft.purposes().iter().any(|(purpose, _)| purpose.oid() == oid);
    let (client, server) = (has(oid::CLIENT_AUTH), has(oid::SERVER_AUTH));
    let help = match kind {
        SubjectKind::Device if !client => "a device needs clientAuth: the gateway and 802.1X ask for it",
        SubjectKind::Gateway if !(client && server) => "a gateway needs serverAuth and clientAuth",
        SubjectKind::Application if !(client || server) => "an application needs serverAuth or clientAuth",
        _ => return,
    };
    report.breach(&RULE, written, help);
}
