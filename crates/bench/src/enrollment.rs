//! Enrollments and attestations per second, end to end: agent with software TPM, TLS, HTTP, appraisal, certificate,
//! durable record. Devices and control plane share the cores.

use anyhow::Result;

use crate::hospital::{AT_ONCE, Hospital, Pass};
use crate::table::{Row, quantile};
use crate::{Settings, cpu, p256};

/// Signatures of one enrollment on both sides: TLS server, TPM2_Certify, TPM2_Quote, CSR, certificate.
const ENROLL_SIGNS: f64 = 5.0;
/// Verifications: TLS server's chain (2) and handshake, endorsement certificate (both rounds), certify, CSR, quote.
/// One of them is the P-384 root, counted as P-256 here.
const ENROLL_VERIFIES: f64 = 8.0;
/// TLS server and client, quote.
const ATTEST_SIGNS: f64 = 3.0;
/// TLS chains of both sides (2 each) and handshakes (1 each), quote.
const ATTEST_VERIFIES: f64 = 7.0;

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let limit = |signs: f64, verifies: f64| cpu::cores() as f64 / (signs / raw.sign + verifies / raw.verify);
    Ok(vec![
        row(
            "enrollments end to end",
            &hospital.enrolled,
            limit(ENROLL_SIGNS, ENROLL_VERIFIES),
            "5 signs and 8 verifies",
        ),
        row(
            "attestations end to end",
            &hospital.attested,
            limit(ATTEST_SIGNS, ATTEST_VERIFIES),
            "3 signs and 7 verifies",
        ),
    ])
}

fn row(what: &str, pass: &Pass, limit: f64, crypto: &str) -> Row {
    let mut times = pass.times.clone();
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    Row {
        ours: Some(pass.rate),
        limit: Some(limit),
        note: format!(
            "{} devices, {AT_ONCE} at once, p50 {p50:.0} ms p99 {p99:.0} ms; limit: {crypto} on {} cores, both sides",
            times.len(),
            cpu::cores()
        ),
        ..Row::rate(what)
    }
}
