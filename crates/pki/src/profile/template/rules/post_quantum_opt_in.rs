//! ML-DSA is switched on twice: hardly a peer of today verifies it.

use super::{Check, Draft, Report, Rule};
use crate::profile::key_type::KeyType;

pub(super) const RULE: Rule =
    Rule { name: "post_quantum_opt_in", clause: "RFC 9881 2", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let listed = draft.key_types().contains(&KeyType::MlDsa65);
    match (listed, draft.flag("key.post_quantum")) {
        (true, Some(flag)) if flag.value => {}
        (true, _) => {
            let help =
                "`ml-dsa-65` needs post_quantum = true: peers that do not know it refuse the certificate";
            report.breach_at(&RULE, "key.types", draft.place("key.types"), help);
        }
        (false, Some(flag)) if flag.value => {
            report.breach(&RULE, flag, "it is not used: add `ml-dsa-65` to key.types, or take this out");
        }
        (false, _) => {}
    }
}
