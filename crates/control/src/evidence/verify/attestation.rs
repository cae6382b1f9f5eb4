//! Attestation: the identity is rooted as recorded, every nonce binds what it must, and the evidence that the claim
//! rests on is appraised again, against the releases as they stood.

use std::collections::BTreeMap;

use lanyard_attest::appraise::{Appraisal as Input, ExpectModel, appraise};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tpm::keys::check_ak;
use lanyard_attest::tpm::structures::Public;
use lanyard_domain::device::{AppraisalFacts, Identity};
use lanyard_domain::endorsement::{EndorsementUse, accepted_for};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::text::Digest;

use super::super::history::hash;
use super::{Case, Finding, Line, not_proven, passed};
use crate::appraise::{clock_info, facts, references};
use crate::digest::sha256;
use crate::journal::SealedAt;

/// The attestation key is fit, is the one named, and an accepted maker endorses its hardware.
pub(super) fn identity(case: &Case<'_>) -> Finding {
    let mut endorsed_by = None;
    for (line, event) in case.events() {
        let Event::IdentityBound { ak_public, ak_name_sha256, endorsement_sha256, grade, .. } = event else {
            continue;
        };
        let at = |why: String| format!("the identity bound at position {}: {why}", line.pos());
        let ak = Public::parse(&ak_public.0).map_err(|e| at(e.to_string()))?;
        check_ak(&ak).map_err(|e| at(e.to_string()))?;
        if sha256(&ak.name()) != *ak_name_sha256 {
            return Err(at("the attestation key has another name".to_owned()));
        }
        let accepted = accepted(case, line, endorsement_sha256)
            .ok_or_else(|| at("the maker's authority that it names is not shown as accepted".to_owned()))?;
        if accepted != *grade {
            return Err(at("its grade is not that of the maker's authority".to_owned()));
        }
        endorsed_by = Some(*endorsement_sha256);
    }
    match endorsed_by {
        Some(authority) => passed(format!("a restricted key in hardware endorsed by {authority}")),
        None if case.claim.state.evidence_pos.is_some() => {
            not_proven("the binding of the hardware key was erased or is withheld")
        }
        None => passed("no hardware key is bound"),
    }
}

/// The grade of an endorsement authority that was accepted for endorsement keys before `line`.
fn accepted(case: &Case<'_>, line: &Line, digest: &Digest) -> Option<Option<String>> {
    let earlier = case.main.lines().iter().filter(|l| l.pos() < line.pos());
    earlier.filter_map(|l| l.event.as_ref()).find_map(|event| match event {
        Event::EndorsementAdded { certificate, certificate_sha256, grade, uses, .. }
            if certificate_sha256 == digest
                && sha256(&certificate.0) == *digest
                && accepted_for(uses, EndorsementUse::Ek) =>
        {
            Some(grade.clone())
        }
        _ => None,
    })
}

/// All nonces, and the evidence that the claim rests on.
pub(super) fn attestation(case: &Case<'_>) -> Finding {
    let mut roots: BTreeMap<u64, Digest> = BTreeMap::new();
    let mut count = 0usize;
    for (line, event) in case.events() {
        if let Event::EvidenceAppraised { checkpoint_size, checkpoint_root, .. } = event {
            binds(case, line, event)?;
            if *roots.entry(*checkpoint_size).or_insert(*checkpoint_root) != *checkpoint_root {
                return Err(format!("two nonces name different checkpoints of size {checkpoint_size}"));
            }
            count += 1;
        }
    }
    let Some(pos) = case.claim.state.evidence_pos else {
        return passed(format!("the claim rests on no evidence; {count} nonces hold"));
    };
    let line = case.main.at(pos).filter(|l| l.is_of(StreamKind::Device, case.claim.device));
    let line = line.ok_or_else(|| format!("the appraisal at position {pos} is not in the device's chain"))?;
    let Some(event) = &line.event else {
        return not_proven("the appraisal that the claim rests on was erased or is withheld");
    };
    again(case, line, event, count)
}

/// The nonce is the digest of purpose, checkpoint, device and channel; the checkpoint was there before.
fn binds(case: &Case<'_>, line: &Line, event: &Event) -> Result<[u8; 32], String> {
    let Event::EvidenceAppraised { purpose, nonce, channel, checkpoint_size, checkpoint_root, .. } = event
    else {
        return Err(format!("the event at position {} is no appraisal", line.pos()));
    };
    let checkpoint = CheckpointRef { size: *checkpoint_size, root: checkpoint_root.0 };
    let expected = qualifying_data(named(purpose)?, &checkpoint, *case.claim.device.as_bytes(), channel.0);
    if expected != nonce.0 {
        return Err(format!(
            "the nonce at position {} does not bind its purpose, checkpoint, device and channel",
            line.pos()
        ));
    }
    if *checkpoint_size > line.pos() {
        return Err(format!(
            "the nonce at position {} names a checkpoint of size {checkpoint_size}, which is later than itself",
            line.pos()
        ));
    }
    Ok(expected)
}

fn named(purpose: &str) -> Result<Purpose, String> {
    match purpose {
        "attest" => Ok(Purpose::Attest),
        "enroll" => Ok(Purpose::Enroll),
        other => Err(format!("evidence for the unknown purpose `{other}`")),
    }
}

/// Verifies and appraises the attached evidence once more; the result must be the recorded one.
fn again(case: &Case<'_>, line: &Line, event: &Event, count: usize) -> Finding {
    let Event::EvidenceAppraised {
        evidence_sha256, purpose, channel, checkpoint_size, checkpoint_root, ..
    } = event
    else {
        return Err(format!("the event at position {} is no appraisal", line.pos()));
    };
    let nonce = binds(case, line, event)?;
    let Some(attached) = case.verified.attachments.get(&hash(evidence_sha256)) else {
        return not_proven(format!(
            "the evidence itself is not attached, only its digest {evidence_sha256}; {count} nonces hold"
        ));
    };
    let evidence = TpmEvidence::parse(attached.bytes)
        .map_err(|e| format!("the attached evidence cannot be read: {e}"))?;
    let mut finding = None;
    for until in moments(case, line, *checkpoint_size) {
        let world = case.main.world(|l| {
            let release = l.header.stream_kind == StreamKind::Release as u8;
            l.pos() < if release { until } else { line.pos() }
        });
        let Some(device) = world.devices.get(&case.claim.device) else {
            return not_proven(
                "the registration was erased or is withheld, so nothing can be appraised again",
            );
        };
        let Some(identity) = device.identity.as_ref().and_then(Identity::tpm) else {
            return not_proven(
                "the attestation key was erased or is withheld, so the quote cannot be checked",
            );
        };
        let ak = Public::parse(&identity.ak_public).map_err(|e| format!("the attestation key: {e}"))?;
        let (firmware, models) = references(&world, device);
        let result = appraise(&Input {
            evidence: &evidence,
            ak: &ak,
            expected_nonce: &nonce,
            firmware: &firmware,
            models: &models,
            expect_model: if device.record.ai { ExpectModel::Required } else { ExpectModel::None },
            previous: device.evidence.as_ref().map(|e| clock_info(e.boot)),
            now: line.time(),
        });
        let sealed = SealedAt {
            size: *checkpoint_size,
            root: *checkpoint_root,
            note: String::new(),
            superseded: None,
        };
        let found = facts(&result, *evidence_sha256, &nonce, named(purpose)?, channel.0, &sealed)
            .map_err(|e| format!("the attached evidence does not hold: {e}"))?;
        let Some(what) = differs(event, &found) else {
            return passed(format!(
                "the quote is signed by the device's attestation key and, appraised again, shows what was recorded \
                 ({:?}); {count} nonces hold",
                found.appraisal
            ));
        };
        finding.get_or_insert_with(|| {
            format!("appraised again, the evidence shows another {what} than recorded")
        });
    }
    Err(finding.unwrap_or_default())
}

/// A release may change between the appraisal and its record: the releases count as they stood at one of these moments,
/// the record itself first, none before the checkpoint that the nonce names.
fn moments(case: &Case<'_>, line: &Line, checkpoint_size: u64) -> Vec<u64> {
    let changed = case.main.lines().iter().rev().filter(|l| {
        l.header.stream_kind == StreamKind::Release as u8 && (checkpoint_size..line.pos()).contains(&l.pos())
    });
    // Sixteen: more releases than anyone changes within the minutes for which a checkpoint is accepted.
    std::iter::once(line.pos()).chain(changed.map(Line::pos)).take(16).collect()
}

fn differs(event: &Event, found: &AppraisalFacts) -> Option<&'static str> {
    let Event::EvidenceAppraised { appraisal, boot, firmware, model, findings, .. } = event else {
        return Some("event");
    };
    // Codes, not sentences: their wording may get better between releases.
    let codes = |reasons: &[lanyard_domain::trust::Reason]| {
        reasons.iter().map(|r| r.code.clone()).collect::<Vec<String>>()
    };
    match () {
        () if *appraisal != found.appraisal => Some("result"),
        () if *firmware != found.firmware => Some("firmware release"),
        () if *model != found.model => Some("model release"),
        () if *boot != found.boot => Some("boot state"),
        () if codes(findings) != codes(&found.findings) => Some("list of findings"),
        () => None,
    }
}
