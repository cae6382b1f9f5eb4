//! `lanyard evidence`: export what the ledger proves about a device or a reading. The operator sees the claim's digest
//! computed here, signs for it, and the file is verified here before it is called good.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use http::Method;
use lanyard_api::clock::Clock;
use lanyard_api::operator::{EvidenceClaim, EvidenceExport, EvidenceFile, EvidenceRequest};
use lanyard_control::digest::sha256;
use lanyard_control::evidence::verify;
use lanyard_domain::statement::Action;
use lanyard_domain::time::{BadTime, Timestamp};
use lanyard_ledger::bundle::{Outcome, TrustPolicy};
use serde_json::json;

use super::{Desk, device, verify::to_json};
use crate::exit::Failure;
use crate::files;

/// What to prove.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// A device's state at a time.
    At {
        /// Which device.
        device: String,
        /// When, in UTC such as 2026-11-22T09:30:00Z, or `now`.
        time: When,
        #[command(flatten)]
        target: Target,
    },
    /// A reading that a gateway accepted.
    For {
        /// The resource as the EHR named it: Observation/123, or the whole location that the device was answered.
        observation: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Where it goes and why.
#[derive(Debug, Args)]
pub struct Target {
    /// The evidence file; not overwritten.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: PathBuf,
    /// Why; stands in the ledger.
    #[arg(long, default_value = "evidence export")]
    reason: String,
}

/// A time or now.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// This moment.
    Now,
    /// That moment.
    At(Timestamp),
}

impl FromStr for When {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        if text == "now" { Ok(When::Now) } else { text.parse().map(When::At) }
    }
}

/// Runs one.
pub async fn run(command: EvidenceCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    let (request, target) = match command {
        EvidenceCommand::At { device, time, target } => {
            let device = device::resolve(&mut session, &device).await?;
            let at = match time {
                When::Now => Clock::system().now(),
                When::At(at) => at,
            };
            (EvidenceRequest::Device { device, at }, target)
        }
        EvidenceCommand::For { observation, target } => {
            (EvidenceRequest::Reading { location: type_and_id(&observation)?.to_owned() }, target)
        }
    };
    let offered: EvidenceClaim =
        session.signed_call(Method::POST, "/v1/evidence/claim", Some(&request)).await?;
    // What is signed is the digest of what was read here, not the one that the server says.
    let claim_sha256 = sha256(offered.claim.as_bytes());
    let action = Action::ExportEvidence { device: offered.device, claim_sha256 };
    let statement = session.sign(action, &target.reason)?;
    let export = EvidenceExport { claim: offered.claim, statement };
    let exported: EvidenceFile = session.call("/v1/evidence/bundle", &export).await?;
    let bundle = exported.bundle.0;

    let trust = TrustPolicy {
        main_log_vkeys: Some(vec![session.pinned.log_vkey.clone()]),
        witness_vkeys: Vec::new(),
        quorum: 1,
    };
    let report = verify(&bundle, &trust);
    files::create_new(&target.file, &bundle)?;
    let done = json!({"file": target.file, "bytes": bundle.len(), "report": to_json(&report)});
    desk.output.one(&done, |_| {
        format!(
            "wrote {0} ({1} bytes): {2}\nanyone can check it: lanyard verify {0} --log-key {3}",
            target.file.display(),
            bundle.len(),
            report.outcome.words(),
            session.pinned.log_vkey
        )
    })?;
    match report.outcome {
        Outcome::Contradicted => Err(Failure::contradicted(format!(
            "the control plane exported a file that contradicts itself: {}; keep it and report this",
            report.flaw.unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}

/// `Type/id` out of a location (FHIR R4 3.1.0.8: `[base]/[type]/[id]/_history/[vid]`).
fn type_and_id(location: &str) -> anyhow::Result<&str> {
    let path = location.split_once("/_history/").map_or(location, |(path, _)| path);
    let start = path.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    let found = path.get(start..).and_then(|rest| rest.split_once('/').map(|(kind, id)| (rest, kind, id)));
    match found {
        Some((rest, kind, id)) if kind.starts_with(|c: char| c.is_ascii_uppercase()) && !id.is_empty() => {
            Ok(rest)
        }
        _ => Err(Failure::usage(format!(
            "`{location}` names no resource: write Type/id, such as Observation/123"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_named_by_type_and_id_however_it_was_told() {
        for text in [
            "Observation/1",
            "/fhir/Observation/1",
            "/fhir/Observation/1/_history/1",
            "https://ehr.example/fhir/r4/Observation/1/_history/2",
        ] {
            assert_eq!(type_and_id(text).unwrap(), "Observation/1", "{text}");
        }
        for text in ["", "1", "Observation", "Observation/", "/", "fhir/x", "_history/1"] {
            assert!(type_and_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn now_is_a_time() {
        assert!(matches!("now".parse(), Ok(When::Now)));
        assert!(matches!("2026-11-22T09:30:00Z".parse(), Ok(When::At(_))));
        assert!("yesterday".parse::<When>().is_err());
    }
}
