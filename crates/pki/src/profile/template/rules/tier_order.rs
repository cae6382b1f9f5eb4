//! A tier that can do more harm has no longer lifetimes than one that can do less.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::draft::tier_keys;
use lanyard_domain::tier::Tier;

pub(super) const RULE: Rule = Rule { name: "tier_order", clause: "R66", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for (above, below) in Tier::ALL.into_iter().zip(Tier::ALL.into_iter().skip(1)) {
        let (strict, loose) = (draft.of_tier(above), draft.of_tier(below));
        let pairs = [(strict.default, loose.default), (strict.longest, loose.longest)];
        for ((mine, theirs), (key, other)) in
            pairs.into_iter().zip(tier_keys(above).into_iter().zip(tier_keys(below)))
        {
            if mine > theirs {
                let field = if draft.has(key) { key } else { other };
                let help = format!("{mine} for {above:?} is longer than {theirs} for {below:?}");
                report.breach_at(&RULE, field, draft.place(field), help.to_lowercase());
            }
        }
    }
}
