//! Appraise: from evidence on a connection to facts that may be recorded.
//!
//! Broken evidence (signature, nonce, structure, replay) is refused, alarmed and changes nothing; good evidence that
//! shows something unapproved is recorded and cuts the device off.

use lanyard_attest::appraise::{
    Appraisal as Input, AttestationResult, ExpectModel, FirmwareReference, ModelReference, ReferenceEvent,
    ReferenceStatus, Verdict as Found, appraise,
};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tpm::structures::{ClockInfo, Public};
use lanyard_domain::device::{AppraisalFacts, Command, Device, Identity};
use lanyard_domain::event::{AlarmCode, Appraisal, BootState};
use lanyard_domain::id::{DeviceId, OperatorId};
use lanyard_domain::release::{Release, ReleaseContent, ReleaseState};
use lanyard_domain::text::Digest;
use lanyard_domain::tier::TierRules;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Reason, Trust, evaluate};

use crate::digest::sha256;
use crate::journal::{Journal, SealedAt};
use crate::pace::Act;
use crate::plane::{Control, ControlError, Extras, Refused, find};
use crate::world::World;

/// Evidence as it came over one authenticated or activated connection.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Whose.
    pub device: DeviceId,
    /// Size of the checkpoint that it is bound to.
    pub checkpoint_size: u64,
    /// TLS channel binding of the connection it came over.
    pub channel: [u8; 32],
    /// The bytes.
    pub evidence: Vec<u8>,
}

/// Good evidence, appraised; made only here.
pub(crate) struct Appraised {
    pub(crate) facts: AppraisalFacts,
    pub(crate) evidence: Vec<u8>,
}

impl Appraised {
    pub(crate) fn extras(&self) -> Extras {
        Extras { blobs: vec![self.evidence.clone()], ..Extras::default() }
    }

    pub(crate) fn contraindicated(&self) -> bool {
        self.facts.appraisal == Appraisal::Contraindicated
    }
}

/// Where a device stands after it has spoken.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its trust.
    pub trust: Trust,
    /// Its stage.
    pub stage: &'static str,
    /// When to attest again.
    pub next_in_seconds: u32,
    /// Position of its last event.
    pub pos: u64,
    /// Level of that.
    pub level: &'static str,
    /// When it is to renew, if earlier than it was told with its certificate.
    pub renew_at: Option<Timestamp>,
}

impl<J: Journal> Control<J> {
    /// Takes evidence of an enrolled device, which showed this certificate, and records what follows.
    pub async fn attest(
        &self,
        presented: Presented,
        shown: &Digest,
        now: Timestamp,
    ) -> Result<Standing, ControlError> {
        self.paces.admit(presented.device.into(), Act::Proof, now)?;
        let device = presented.device;
        let appraised = self.appraise_or_alarm(presented, Purpose::Attest, None, None, now).await?;
        self.on_device(
            device,
            OperatorId::from(lanyard_domain::id::StreamId::from(device)),
            now,
            appraised.extras(),
            |_, _| Ok(vec![Command::RecordAppraisal(appraised.facts.clone())]),
        )
        .await?;
        self.standing(device, Some(shown), now)
    }

    /// Where a device stands now. When to renew is said of the certificate that it shows, or else of its newest: one whose answer was
    /// lost is the device's newest here and nothing that the device has.
    pub fn standing(
        &self,
        id: DeviceId,
        shown: Option<&Digest>,
        now: Timestamp,
    ) -> Result<Standing, ControlError> {
        let world = self.world();
        let device = find(&world, id)?;
        let trust = evaluate(device, &world.releases, now);
        let of = match shown {
            Some(shown) => device.certificates.iter().find(|c| c.sha256 == *shown),
            None => device.certificates.iter().max_by_key(|c| c.not_after),
        };
        let renew_at = of.and_then(|c| world.turn_of(&c.serial.parse().ok()?));
        Ok(Standing {
            trust,
            stage: device.stage.name(),
            next_in_seconds: u32::try_from(device.record.tier.rules().attest_every_seconds)
                .unwrap_or(u32::MAX),
            pos: device.last_pos,
            level: self.journal.level(device.last_pos),
            renew_at,
        })
    }

    /// Appraises; what is broken becomes an alarm on the device's chain before it becomes a refusal. `carried` is the
    /// checkpoint of a challenge file that the evidence answers; without, it names a recent one.
    pub(crate) async fn appraise_or_alarm(
        &self,
        presented: Presented,
        purpose: Purpose,
        ak: Option<&Public>,
        carried: Option<&SealedAt>,
        now: Timestamp,
    ) -> Result<Appraised, ControlError> {
        let id = presented.device;
        let refused = match self.appraise(presented, purpose, ak, carried, now) {
            Err(ControlError::Refused(refused)) => refused,
            other => return other,
        };
        let code = match refused.code.as_str() {
            "evidence_replayed" => Some(AlarmCode::EvidenceReplayed),
            "evidence_broken" => Some(AlarmCode::EvidenceBroken),
            _ => None,
        };
        if let Some(code) = code {
            self.alarm(id, code, &refused, now).await;
        }
        Err(refused.into())
    }

    /// Raises an alarm; that it could not be recorded must not hide the refusal that it is about.
    pub(crate) async fn alarm(&self, id: DeviceId, code: AlarmCode, refused: &Refused, now: Timestamp) {
        let Some(left_out) = self.alarms.admit(id, code, now) else {
            tracing::debug!(device.id = %id, ?code, "one more of these alarms; counted, not recorded");
            return;
        };
        let mut detail: String = format!("{}: {}", refused.code, refused.text).chars().take(400).collect();
        if left_out > 0 {
            detail.push_str(&format!(" (before this, {left_out} alarms were counted but not recorded)"));
        }
        let actor = OperatorId::from(lanyard_domain::id::StreamId::from(id));
        let raised = self
            .on_device(id, actor, now, Extras::default(), |_, _| {
                Ok(vec![Command::RaiseAlarm { code, detail: detail.clone() }])
            })
            .await;
        if let Err(error) = raised {
            tracing::error!(device.id = %id, %error, ?code, "an alarm could not be recorded");
        }
    }

    fn appraise(
        &self,
        presented: Presented,
        purpose: Purpose,
        ak: Option<&Public>,
        carried: Option<&SealedAt>,
        now: Timestamp,
    ) -> Result<Appraised, ControlError> {
        let evidence =
            TpmEvidence::parse(&presented.evidence).map_err(|e| ControlError::malformed("evidence", e))?;
        let world = self.world();
        let device = find(&world, presented.device)?;
        let checkpoint = match carried {
            Some(checkpoint) => checkpoint.clone(),
            None => self.fresh_checkpoint(presented.checkpoint_size, &device.record.tier.rules(), now)?,
        };
        let reference = CheckpointRef { size: checkpoint.size, root: checkpoint.root.0 };
        let nonce = qualifying_data(purpose, &reference, *presented.device.as_bytes(), presented.channel);
        let bound = bound_ak(device)?;
        let ak = match (ak, &bound) {
            (Some(ak), _) | (None, Some(ak)) => ak,
            (None, None) => {
                return Err(ControlError::refused(
                    "no_identity",
                    "no hardware key is bound to this device; it must enroll",
                ));
            }
        };
        let (firmware, models) = references(&world, device);
        let result = appraise(&Input {
            evidence: &evidence,
            ak,
            expected_nonce: &nonce,
            firmware: &firmware,
            models: &models,
            expect_model: if device.record.ai { ExpectModel::Required } else { ExpectModel::None },
            previous: device.boot_before(&ak.encode()).map(clock_info),
            now,
        });
        let digest = sha256(&presented.evidence);
        if device.evidence.as_ref().is_some_and(|e| e.sha256 == digest) {
            return Err(ControlError::refused("evidence_replayed", "this evidence was presented before"));
        }
        let facts = facts(&result, digest, &nonce, purpose, presented.channel, &checkpoint)?;
        Ok(Appraised { facts, evidence: presented.evidence })
    }

    /// The checkpoint of that size, if it was the newest at most the tier's window ago: evidence bound to it is no
    /// older than that (design §6, time is bracketed).
    pub(crate) fn fresh_checkpoint(
        &self,
        size: u64,
        rules: &TierRules,
        now: Timestamp,
    ) -> Result<SealedAt, ControlError> {
        let stale = || {
            ControlError::refused(
                "checkpoint_not_recent",
                format!(
                    "evidence must name a checkpoint that was the newest within the last {} s; fetch /v1/checkpoint and quote again",
                    rules.checkpoint_seconds
                ),
            )
        };
        let checkpoint = self.journal.recent_checkpoint(size).ok_or_else(stale)?;
        if checkpoint.superseded.is_some_and(|end| now.seconds_since(end) > rules.checkpoint_seconds) {
            return Err(stale());
        }
        Ok(checkpoint)
    }
}

/// The attestation key that enrollment bound to the device.
pub(crate) fn bound_ak(device: &Device) -> Result<Option<Public>, ControlError> {
    let tpm = device.identity.as_ref().and_then(Identity::tpm);
    tpm.map(|tpm| Public::parse(&tpm.ak_public)).transpose().map_err(|e| {
        ControlError::Bug(format!("the recorded attestation key of {} cannot be read: {e}", device.id))
    })
}

pub(crate) fn clock_info(boot: BootState) -> ClockInfo {
    ClockInfo {
        clock: boot.clock,
        reset_count: boot.reset_count,
        restart_count: boot.restart_count,
        safe: boot.safe,
    }
}

/// Releases for the device's vendor and model, as the appraisal wants them. Proposed ones are not reference values.
pub(crate) fn references(world: &World, device: &Device) -> (Vec<FirmwareReference>, Vec<ModelReference>) {
    let mut firmware = Vec::new();
    let mut models = Vec::new();
    let same =
        |r: &&Release| r.record.vendor == device.record.vendor && r.record.model == device.record.model;
    for release in world.releases.values().filter(same) {
        let status = match release.state {
            ReleaseState::Proposed => continue,
            ReleaseState::Approved => ReferenceStatus::Approved,
            ReleaseState::Withdrawn => ReferenceStatus::Withdrawn,
        };
        let record = &release.record;
        match &record.content {
            ReleaseContent::Firmware { pcrs, events } => firmware.push(FirmwareReference {
                release: release.id,
                version: record.version.clone(),
                security_version: record.security_version,
                minimum_security_version: record.minimum_security_version,
                pcrs: pcrs.iter().map(|p| (p.pcr, p.value.0)).collect(),
                events: events
                    .iter()
                    .map(|e| ReferenceEvent { pcr: e.pcr, digest: e.digest.0, label: e.label.clone() })
                    .collect(),
                status,
                not_after: record.not_after,
            }),
            ReleaseContent::Model { manifest_digest } => models.push(ModelReference {
                release: release.id,
                manifest_digest: manifest_digest.0,
                version: record.version.clone(),
                status,
                not_after: record.not_after,
            }),
        }
    }
    // One order: among equals the last one counts, and who appraises again must find the same.
    firmware.sort_by_key(|f| f.release);
    models.sort_by_key(|m| m.release);
    (firmware, models)
}

pub(crate) fn facts(
    result: &AttestationResult,
    evidence_sha256: Digest,
    nonce: &[u8; 32],
    purpose: Purpose,
    channel: [u8; 32],
    checkpoint: &SealedAt,
) -> Result<AppraisalFacts, ControlError> {
    let findings: Vec<Reason> = result
        .why
        .iter()
        .map(|r| Reason::new(r.code.code(), r.text.clone()))
        .chain(failing(result))
        .collect();
    let appraisal = match result.verdict {
        Found::Affirming => Appraisal::Affirming,
        Found::Warning => Appraisal::Warning,
        Found::Contraindicated => Appraisal::Contraindicated,
        Found::Broken => return Err(broken(result, findings)),
    };
    let boot =
        result.boot.ok_or_else(|| ControlError::Bug("good evidence without TPM counters".to_owned()))?;
    Ok(AppraisalFacts {
        appraisal,
        evidence_sha256,
        purpose: match purpose {
            Purpose::Enroll => "enroll",
            _ => "attest",
        },
        nonce: Digest(*nonce),
        channel: Digest(channel),
        checkpoint_size: checkpoint.size,
        checkpoint_root: checkpoint.root,
        boot: BootState {
            reset_count: boot.reset_count,
            restart_count: boot.restart_count,
            clock: boot.clock,
            safe: boot.safe,
        },
        firmware: result.firmware,
        model: result.model,
        findings,
    })
}

/// The one event to look at first, in words.
fn failing(result: &AttestationResult) -> Option<Reason> {
    let event = result.failing.as_ref()?;
    let place = event.index.map_or_else(|| "at the end of the log".to_owned(), |i| format!("event {i}"));
    Some(Reason::new(
        "failing_event",
        format!(
            "PCR {}, {place}: expected {} ({}), found {}.",
            event.pcr,
            event.expected.as_deref().unwrap_or("nothing"),
            event.expected_label.as_deref().unwrap_or("no event of the release"),
            event.found.as_deref().unwrap_or("nothing"),
        ),
    ))
}

fn broken(result: &AttestationResult, findings: Vec<Reason>) -> ControlError {
    let first = result.why.first();
    let text = first.map_or_else(|| "the evidence does not hold".to_owned(), |r| r.text.clone());
    let code =
        if first.is_some_and(|r| r.code.is_replay()) { "evidence_replayed" } else { "evidence_broken" };
    Refused::new(code, text).because(findings).into()
}
