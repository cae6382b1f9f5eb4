//! Enrollments and attestations per second, end to end: agent with software TPM, TLS, HTTP, appraisal, certificate,
//! durable record. Devices and control plane share the cores.

use anyhow::Result;

use crate::hospital::{AT_ONCE, Hospital, Pass};
use crate::table::{Row, quantile};
use crate::{Settings, cpu, p256};

/// The signatures that one call makes and checks, on both sides. Key exchange, key generation, hashing, HTTP, JSON and
/// the disk are not in it: a bound from above.
struct Cryptography {
    signs: f64,
    verifies: f64,
    /// Checks of what the root signed.
    root_verifies: f64,
    words: &'static str,
}

/// Signs: TLS server, TPM2_Certify, TPM2_Quote, CSR, certificate. Verifies: TLS server's certificate and handshake,
/// endorsement certificate in both rounds, certify, CSR, quote. Root: the issuing CA in the server's chain.
const ENROLL: Cryptography =
    Cryptography { signs: 5.0, verifies: 7.0, root_verifies: 1.0, words: "5 signs, 7 + 1 (P-384) verifies" };
/// Signs: TLS server and client, quote. Verifies: both certificates and handshakes, quote. Root: once on each side.
const ATTEST: Cryptography =
    Cryptography { signs: 3.0, verifies: 5.0, root_verifies: 2.0, words: "3 signs, 5 + 2 (P-384) verifies" };

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let root = p256::p384_verify(settings.time)?;
    let limit = |c: &Cryptography| {
        cpu::cores() as f64 / (c.signs / raw.sign + c.verifies / raw.verify + c.root_verifies / root)
    };
    Ok(vec![
        row("enrollments end to end", &hospital.enrolled, limit(&ENROLL), ENROLL.words),
        row("attestations end to end", &hospital.attested, limit(&ATTEST), ATTEST.words),
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
