//! The claim: what a bundle says about one device at one moment, and about one reading when there is one.
//!
//! Its JSON text is kept and hashed byte for byte: the closing leaf holds the digest. Another member is another
//! [`CLAIM_FORMAT`].

use lanyard_domain::access::ReleaseName;
use lanyard_domain::id::{DecisionId, DeviceId, GatewayId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Reason, Strength, Verdict};
use lanyard_ledger::bundle::limit;
use serde::{Deserialize, Serialize};

use crate::digest::sha256;

/// Name and version of the claim's members.
pub const CLAIM_FORMAT: &str = "lanyard-claim/1";

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// [`CLAIM_FORMAT`].
    pub format: String,
    /// Origin of the main log.
    pub origin: String,
    /// The device.
    pub device: DeviceId,
    /// The moment. For a reading: when the gateway recorded its decision, by the gateway's clock.
    pub at: Timestamp,
    /// Position of the last event of the device's chain that counts for it.
    pub as_of_pos: u64,
    /// The device's state then.
    pub state: DeviceState,
    /// The reading, when the claim is about one.
    pub reading: Option<ReadingFacts>,
}

/// A device's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceState {
    /// Maker.
    pub vendor: String,
    /// Model designation.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Lifecycle stage, as printed.
    pub stage: String,
    /// Whether patient data may flow.
    pub verdict: Verdict,
    /// How well its identity is rooted.
    pub strength: Strength,
    /// Why not trusted.
    pub reasons: Vec<Reason>,
    /// Firmware release that its last evidence matched.
    pub firmware: Option<ReleaseName>,
    /// AI model release that its last evidence matched.
    pub ai_model: Option<ReleaseName>,
    /// Position of the appraisal that the verdict rests on.
    pub evidence_pos: Option<u64>,
    /// Digest of that evidence.
    pub evidence_sha256: Option<Digest>,
    /// Thumbprints of the certificates that were valid and current.
    pub certificates: Vec<Digest>,
}

/// What a gateway recorded about one accepted reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingFacts {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Where the system behind it put the resource.
    pub location: Option<String>,
    /// Its decision.
    pub decision: DecisionId,
    /// When that was recorded.
    pub decided_at: Timestamp,
    /// What it was.
    pub allowed: bool,
    /// The device's verdict as the gateway saw it.
    pub verdict: Option<Verdict>,
    /// Certificate that the device showed.
    pub certificate_sha256: Option<Digest>,
    /// SHA-256 of the request's body.
    pub request_sha256: Option<Digest>,
    /// SHA-256 of what was sent on.
    pub forwarded_sha256: Option<Digest>,
    /// SHA-256 of the answer.
    pub response_sha256: Digest,
    /// HTTP status of the answer.
    pub status: u16,
}

/// Why bytes are not a claim.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Too long.
    #[error("the claim has {0} bytes, at most {limit} are read", limit = limit::CLAIM)]
    TooLong(usize),
    /// Not the JSON we know.
    #[error("the claim cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another format.
    #[error("the claim has format `{0}`; this verifier reads `{CLAIM_FORMAT}`")]
    Format(String),
}

impl Claim {
    /// Reads a claim. Fuzz entry point.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        if bytes.len() > limit::CLAIM {
            return Err(ClaimError::TooLong(bytes.len()));
        }
        let claim: Claim = serde_json::from_slice(bytes)?;
        if claim.format != CLAIM_FORMAT {
            return Err(ClaimError::Format(claim.format.chars().take(64).collect()));
        }
        Ok(claim)
    }

    /// The JSON text that is shown to the operator, hashed into the closing leaf and bundled.
    pub fn to_text(&self) -> Result<String, ClaimError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Digest of a claim's text, as the export statement names it.
    pub fn digest_of(text: &str) -> Digest {
        sha256(text.as_bytes())
    }
}
