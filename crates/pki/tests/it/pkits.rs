//! NIST PKITS: the public-key interoperability test suite, run against [`generic::validate`].
//!
//! Its certificates, lists and the table of cases come from a pinned package (`cargo xtask peers`), not from the tree.

use std::path::Path;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::Crl;
use lanyard_pki::path::Anchors;
use lanyard_pki::path::generic::{self, Policy, Strictness, Usage};
use lanyard_pki::path::revocation::Revocation;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use crate::exceptions::{Outcome, PROFILES, Ran, hold};
use crate::peers;

const EXCEPTIONS: &str = include_str!("pkits-exceptions.toml");
/// 2022-05-01T00:00:00Z: inside of the validity of what is meant to be valid.
const MOMENT: Timestamp = Timestamp::from_seconds(1_651_363_200);

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    cert: String,
    #[serde(default)]
    other_certs: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    error: Option<serde_json::Value>,
    params: Option<serde_json::Value>,
    /// Absent is true.
    revocation: Option<bool>,
}

fn outcome(folder: &Path, case: &Case, strictness: Strictness) -> Result<(), String> {
    let read = |kind: &str, name: &str| std::fs::read(folder.join(kind).join(name)).unwrap();
    let root = Certificate::parse(&read("certs", "TrustAnchorRootCertificate.crt")).unwrap();
    let anchors = Anchors::new(vec![root]).unwrap();
    let chain: Vec<_> = [&case.cert]
        .into_iter()
        .chain(&case.other_certs)
        .map(|name| CertificateDer::from(read("certs", name)))
        .collect();
    // A list that cannot be read covers nothing: its certificates have no status.
    let lists = case.crls.iter().map(String::as_str).chain(["TrustAnchorRootCRL.crl"]);
    let crls: Vec<Crl> = lists.filter_map(|name| Crl::parse(&read("crls", name)).ok()).collect();
    let policy = Policy {
        strictness,
        revocation: match case.revocation {
            Some(false) => Revocation::NotAsked,
            _ => Revocation::Crls(&crls),
        },
        ..Policy::strict(Usage::Any, MOMENT)
    };
    generic::validate(&chain, &anchors, &policy).map(drop).map_err(|e| format!("{e:?}"))
}

// R53
#[test]
fn pkits_agrees_with_us_but_for_the_exceptions_that_are_written_down() {
    let folder = peers::folder().join("pkits");
    let Ok(table) = std::fs::read(folder.join("pkits.json")) else {
        peers::absent(&format!("PKITS at {}", folder.display()));
        return;
    };
    let cases: Vec<Case> = serde_json::from_slice(&table).unwrap();
    for (profile, strictness) in PROFILES {
        let ran: Vec<Ran> = cases
            .iter()
            .map(|case| {
                let expected = if case.error.is_some() { Outcome::Refused } else { Outcome::Accepted };
                let (ours, why) = match case.params {
                    Some(_) => (Outcome::NotAsked, String::new()),
                    None => match outcome(&folder, case, strictness) {
                        Ok(()) => (Outcome::Accepted, String::new()),
                        Err(why) => (Outcome::Refused, why),
                    },
                };
                Ran { id: format!("{} {}", case.id, case.name), expected, ours, why }
            })
            .collect();
        assert!(ran.len() >= 246, "only {} cases", ran.len());
        hold("PKITS", profile, EXCEPTIONS, &ran);
    }
}
