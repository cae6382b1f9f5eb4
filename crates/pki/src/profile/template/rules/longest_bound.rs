//! A certificate that can be revoked lives at most 398 days: what is longer outlives the record of who answers for it.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::draft::lifetime_keys;
use crate::profile::template::vocabulary::{Lifetime, RevocationMode};

pub(super) const RULE: Rule =
    Rule { name: "longest_bound", clause: "CA/Browser Forum BR 6.3.2, R43", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    // 366 days and a month to renew: the bound that browsers held servers to.
    let most = Lifetime::days(398);
    if draft.mode() != Some(RevocationMode::CrlOcsp) {
        return;
    }
    for key in lifetime_keys().filter(|key| key.ends_with(".longest")) {
        match draft.parsed::<Lifetime>(key) {
            Some(longest) if longest > most => {
                report.breach_at(&RULE, key, draft.place(key), format!("{longest} is more than {most}"));
            }
            _ => {}
        }
    }
}
