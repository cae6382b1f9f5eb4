//! The appraisal: evidence, endorsed key, nonce and reference values in; an attestation result out.
//!
//! Two families of failure that must never be mixed up: the evidence is *broken* (it proves nothing: bad
//! signature, replayed, log and quote disagree), or it is good and shows something that is *not approved*.
//! Every check is named with what was expected and found; the first event that differs is named too.
//! Text that the firmware wrote beside an event is never believed: releases are found by digest alone.
//! To add a check: a [`CheckName`], a function that pushes it, a [`ReasonCode`], a test that it says no.

mod boot;
mod firmware;
mod model;
mod reason;
#[cfg(test)]
mod tests;

use lanyard_domain::id::ReleaseId;
use lanyard_domain::time::Timestamp;
use serde::Serialize;

use crate::check::{Check, CheckName, hex};
use crate::evidence::TpmEvidence;
use crate::tcg::{EventLog, MODEL_PCR, QUOTED_PCRS, replay};
use crate::tpm::quote::{self, Expected, VerifiedQuote};
use crate::tpm::structures::{ClockInfo, HashAlg, Public};
pub use reason::{Family, Reason, ReasonCode};

/// Whether a release may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceStatus {
    /// Approved by two people.
    Approved,
    /// Was approved, must not run any more.
    Withdrawn,
}

/// One event of a release's golden boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceEvent {
    /// PCR.
    pub pcr: u8,
    /// Digest.
    pub digest: [u8; 32],
    /// What it is, in the words of whoever approved the release.
    pub label: String,
}

/// A firmware release: values that hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareReference {
    /// Release.
    pub release: ReleaseId,
    /// Version as its maker prints it.
    pub version: String,
    /// Counts up with each security fix.
    pub security_version: u32,
    /// No approved release of this model below it may run.
    pub minimum_security_version: u32,
    /// PCR values, SHA-256 bank. [`MODEL_PCR`] is not compared here: models have their own releases.
    pub pcrs: Vec<(u8, [u8; 32])>,
    /// The golden boot's events, so that a difference can be named.
    pub events: Vec<ReferenceEvent>,
    /// Status.
    pub status: ReferenceStatus,
    /// After this the approval's window is over: a warning, since time alone must not stop a device.
    pub not_after: Option<Timestamp>,
}

/// An AI model release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelReference {
    /// Release.
    pub release: ReleaseId,
    /// SHA-256 of the manifest of the model's files: the digest of the event in [`MODEL_PCR`].
    pub manifest_digest: [u8; 32],
    /// Version.
    pub version: String,
    /// Status.
    pub status: ReferenceStatus,
    /// After this the approval's window is over.
    pub not_after: Option<Timestamp>,
}

/// Whether the device runs an AI model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectModel {
    /// It must have measured an approved one.
    Required,
    /// It must not have measured any.
    None,
}

/// All that an appraisal looks at.
#[derive(Debug, Clone, Copy)]
pub struct Appraisal<'a> {
    /// What the device sent.
    pub evidence: &'a TpmEvidence,
    /// The attestation key of this identity, bound to its endorsement key at enrolment.
    pub ak: &'a Public,
    /// [`crate::freshness::qualifying_data`] as the verifier computes it.
    pub expected_nonce: &'a [u8; 32],
    /// All releases of the device's firmware, withdrawn ones too.
    pub firmware: &'a [FirmwareReference],
    /// All releases of its model, withdrawn ones too.
    pub models: &'a [ModelReference],
    /// Whether it runs a model.
    pub expect_model: ExpectModel,
    /// Clock and counters of the last accepted evidence of this identity.
    pub previous: Option<ClockInfo>,
    /// Now.
    pub now: Timestamp,
}

/// What the evidence says about the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good evidence, everything approved.
    Affirming,
    /// Good evidence, something to look at.
    Warning,
    /// Good evidence of something that is not approved.
    Contraindicated,
    /// The evidence, or the policy, proves nothing.
    Broken,
}

/// The event at which the boot left the approved path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailingEvent {
    /// PCR.
    pub pcr: u8,
    /// Index in the event log; none when the release has an event that the log lacks.
    pub index: Option<usize>,
    /// Digest that the release has at this place.
    pub expected: Option<String>,
    /// What the release calls it.
    pub expected_label: Option<String>,
    /// Digest found.
    pub found: Option<String>,
    /// What the log claims the event to be. Not proven.
    pub claimed_type: Option<String>,
}

/// RFC 9334 Attestation Result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationResult {
    /// Verdict.
    pub verdict: Verdict,
    /// Why, the weightiest first; empty exactly when affirming.
    pub why: Vec<Reason>,
    /// The one event to look at first.
    pub failing: Option<FailingEvent>,
    /// All checks.
    pub checks: Vec<Check>,
    /// The firmware release that runs, approved or not.
    pub firmware: Option<ReleaseId>,
    /// The model release that runs, approved or not.
    pub model: Option<ReleaseId>,
    /// Clock and counters, to be given as `previous` next time. None when broken.
    pub boot: Option<ClockInfo>,
    /// How many PCRs were compared with reference values. Zero is never affirming.
    pub pcrs_compared: usize,
}

/// What the steps of an appraisal collect.
#[derive(Debug, Default)]
struct Findings {
    checks: Vec<Check>,
    why: Vec<Reason>,
    failing: Option<FailingEvent>,
    pcrs_compared: usize,
}

impl Findings {
    fn object(&mut self, code: ReasonCode, text: impl Into<String>) {
        self.why.push(Reason { code, text: text.into() });
    }

    fn finish(mut self, boot: Option<ClockInfo>) -> AttestationResult {
        self.why.sort_by_key(|r| std::cmp::Reverse(r.code.family()));
        let verdict = self.why.first().map_or(Verdict::Affirming, |r| match r.code.family() {
            Family::Notice => Verdict::Warning,
            Family::Policy => Verdict::Contraindicated,
            Family::Evidence => Verdict::Broken,
        });
        AttestationResult {
            verdict,
            boot: boot.filter(|_| verdict != Verdict::Broken),
            why: self.why,
            failing: self.failing,
            checks: self.checks,
            firmware: None,
            model: None,
            pcrs_compared: self.pcrs_compared,
        }
    }
}

/// Appraises evidence.
pub fn appraise(input: &Appraisal<'_>) -> AttestationResult {
    let mut findings = Findings::default();
    policy_checks_something(input, &mut findings);
    let Some(quote) = check_quote(input, &mut findings) else { return findings.finish(None) };
    boot::check(input.previous.as_ref(), &quote.clock(), &mut findings);
    let Some(log) = check_log(input, &quote, &mut findings) else {
        return findings.finish(Some(quote.clock()));
    };
    let firmware = firmware::check(input, &quote, &log, &mut findings);
    let model = model::check(input, firmware, &log, &mut findings);
    let mut result = findings.finish(Some(quote.clock()));
    result.firmware = firmware.map(|f| f.release);
    result.model = model.map(|m| m.release);
    result
}

fn policy_checks_something(input: &Appraisal<'_>, findings: &mut Findings) {
    let usable = input.firmware.iter().filter(|f| firmware::compared(f).next().is_some()).count();
    let model_missing = input.expect_model == ExpectModel::Required && input.models.is_empty();
    findings.checks.push(Check::of(
        CheckName::ReferenceValues,
        usable > 0 && !model_missing,
        "at least one release to compare with",
        format!("{usable} firmware and {} model releases", input.models.len()),
        "",
    ));
    if usable == 0 {
        findings.object(
            ReasonCode::PolicyChecksNothing,
            "No firmware release says what this device should run, so nothing could be checked.",
        );
    }
    if model_missing {
        findings.object(
            ReasonCode::PolicyChecksNothing,
            "No model release says which AI model this device should run, so nothing could be checked.",
        );
    }
}

fn check_quote(input: &Appraisal<'_>, findings: &mut Findings) -> Option<VerifiedQuote> {
    let mut required: Vec<u8> = QUOTED_PCRS.to_vec();
    required.extend(input.firmware.iter().flat_map(firmware::compared).map(|(index, _)| *index));
    required.sort_unstable();
    required.dedup();
    let evidence = input.evidence;
    let expected = Expected { nonce: input.expected_nonce, required: &required };
    let report = quote::verify(input.ak, &evidence.quote, &evidence.signature, &evidence.pcrs, expected);
    for check in report.checks.iter().filter(|c| c.failed()) {
        let (code, text) = reason::of_quote_check(check.name);
        findings.object(code, text);
    }
    findings.checks.extend(report.checks);
    report.verified
}

/// The log must explain every quoted PCR; only then do its events say what the quote covers.
fn check_log<'a>(
    input: &Appraisal<'a>,
    quote: &VerifiedQuote,
    findings: &mut Findings,
) -> Option<EventLog<'a>> {
    let parsed = EventLog::parse(&input.evidence.event_log)
        .and_then(|log| replay(&log, HashAlg::Sha256).map(|replayed| (log, replayed)));
    let (log, replayed) = match parsed {
        Ok(both) => both,
        Err(e) => {
            let expected = "a TCG event log with a SHA-256 bank";
            findings.checks.push(Check::of(CheckName::EventLog, false, expected, e.to_string(), ""));
            findings.object(
                ReasonCode::EventLogMalformed,
                "The device's start-up record is damaged or incomplete, so its state cannot be judged.",
            );
            return None;
        }
    };
    let count = format!("{} events", log.events.len());
    findings.checks.push(Check::of(
        CheckName::EventLog,
        true,
        "a TCG event log with a SHA-256 bank",
        count,
        "",
    ));
    let mut explained = true;
    for (index, quoted) in quote.pcrs() {
        let value = replayed.value(*index).unwrap_or_default();
        let holds = value == quoted.as_slice();
        let detail = format!("PCR {index}, {} events", replayed.count(*index));
        findings.checks.push(Check::of(CheckName::EventLogReplay, holds, hex(quoted), hex(value), detail));
        if !holds && std::mem::replace(&mut explained, false) {
            findings.object(
                ReasonCode::EventLogMismatch,
                format!(
                    "The device's start-up record does not match what its security chip measured (PCR {index})."
                ),
            );
        }
    }
    explained.then_some(log)
}

/// SHA-256 digests of the events extended into a PCR, with their place in the log.
fn extended<'a>(log: &'a EventLog<'_>, pcr: u8) -> impl Iterator<Item = (usize, &'a [u8], u32)> {
    log.events.iter().enumerate().filter_map(move |(index, event)| {
        let mine = event.is_extended() && event.pcr == u32::from(pcr);
        mine.then(|| event.digest(HashAlg::Sha256)).flatten().map(|digest| (index, digest, event.kind))
    })
}
