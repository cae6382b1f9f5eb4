//! UTCTime through 2049, GeneralizedTime from 2050 on, in all three places.

use super::{Lint, Linted};
use crate::facts::TimeForm;

pub(super) const LINT: Lint =
    Lint { name: "crl_time_form", clause: "RFC 5280 5.1.2.4, 5.1.2.5 and 5.1.2.6", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let facts = linted.facts;
    let head = [("thisUpdate", Some(facts.this_update)), ("nextUpdate", facts.next_update)];
    let entries = facts.entries.iter().map(|entry| ("revocationDate", Some(entry.at)));
    for (field, time) in head.into_iter().chain(entries) {
        let Some(time) = time else { continue };
        let expected = if time.at.civil().0 < 2050 { TimeForm::Utc } else { TimeForm::Generalized };
        if time.form != expected {
            return Err(format!("{field} `{}` is written as {:?}, not {expected:?}", time.at, time.form));
        }
    }
    Ok(())
}
