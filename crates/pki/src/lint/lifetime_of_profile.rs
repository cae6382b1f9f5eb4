//! No certificate lives longer than its profile allows.

use super::{Lint, Linted};

pub(super) const LINT: Lint =
    Lint { name: "lifetime_of_profile", clause: "profile, validity; RFC 5280 4.1.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let seconds = linted.facts.not_after.at.seconds_since(linted.facts.not_before.at);
    let longest = linted.terms.longest_lifetime_seconds;
    if seconds <= longest {
        Ok(())
    } else {
        Err(format!("a lifetime of {seconds} s, the profile allows {longest} s"))
    }
}
