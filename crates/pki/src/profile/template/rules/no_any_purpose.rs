//! No wildcard among the purposes.

use super::{Check, Draft, Report, Rule};
use crate::oid;

pub(super) const RULE: Rule =
    Rule { name: "no_any_purpose", clause: "RFC 5280 4.2.1.12", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for (purpose, item) in draft.purposes() {
        if purpose.oid() == oid::ANY_EXTENDED_KEY_USAGE {
            report.breach(&RULE, item, "anyExtendedKeyUsage allows everything: name the purposes");
        }
    }
}
