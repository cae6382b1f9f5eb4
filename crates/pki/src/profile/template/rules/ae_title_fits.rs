//! An AE title by the pattern can have at most 16 characters, and no more than printable ASCII.

use super::{Check, Draft, Report, Rule};

pub(super) const RULE: Rule = Rule { name: "ae_title_fits", clause: "PS3.5 6.2", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(pattern) = draft.pattern("convention.ae_title") else { return };
    let Some(written) = draft.text("convention.ae_title") else { return };
    if pattern.least_length() > 16 {
        let help = format!(
            "the shortest title by `{pattern}` has {} characters, an AE title has at most 16",
            pattern.least_length()
        );
        report.breach(&RULE, written, help);
    }
    if pattern.as_str().trim() != pattern.as_str() {
        report.breach(&RULE, written, "an AE title has no space at its ends");
    }
}
