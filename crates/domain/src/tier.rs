//! Policy tiers: what a device class must prove, and how often (R66).
//!
//! To change a number: here only; agents are told the cadence, gateways the deadlines.

use serde::{Deserialize, Serialize};

use crate::trust::Strength;

/// How much harm a device can do, set at registration from clinical risk, data and exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Touches therapy, diagnosis, imaging or medication (R3).
    Critical,
    /// Writes patient data that clinicians act on soon.
    High,
    /// Ordinary bedside and telemetry devices.
    Standard,
    /// No clinical decision depends on it within the day.
    Low,
}

/// The deadlines of a tier, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierRules {
    /// Evidence older than this is stale: the verdict falls to degraded.
    pub fresh_seconds: i64,
    /// Evidence older than this is no evidence: the verdict falls to untrusted (I5).
    pub grace_seconds: i64,
    /// When the agent is told to attest again.
    pub attest_every_seconds: i64,
    /// How old the checkpoint may be that a quote names; bounds the age of the evidence itself.
    pub checkpoint_seconds: i64,
    /// What a device must have shown before it gets a certificate by a protocol that carries no evidence.
    pub least_for_certificate: Strength,
}

impl Tier {
    /// All tiers, most harmful first.
    pub const ALL: [Tier; 4] = [Tier::Critical, Tier::High, Tier::Standard, Tier::Low];

    /// The deadlines of this tier.
    pub const fn rules(self) -> TierRules {
        // Attest at 2/5 of the freshness: two attempts may fail before a healthy device is even stale.
        // Grace is 12x freshness: a control plane down for that long costs no device its service (I7).
        match self {
            Tier::Critical => TierRules::of(300, Strength::Measured),
            Tier::High => TierRules::of(900, Strength::HardwareKey),
            // A certificate says who, not whether: without evidence its holder stays untrusted on every data path.
            Tier::Standard => TierRules::of(3_600, Strength::SoftKey),
            Tier::Low => TierRules::of(86_400, Strength::SoftKey),
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Tier::Critical => "critical",
            Tier::High => "high",
            Tier::Standard => "standard",
            Tier::Low => "low",
        })
    }
}

impl TierRules {
    const fn of(fresh_seconds: i64, least_for_certificate: Strength) -> Self {
        Self {
            fresh_seconds,
            grace_seconds: fresh_seconds * 12,
            attest_every_seconds: fresh_seconds * 2 / 5,
            // Five minutes: a slow TPM quotes in seconds, a proxy queue in a minute.
            checkpoint_seconds: 300,
            least_for_certificate,
        }
    }
}
