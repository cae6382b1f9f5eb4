//! A key type is one that we read.

use super::{Check, Draft, Report, Rule};
use crate::profile::key_type::KeyType;

pub(super) const RULE: Rule = Rule {
    name: "key_type_known",
    clause: "RFC 5480 2, RFC 8410 3, RFC 8017, RFC 9881 2",
    check: Check::Whole(check),
};

fn check(draft: &Draft, report: &mut Report<'_>) {
    for kind in draft.items("key.types") {
        if let Err(bad) = kind.value.parse::<KeyType>() {
            report.breach(&RULE, kind, bad.to_string());
        }
    }
}
