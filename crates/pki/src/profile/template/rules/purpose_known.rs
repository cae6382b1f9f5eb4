//! A purpose is a name that we know, or an OID.

use super::{Check, Draft, Report, Rule};
use crate::profile::purpose::KeyPurpose;

pub(super) const RULE: Rule =
    Rule { name: "purpose_known", clause: "RFC 5280 4.2.1.12", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for purpose in draft.items("usage.purposes") {
        if let Err(bad) = purpose.value.parse::<KeyPurpose>() {
            report.breach(&RULE, purpose, bad.to_string());
        }
    }
}
