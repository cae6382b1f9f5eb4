//! An end entity says noRevAvail and names no CRL or OCSP responder, and is short-lived; a CA never says it.

use super::{Lint, Linted};
use crate::profile::{Role, SHORT_LIVED};

pub(super) const LINT: Lint = Lint { name: "no_rev_avail", clause: "RFC 9608 2 and 3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let facts = linted.facts;
    match (facts.no_rev_avail, linted.role) {
        (Some(_), Role::Authority { .. }) => Err("a CA must not say noRevAvail".into()),
        (None, Role::Authority { .. }) => Ok(()),
        (None, Role::EndEntity) => Err("noRevAvail is missing".into()),
        (Some(found), Role::EndEntity) => {
            if found.critical || !found.is_null {
                return Err("noRevAvail must be NULL and not critical".into());
            }
            if facts.names_a_crl || facts.names_an_ocsp_responder {
                return Err("noRevAvail stands beside a CRL or OCSP pointer".into());
            }
            let seconds = facts.not_after.at.seconds_since(facts.not_before.at);
            if seconds > SHORT_LIVED {
                return Err(format!("noRevAvail with a lifetime of {seconds} s, at most {SHORT_LIVED} s"));
            }
            Ok(())
        }
    }
}
