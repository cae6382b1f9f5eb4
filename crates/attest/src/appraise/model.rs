//! The AI model's PCR against model releases.
//!
//! Every event there must be an approved model or an event of the firmware release; the last model is the
//! one in force. What an event calls itself is not covered by its digest and plays no part.

use super::firmware::failing;
use super::{
    Appraisal, ExpectModel, Findings, FirmwareReference, MODEL_PCR, ModelReference, ReasonCode,
    ReferenceStatus, extended,
};
use crate::check::{Check, CheckName, hex};
use crate::tcg::EventLog;

/// Finds the model that runs, and objects to what is not approved about it.
pub(super) fn check<'a>(
    input: &Appraisal<'a>,
    firmware: Option<&FirmwareReference>,
    log: &EventLog<'_>,
    findings: &mut Findings,
) -> Option<&'a ModelReference> {
    let mut in_force = None;
    for (index, digest, kind) in extended(log, MODEL_PCR) {
        if let Some(model) = find(input.models, digest) {
            in_force = Some((model, index));
            object_to_release(input, model, index, findings);
        } else if !is_firmware(firmware, digest) {
            push(findings, false, hex(digest), index);
            let first = failing(MODEL_PCR, None, Some((index, digest, kind)));
            findings.failing.get_or_insert(first);
            object_to_unknown(input.expect_model, index, findings);
        }
    }
    let Some((model, index)) = in_force else {
        if input.expect_model == ExpectModel::Required {
            let found = "no approved model measured";
            findings.checks.push(Check::of(CheckName::ModelRelease, false, "an approved model", found, ""));
            if !findings.why.iter().any(|r| r.code == ReasonCode::ModelUnapproved) {
                findings.object(ReasonCode::ModelMissing, "It did not show which AI model it runs.");
            }
        }
        return None;
    };
    if input.expect_model == ExpectModel::None {
        push(findings, false, format!("model release {}", model.version), index);
        findings.object(
            ReasonCode::ModelUnexpected,
            format!("It runs an AI model (release {}) although it should run none.", model.version),
        );
    }
    Some(model)
}

fn find<'a>(models: &'a [ModelReference], digest: &[u8]) -> Option<&'a ModelReference> {
    let same = models.iter().filter(|m| m.manifest_digest.as_slice() == digest);
    same.max_by_key(|m| m.status == ReferenceStatus::Approved)
}

fn is_firmware(firmware: Option<&FirmwareReference>, digest: &[u8]) -> bool {
    firmware.is_some_and(|f| f.events.iter().any(|e| e.pcr == MODEL_PCR && e.digest.as_slice() == digest))
}

fn object_to_release(input: &Appraisal<'_>, model: &ModelReference, index: usize, findings: &mut Findings) {
    let version = &model.version;
    let approved = model.status == ReferenceStatus::Approved;
    push(findings, approved, format!("model release {version}"), index);
    if !approved {
        findings.object(
            ReasonCode::ModelWithdrawn,
            format!("It runs AI model release {version}, which was withdrawn."),
        );
    }
    if model.not_after.is_some_and(|end| input.now > end) {
        findings.object(
            ReasonCode::ModelWindowOver,
            format!("The approval of AI model release {version} has run out and should be renewed."),
        );
    }
}

fn object_to_unknown(expect: ExpectModel, index: usize, findings: &mut Findings) {
    let (code, text) = match expect {
        ExpectModel::Required => (
            ReasonCode::ModelUnapproved,
            format!("It runs an AI model that is not approved (PCR {MODEL_PCR}, event {index})."),
        ),
        ExpectModel::None => (
            ReasonCode::ModelUnexpected,
            format!(
                "It loaded an AI model or an add-on although it should run none (PCR {MODEL_PCR}, event {index})."
            ),
        ),
    };
    findings.object(code, text);
}

fn push(findings: &mut Findings, holds: bool, found: String, index: usize) {
    let detail = format!("PCR {MODEL_PCR}, event {index}");
    findings.checks.push(Check::of(CheckName::ModelRelease, holds, "an approved model", found, detail));
}
