//! Trust: computed from what is proven, never typed in. Verdict, reasons, and what would restore it.

use serde::{Deserialize, Serialize};

use crate::device::{Device, Identity, Stage};
use crate::event::Appraisal;
use crate::id::ReleaseId;
use crate::release::{Release, ReleaseState};
use crate::time::Timestamp;

/// Whether patient data may flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Proven and fresh.
    Trusted,
    /// Was proven, proof is ageing: data flows and is flagged.
    Degraded,
    /// Not proven: nothing flows.
    Untrusted,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Trusted => "trusted",
            Verdict::Degraded => "degraded",
            Verdict::Untrusted => "untrusted",
        })
    }
}

/// How well an identity is rooted (R11); computed, see [`strength`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// 0: serial number only.
    Inventoried,
    /// 1: a key in a file.
    SoftKey,
    /// 2: a key in hardware that a maker endorses.
    HardwareKey,
    /// 3: fresh measurement matches an approved release.
    Measured,
    /// 4: measured on time, certified root, and model covered where there is one.
    Evaluated,
}

impl Strength {
    /// The rung's number.
    pub const fn level(self) -> u8 {
        self as u8
    }
}

/// One reason, for machines (`code`) and for people (`text`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable code, snake case.
    pub code: String,
    /// A sentence that a nurse manager can read.
    pub text: String,
}

impl Reason {
    /// A reason.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}

/// A device's trust at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// May data flow.
    pub verdict: Verdict,
    /// Rung of the ladder.
    pub strength: Strength,
    /// Why; empty only when trusted.
    pub reasons: Vec<Reason>,
    /// What would restore it, in words; empty when trusted.
    pub restore: Vec<String>,
    /// When the verdict falls to degraded by itself.
    pub fresh_until: Option<Timestamp>,
    /// When the verdict falls to untrusted by itself.
    pub untrusted_after: Option<Timestamp>,
}

/// Where releases are looked up.
pub trait Releases {
    /// The release, when it exists.
    fn release(&self, id: ReleaseId) -> Option<&Release>;
}

impl Releases for std::collections::HashMap<ReleaseId, Release> {
    fn release(&self, id: ReleaseId) -> Option<&Release> {
        self.get(&id)
    }
}

/// The trust of `device` at `now`. Unprovable is untrusted (I5); every branch says what would restore it.
pub fn evaluate(device: &Device, releases: &impl Releases, now: Timestamp) -> Trust {
    let mut against = Objections::default();
    object_to_stage(device, &mut against);
    object_to_releases(device, releases, &mut against);
    if against.reasons.is_empty() && !device.has_valid_certificate(now) {
        against.add(
            "no_valid_certificate",
            "It holds no valid certificate.",
            "The device must renew its certificate.",
        );
    }

    let rules = device.record.tier.rules();
    let evidence = device.evidence.as_ref();
    let fresh_until = evidence.map(|e| e.at.plus_seconds(rules.fresh_seconds));
    let untrusted_after = evidence.map(|e| e.at.plus_seconds(rules.grace_seconds));
    let strength = strength(device, now);

    let mut verdict = if against.reasons.is_empty() { Verdict::Trusted } else { Verdict::Untrusted };
    if verdict == Verdict::Trusted {
        match (fresh_until, untrusted_after) {
            (_, Some(end)) if now > end => {
                verdict = Verdict::Untrusted;
                against.add("evidence_expired", "It has not proven its state for too long.", RE_ATTEST);
            }
            (Some(end), _) if now > end => {
                verdict = Verdict::Degraded;
                against.add(
                    "evidence_stale",
                    "It has not proven its state recently (not heard from, not failed).",
                    RE_ATTEST,
                );
            }
            (Some(_), Some(_)) => {}
            _ => {
                verdict = Verdict::Untrusted;
                against.add("never_attested", "It has never proven its state.", RE_ATTEST);
            }
        }
    }
    Trust {
        verdict,
        strength,
        reasons: against.reasons,
        restore: against.restore,
        fresh_until,
        untrusted_after,
    }
}

const RE_ATTEST: &str =
    "The device heals by itself at its next good attestation; check that it has power and network.";

#[derive(Default)]
struct Objections {
    reasons: Vec<Reason>,
    restore: Vec<String>,
}

impl Objections {
    fn add(&mut self, code: &str, text: impl Into<String>, restore: &str) {
        let reason = Reason::new(code, text);
        // A quarantine repeats what led to it.
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        if !self.restore.iter().any(|r| r == restore) {
            self.restore.push(restore.to_owned());
        }
    }
}

fn object_to_stage(device: &Device, against: &mut Objections) {
    match &device.stage {
        Stage::Registered(_) => {
            against.add(
                "not_approved",
                "It is registered but not approved.",
                "Security and biomedical engineering must approve it.",
            );
        }
        Stage::Approved => {
            against.add(
                "not_enrolled",
                "It is approved but has no identity yet.",
                "The device must enroll with its hardware key.",
            );
        }
        Stage::Quarantined { reasons, .. } => {
            let release = "A security or biomedical operator must release it from quarantine.";
            for reason in reasons {
                against.add(&reason.code, reason.text.clone(), release);
            }
            against.add("quarantined", "It is in quarantine.", release);
        }
        Stage::Retiring => {
            against.add("retiring", "It is being retired.", "Nothing: retirement cannot be undone.")
        }
        Stage::Retired => {
            against.add("retired", "It is retired.", "Nothing: a new device needs a new record.")
        }
        Stage::Enrolled | Stage::Validated | Stage::InService => {}
    }
}

fn object_to_releases(device: &Device, releases: &impl Releases, against: &mut Objections) {
    let Some(evidence) = &device.evidence else { return };
    const APPROVED: &str = "Install an approved release, then the device must attest again.";
    if evidence.appraisal == Appraisal::Contraindicated {
        for finding in &evidence.findings {
            against.add(&finding.code, finding.text.clone(), APPROVED);
        }
        against.add(
            "evidence_contraindicated",
            "Its last proof shows a state that is not approved.",
            APPROVED,
        );
        return;
    }
    match evidence.firmware {
        None => against.add("firmware_unknown", "No approved firmware release matches it.", APPROVED),
        Some(id) => object_to_release(releases.release(id), "firmware", against),
    }
    match (device.record.ai, evidence.model) {
        (true, None) => against.add("model_unknown", "No approved AI model release matches it.", APPROVED),
        (_, Some(id)) => object_to_release(releases.release(id), "model", against),
        (false, None) => {}
    }
}

// The end of an approval's window is a warning of the appraisal, not a reason to cut: time alone stops no device (I7).
fn object_to_release(release: Option<&Release>, what: &str, against: &mut Objections) {
    if release.is_some_and(|r| r.state == ReleaseState::Approved) {
        return;
    }
    against.add(
        &format!("{what}_release_ended"),
        format!("The {what} release that it runs is not approved any more."),
        "Install a release that is still approved, then the device must attest again.",
    );
}

/// The rung of the ladder that the device's proofs reach at `now`.
pub fn strength(device: &Device, now: Timestamp) -> Strength {
    let identity = match &device.identity {
        None => return Strength::Inventoried,
        Some(Identity::Soft) => return Strength::SoftKey,
        // Nothing but a TPM proves yet what runs.
        Some(Identity::Maker(_)) => return Strength::HardwareKey,
        Some(Identity::Tpm(tpm)) => tpm,
    };
    let Some(evidence) = &device.evidence else { return Strength::HardwareKey };
    let fresh = now <= evidence.at.plus_seconds(device.record.tier.rules().fresh_seconds);
    if !fresh || evidence.appraisal == Appraisal::Contraindicated || evidence.firmware.is_none() {
        return Strength::HardwareKey;
    }
    let model_covered = !device.record.ai || evidence.model.is_some();
    if identity.grade.is_some() && model_covered { Strength::Evaluated } else { Strength::Measured }
}
