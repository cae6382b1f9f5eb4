//! keyEncipherment is for RSA: the template lists it.

use super::{Check, Draft, Report, Rule};
use crate::profile::key_type::KeyType;

pub(super) const RULE: Rule = Rule {
    name: "encipherment_needs_rsa",
    clause: "RFC 5280 4.2.1.3, RFC 8813 3",
    check: Check::Whole(check),
};

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(flag) = draft.flag("key.key_encipherment") else { return };
    if flag.value && !draft.key_types().into_iter().any(KeyType::can_encipher) {
        let help = "no key of key.types can encipher: add rsa2048+, or take this out";
        report.breach(&RULE, flag, help);
    }
}
