//! Access: what a device may do on a path, decided from a compact view of it. The same function everywhere: the
//! token endpoint and every gateway call [`decide`].

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, ReleaseId};
use crate::record::{Permission, Scope};
use crate::text::Digest;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::trust::{Reason, Verdict};

/// Name and version of the rules in this file; every decision quotes it (I4). Raise it when a rule changes.
pub const POLICY: &str = "lanyard-access/1";

/// What an enforcement point keeps of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceView {
    /// Which.
    pub device: DeviceId,
    /// Site slug.
    pub site: String,
    /// Maker.
    pub vendor: String,
    /// Model designation.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Tier.
    pub tier: Tier,
    /// Whether an AI model runs on it.
    pub ai: bool,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Verdict when the view was made; time may have lowered it since, see [`DeviceView::verdict_at`].
    pub verdict: Verdict,
    /// Why not trusted.
    pub reasons: Vec<Reason>,
    /// When it falls to degraded.
    pub fresh_until: Option<Timestamp>,
    /// When it falls to untrusted.
    pub untrusted_after: Option<Timestamp>,
    /// Thumbprints (SHA-256 of the DER) of the certificates that it may use.
    pub certificates: Vec<Digest>,
    /// Firmware release and its version.
    pub firmware: Option<ReleaseName>,
    /// Model release and its version.
    pub ai_model: Option<ReleaseName>,
    /// Position of the appraisal that the verdict rests on.
    pub evidence_pos: Option<u64>,
    /// Its evidence digest.
    pub evidence_sha256: Option<Digest>,
    /// Position of the last event of this device that the view includes.
    pub as_of: u64,
}

/// A release as named in a Provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseName {
    /// Its id.
    pub id: ReleaseId,
    /// Its version.
    pub version: String,
}

impl DeviceView {
    /// The verdict at `now`: it can only fall with time, without word from the control plane.
    pub fn verdict_at(&self, now: Timestamp) -> Verdict {
        let by_time = match (self.fresh_until, self.untrusted_after) {
            (_, Some(end)) if now > end => Verdict::Untrusted,
            (Some(end), Some(_)) if now > end => Verdict::Degraded,
            (Some(_), Some(_)) => Verdict::Trusted,
            _ => Verdict::Untrusted,
        };
        self.verdict.max(by_time)
    }
}

/// What a device asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction<'a> {
    /// FHIR resource type.
    pub resource: &'a str,
    /// What with it.
    pub permission: Permission,
}

/// A positive decision; made only here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    device: DeviceId,
    verdict: Verdict,
    reasons: Vec<Reason>,
}

impl Allowed {
    /// Who was allowed.
    pub fn device(&self) -> DeviceId {
        self.device
    }
    /// On which verdict.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
    /// What to flag; empty when trusted.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }
}

/// A negative decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Which family of refusal; protocols map it to their own codes.
    pub kind: DeniedKind,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Families of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedKind {
    /// The credential is not (or no longer) this device's.
    Credential,
    /// The device is not trusted.
    Untrusted,
    /// The device is trusted, this is not among what it may do.
    Scope,
}

/// Whether the certificate with this thumbprint and the device's state let it authenticate at all.
pub fn authenticate(view: &DeviceView, certificate: &Digest, now: Timestamp) -> Result<Allowed, Denied> {
    if !view.certificates.contains(certificate) {
        return Err(Denied {
            kind: DeniedKind::Credential,
            reasons: vec![Reason::new(
                "certificate_not_current",
                "This certificate is not one of the device's current certificates.",
            )],
        });
    }
    let verdict = view.verdict_at(now);
    let mut reasons = view.reasons.clone();
    if verdict != view.verdict {
        let (code, text) = match verdict {
            Verdict::Untrusted => ("evidence_expired", "It has not proven its state for too long."),
            _ => ("evidence_stale", "It has not proven its state recently (not heard from, not failed)."),
        };
        reasons.push(Reason::new(code, text));
    }
    if verdict == Verdict::Untrusted {
        return Err(Denied { kind: DeniedKind::Untrusted, reasons });
    }
    Ok(Allowed { device: view.device, verdict, reasons })
}

/// The decision for one interaction. Default deny: only what a scope names is allowed (R69).
pub fn decide(
    view: &DeviceView,
    certificate: &Digest,
    interaction: &Interaction<'_>,
    now: Timestamp,
) -> Result<Allowed, Denied> {
    let allowed = authenticate(view, certificate, now)?;
    if view.scopes.iter().any(|s| s.allows(interaction.resource, interaction.permission)) {
        return Ok(allowed);
    }
    Err(Denied {
        kind: DeniedKind::Scope,
        reasons: vec![Reason::new(
            "not_in_scope",
            format!("Its record allows no `{:?}` of {}.", interaction.permission, interaction.resource)
                .to_lowercase(),
        )],
    })
}
