//! Either noRevAvail or a list: a short-lived end entity says noRevAvail and names neither CRL nor responder, a listed one
//! names both and does not say it; an OCSP responder says nocheck instead, and a CA nothing.

use super::{Lint, Linted};
use crate::profile::SHORT_LIVED;
use crate::profile::revocation::Revocation;

pub(super) const LINT: Lint = Lint { name: "no_rev_avail", clause: "RFC 9608 2 and 3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let facts = linted.facts;
    if facts.no_rev_avail.is_some() && facts.is_listed() {
        return Err("noRevAvail stands beside a CRL or OCSP pointer".into());
    }
    match (facts.no_rev_avail, &linted.terms.revocation) {
        (Some(_), Revocation::Unstated | Revocation::RootsList(_) | Revocation::RootOnly(_)) => {
            Err("a CA must not say noRevAvail".into())
        }
        (Some(_), Revocation::Lists(_)) => {
            Err("noRevAvail in a profile whose certificates are listed".into())
        }
        (Some(_), Revocation::NoCheck) => Err("noRevAvail in the certificate of an OCSP responder".into()),
        (None, Revocation::NoCheck) if facts.is_listed() => {
            Err("an OCSP responder names a CRL or a responder".into())
        }
        (None, Revocation::ShortLived) => Err("noRevAvail is missing".into()),
        (None, _) => Ok(()),
        (Some(found), Revocation::ShortLived) => {
            if found.critical || !found.is_null {
                return Err("noRevAvail must be NULL and not critical".into());
            }
            let seconds = facts.not_after.at.seconds_since(facts.not_before.at);
            if seconds > SHORT_LIVED {
                return Err(format!("noRevAvail with a lifetime of {seconds} s, at most {SHORT_LIVED} s"));
            }
            Ok(())
        }
    }
}
