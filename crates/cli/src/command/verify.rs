//! `lanyard verify FILE`: what an evidence file proves, without a server. The judging is `lanyard_control::evidence`'s.

use std::path::{Path, PathBuf};

use clap::Args;
use lanyard_control::evidence::{CheckResult, Report, verify};
use lanyard_ledger::bundle::{Outcome, TrustPolicy};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::files;
use crate::output::Output;
use crate::profile::Profile;

/// Arguments.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The evidence file.
    file: PathBuf,
    /// The log's verifier key, as `lanyard up` printed it; the profile's when one is named. Without any, the file's own
    /// key is taken and its fingerprint printed.
    #[arg(long = "log-key", value_name = "VKEY")]
    log_keys: Vec<String>,
    /// A witness whose cosignature counts.
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<String>,
    /// How many of them must have cosigned.
    #[arg(long, default_value_t = 1)]
    quorum: usize,
}

/// Verifies; contradicted is exit code 4.
pub fn run(args: &VerifyArgs, profile: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let bytes = files::read(&args.file)?;
    let report = verify(&bytes, &policy(args, profile)?);
    output.one(&to_json(&report), |_| text(&report))?;
    match report.outcome {
        Outcome::Contradicted => {
            let flaw = report.flaw.unwrap_or_else(|| "a check failed".to_owned());
            Err(Failure::contradicted(format!("`{}` is contradicted: {flaw}", args.file.display())))
        }
        _ => Ok(()),
    }
}

fn policy(args: &VerifyArgs, profile: Option<&Path>) -> anyhow::Result<TrustPolicy> {
    for key in args.log_keys.iter().chain(&args.witnesses) {
        lanyard_ledger::note::NoteVerifier::parse(key)
            .map_err(|e| Failure::usage(format!("`{key}` is not a verifier key: {e}")))?;
    }
    if args.quorum == 0 {
        return Err(Failure::usage("a quorum of 0 would ask nothing; write 1 or more"));
    }
    let mut keys = args.log_keys.clone();
    if let Some(path) = profile.filter(|_| keys.is_empty()) {
        keys.push(Profile::read(path)?.pinned()?.log_vkey.clone());
    }
    let main_log_vkeys = if keys.is_empty() { None } else { Some(keys) };
    Ok(TrustPolicy { main_log_vkeys, witness_vkeys: args.witnesses.clone(), quorum: args.quorum })
}

const fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Passed => "passed",
        CheckResult::Failed => "failed",
        CheckResult::NotProven => "not proven",
    }
}

/// The report for programs.
pub fn to_json(report: &Report) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|c| json!({"name": c.name, "result": word(c.result), "detail": c.detail}))
        .collect();
    json!({
        "outcome": report.outcome.words(),
        "claim": report.claim,
        "checks": checks,
        "not_proven": report.not_proven,
        "flaw": report.flaw,
    })
}

fn text(report: &Report) -> String {
    let width = report.checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        text += &format!("{:<10}  {:<width$}  {}\n", word(check.result), check.name, check.detail);
    }
    if let Some(claim) = &report.claim {
        let s = &claim.state;
        text += &format!(
            "\nclaim: {} {} {} ({}) was {} at {}, {}\n",
            s.vendor, s.model, s.serial, claim.device, s.verdict, claim.at, s.stage
        );
        if let Some(location) = claim.reading.as_ref().and_then(|r| r.location.as_ref()) {
            text += &format!("       when {location} was accepted\n");
        }
    }
    if !report.not_proven.is_empty() {
        text += "\nnot proven by this file:\n";
        for sentence in &report.not_proven {
            text += &format!("  - {sentence}\n");
        }
    }
    text + &format!("\noutcome: {}\n", report.outcome.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] = include_bytes!("../../../../docs/evidence-bundle-vectors/small.evidence");

    fn args(log_keys: &[&str]) -> VerifyArgs {
        VerifyArgs {
            file: PathBuf::new(),
            log_keys: log_keys.iter().map(|k| (*k).to_owned()).collect(),
            witnesses: Vec::new(),
            quorum: 1,
        }
    }

    #[test]
    fn keys_and_quorum_are_checked_before_the_file_is_judged() {
        assert!(policy(&args(&["not a key"]), None).unwrap_err().to_string().contains("verifier key"));
        let none = VerifyArgs { quorum: 0, ..args(&[]) };
        assert!(policy(&none, None).is_err());
        assert_eq!(policy(&args(&[]), None).unwrap().main_log_vkeys, None);
    }

    // I4: a contradicted file is told in words, in JSON and by the outcome.
    #[test]
    fn a_flipped_byte_is_named() {
        let mut flipped = SMALL.to_vec();
        let at = flipped.len() / 2;
        flipped[at] ^= 1;
        let report = verify(&flipped, &policy(&args(&[]), None).unwrap());
        assert_eq!(report.outcome, Outcome::Contradicted);
        assert!(text(&report).contains("outcome: contradicted"));
        let json = to_json(&report);
        assert_eq!(json["outcome"], "contradicted");
        assert!(json["flaw"].is_string() && json["checks"][0]["result"] == "failed");
    }
}
