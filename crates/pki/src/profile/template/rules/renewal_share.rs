//! Renewal starts between half and nine tenths of the lifetime.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::compile::share;

pub(super) const RULE: Rule = Rule { name: "renewal_share", clause: "R43, R44", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(written) = draft.number("validity.renew_at") else { return };
    if share(&written.value).is_none() {
        let help = format!("`{}` is not within 0.5 to 0.9, with at most four decimals", written.value);
        report.breach(&RULE, written, help);
    }
}
