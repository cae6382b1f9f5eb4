//! Quoted PCR values against firmware releases, and the first event that differs.

use super::{
    Appraisal, FailingEvent, Findings, FirmwareReference, MODEL_PCR, ReasonCode, ReferenceEvent,
    ReferenceStatus, extended,
};
use crate::check::{Check, CheckName, hex};
use crate::tcg::{EventLog, event_name};
use crate::tpm::quote::VerifiedQuote;

/// The values of a release that are compared: all but the model's PCR.
pub(super) fn compared(release: &FirmwareReference) -> impl Iterator<Item = &(u8, [u8; 32])> {
    release.pcrs.iter().filter(|(index, _)| *index != MODEL_PCR)
}

/// Finds the release that runs, and objects to what is not approved about it.
pub(super) fn check<'a>(
    input: &Appraisal<'a>,
    quote: &VerifiedQuote,
    log: &EventLog<'_>,
    findings: &mut Findings,
) -> Option<&'a FirmwareReference> {
    // The release with most equal values; among equals an approved one, then the newest.
    let best = input.firmware.iter().filter(|f| compared(f).next().is_some()).max_by_key(|f| {
        let differing = compared(f).filter(|(i, v)| quote.pcr(*i) != Some(v)).count();
        (std::cmp::Reverse(differing), f.status == ReferenceStatus::Approved, f.security_version)
    })?;
    let mut differing = Vec::new();
    for (index, value) in compared(best) {
        let found = quote.pcr(*index);
        let holds = found == Some(value);
        let detail = format!("PCR {index} of release {}", best.version);
        let found = found.map(|v| hex(v)).unwrap_or_default();
        findings.checks.push(Check::of(CheckName::FirmwarePcr, holds, hex(value), found, detail));
        findings.pcrs_compared += 1;
        if !holds {
            differing.push(*index);
        }
    }
    findings.checks.push(Check::of(
        CheckName::FirmwareRelease,
        differing.is_empty() && best.status == ReferenceStatus::Approved,
        "the measurements of an approved release",
        match best.status {
            _ if !differing.is_empty() => format!("nearest is {}, PCRs {differing:?} differ", best.version),
            ReferenceStatus::Approved => format!("release {}", best.version),
            ReferenceStatus::Withdrawn => format!("release {}, withdrawn", best.version),
        },
        "",
    ));
    if differing.is_empty() {
        object_to_release(input, best, findings);
        return Some(best);
    }
    object_to_difference(best, &differing, log, findings);
    None
}

fn object_to_release(input: &Appraisal<'_>, release: &FirmwareReference, findings: &mut Findings) {
    let version = &release.version;
    if release.status == ReferenceStatus::Withdrawn {
        findings.object(
            ReasonCode::FirmwareWithdrawn,
            format!("It runs firmware release {version}, which was withdrawn."),
        );
    }
    let approved = input.firmware.iter().filter(|f| f.status == ReferenceStatus::Approved);
    let minimum = approved.map(|f| f.minimum_security_version).max().unwrap_or(0);
    findings.checks.push(Check::of(
        CheckName::SecurityVersion,
        release.security_version >= minimum,
        format!("at least {minimum}"),
        release.security_version.to_string(),
        "highest minimum of the approved releases",
    ));
    if release.security_version < minimum {
        findings.object(
            ReasonCode::FirmwareDowngraded,
            format!(
                "It runs the older firmware release {version}, which lacks security fixes that are required \
                 now (security version {}, required {minimum}).",
                release.security_version
            ),
        );
    }
    if release.not_after.is_some_and(|end| input.now > end) {
        findings.object(
            ReasonCode::FirmwareWindowOver,
            format!("The approval of firmware release {version} has run out and should be renewed."),
        );
    }
}

fn object_to_difference(
    nearest: &FirmwareReference,
    differing: &[u8],
    log: &EventLog<'_>,
    findings: &mut Findings,
) {
    let first = differing
        .iter()
        .filter_map(|pcr| first_difference(nearest, *pcr, log))
        .min_by_key(|event| event.index.unwrap_or(usize::MAX));
    let what = match first.as_ref().map(|e| (&e.expected_label, &e.index, e.pcr)) {
        Some((Some(label), Some(index), pcr)) => {
            format!("`{label}` is not the approved one (PCR {pcr}, event {index})")
        }
        Some((Some(label), None, pcr)) => format!("`{label}` was not started (PCR {pcr})"),
        Some((None, Some(index), pcr)) => {
            format!("something was started that the release does not have (PCR {pcr}, event {index})")
        }
        _ => format!("measurement PCR {differing:?} differs"),
    };
    findings.object(
        ReasonCode::FirmwareUnapproved,
        format!("It runs software that is not approved: compared with release {}, {what}.", nearest.version),
    );
    findings.failing = first;
}

/// The first place where the log's events of a PCR leave those of the release. None where the release lists
/// no events of this PCR.
fn first_difference(release: &FirmwareReference, pcr: u8, log: &EventLog<'_>) -> Option<FailingEvent> {
    let mut golden = release.events.iter().filter(|e| e.pcr == pcr).peekable();
    golden.peek()?;
    for (index, digest, kind) in extended(log, pcr) {
        match golden.next() {
            Some(event) if event.digest.as_slice() == digest => {}
            other => return Some(failing(pcr, other, Some((index, digest, kind)))),
        }
    }
    golden.next().map(|missing| failing(pcr, Some(missing), None))
}

pub(super) fn failing(
    pcr: u8,
    expected: Option<&ReferenceEvent>,
    found: Option<(usize, &[u8], u32)>,
) -> FailingEvent {
    FailingEvent {
        pcr,
        index: found.map(|(index, _, _)| index),
        expected: expected.map(|e| hex(&e.digest)),
        expected_label: expected.map(|e| e.label.clone()),
        found: found.map(|(_, digest, _)| hex(digest)),
        claimed_type: found.map(|(_, _, kind)| event_name(kind)),
    }
}
