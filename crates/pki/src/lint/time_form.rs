//! UTCTime through 2049, GeneralizedTime from 2050 on.

use super::{Lint, Linted};
use crate::facts::TimeForm;

pub(super) const LINT: Lint = Lint { name: "time_form", clause: "RFC 5280 4.1.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    for (field, time) in [("notBefore", linted.facts.not_before), ("notAfter", linted.facts.not_after)] {
        let expected = if time.at.civil().0 < 2050 { TimeForm::Utc } else { TimeForm::Generalized };
        if time.form != expected {
            return Err(format!("{field} `{}` is written as {:?}, not {expected:?}", time.at, time.form));
        }
    }
    Ok(())
}
