//! x509-limbo (C2SP): cases of path validation with their expected results, run against [`generic::validate`].
//!
//! The suite's data is not ours and is not in the tree; without it the test says that it was skipped.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::Crl;
use lanyard_pki::path::generic::{self, LONGEST_CHAIN, Policy, Strictness, Usage};
use lanyard_pki::path::revocation::Revocation;
use lanyard_pki::path::{Anchors, Purpose};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use serde::Deserialize;

use crate::exceptions::{Outcome, PROFILES, Ran, hold};
use crate::installation::NOW;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/x509-limbo/limbo.json");
const EXCEPTIONS: &str = include_str!("limbo-exceptions.toml");

#[derive(Deserialize)]
struct Suite {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
    max_chain_depth: Option<usize>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn at(text: Option<&str>) -> Timestamp {
    let Some(text) = text else { return NOW };
    // Whole seconds are what certificates have; a fraction is still the same second.
    let whole = text.strip_suffix("+00:00").unwrap().split('.').next().unwrap();
    format!("{whole}Z").parse().unwrap()
}

/// Ours on one case, with the words of a refusal.
fn outcome(case: &Case, strictness: Strictness) -> Result<(), String> {
    let anchors = case.trusted_certs.iter().map(|pem| Certificate::parse(&der(pem)));
    let anchors: Result<Vec<_>, _> = anchors.collect();
    let anchors = Anchors::new(anchors.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let chain: Vec<_> =
        [&case.peer_certificate].into_iter().chain(&case.untrusted_intermediates).map(|p| der(p)).collect();
    let name = match &case.expected_peer_name {
        None => None,
        Some(name) => {
            let parsed = ServerName::try_from(name.value.as_str()).map_err(|e| e.to_string())?;
            assert_eq!(name.kind == "IP", matches!(parsed, ServerName::IpAddress(_)), "{}", case.id);
            Some(parsed)
        }
    };
    let crls: Result<Vec<Crl>, _> = case
        .crls
        .iter()
        .map(|pem| Crl::parse(&CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap()))
        .collect();
    let crls = crls.map_err(|e| e.to_string())?;
    let policy = Policy {
        usage: Usage::Tls(match case.validation_kind.as_str() {
            "SERVER" => Purpose::Server,
            "CLIENT" => Purpose::Client,
            other => panic!("{}: validation kind {other}", case.id),
        }),
        name: name.as_ref(),
        longest_chain: LONGEST_CHAIN,
        most_issuers: case.max_chain_depth.unwrap_or(LONGEST_CHAIN),
        strictness,
        revocation: if crls.is_empty() { Revocation::NotAsked } else { Revocation::Crls(&crls) },
        now: at(case.validation_time.as_deref()),
    };
    generic::validate(&chain, &anchors, &policy).map(drop).map_err(|e| format!("{e:?}"))
}

// R53
#[test]
fn limbo_agrees_with_us_but_for_the_exceptions_that_are_written_down() {
    let Ok(text) = std::fs::read(FILE) else {
        println!("SKIPPED: x509-limbo is not at {FILE}");
        return;
    };
    let suite: Suite = serde_json::from_slice(&text).unwrap();
    for (profile, strictness) in PROFILES {
        let ran: Vec<Ran> = suite
            .testcases
            .iter()
            .map(|case| {
                let expected = match case.expected_result.as_str() {
                    "SUCCESS" => Outcome::Accepted,
                    "FAILURE" => Outcome::Refused,
                    other => panic!("{}: expected result {other}", case.id),
                };
                let found = outcome(case, strictness);
                let ours = if found.is_ok() { Outcome::Accepted } else { Outcome::Refused };
                Ran { id: case.id.clone(), expected, ours, why: found.err().unwrap_or_default() }
            })
            .collect();
        assert!(ran.len() >= 108, "only {} cases", ran.len());
        hold("x509-limbo", profile, EXCEPTIONS, &ran);
    }
}
