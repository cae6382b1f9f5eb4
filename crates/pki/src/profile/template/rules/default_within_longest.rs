//! The usual lifetime is not longer than the longest.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::draft::tier_keys;
use lanyard_domain::tier::Tier;

pub(super) const RULE: Rule =
    Rule { name: "default_within_longest", clause: "R43", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let mut spans = vec![("validity.default", "validity.longest", draft.general())];
    for tier in Tier::ALL {
        let [default, longest] = tier_keys(tier);
        // A tier without keys of its own would only repeat what was said about the general ones.
        if draft.has(default) || draft.has(longest) {
            spans.push((default, longest, draft.of_tier(tier)));
        }
    }
    for (default, longest, span) in spans {
        if span.default > span.longest {
            let field = if draft.has(default) { default } else { longest };
            let help =
                format!("the default of {} is longer than the longest, {}", span.default, span.longest);
            report.breach_at(&RULE, field, draft.place(field), help);
        }
    }
}
