//! Without revocation a certificate lives at most seven days.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::draft::lifetime_keys;
use crate::profile::template::vocabulary::{Lifetime, RevocationMode};

pub(super) const RULE: Rule = Rule {
    name: "short_lived_longest",
    clause: "RFC 9608 2, CA/Browser Forum BR 1.6.1",
    check: Check::Whole(check),
};

fn check(draft: &Draft, report: &mut Report<'_>) {
    if draft.mode() != Some(RevocationMode::ShortLived) {
        return;
    }
    for key in lifetime_keys().filter(|key| key.ends_with(".longest")) {
        match draft.parsed::<Lifetime>(key) {
            Some(longest) if longest > Lifetime::WEEK => {
                let help =
                    format!("{longest} is more than 7d: shorten it, or set revocation.mode to crl-ocsp");
                report.breach_at(&RULE, key, draft.place(key), help);
            }
            _ => {}
        }
    }
}
