//! What an operator's command line says and hears.

use lanyard_domain::id::{DeviceId, GatewayId, OperatorId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::release::{ReleaseRecord, ReleaseState};
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Reason, Strength, Verdict};
use serde::{Deserialize, Serialize};

/// `GET /v1/about`: what a client pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the server.
    pub version: String,
    /// Log origin; every statement names it.
    pub origin: String,
    /// Log verifier key (C2SP vkey).
    pub log_vkey: String,
    /// Trust anchors, PEM.
    pub anchors_pem: String,
    /// Whether the first operator is still to be added by the bootstrap secret.
    pub needs_bootstrap: bool,
}

/// `POST /v1/bootstrap`: the first operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The one-time secret that the first start printed.
    pub secret: String,
    /// New operator.
    pub operator: OperatorId,
    /// Display name.
    pub name: String,
    /// Roles.
    pub roles: Vec<Role>,
    /// Ed25519 public key.
    pub public_key: Digest,
}

/// `POST /v1/statements`: a decision to carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementRequest {
    /// Signed.
    pub statement: SignedStatement,
}

/// Answer: where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Position of the first event.
    pub pos: u64,
    /// How many events.
    pub events: u32,
    /// `durable`, `sealed` or `witnessed`.
    pub level: String,
    /// What it came to, in a sentence.
    pub outcome: String,
    /// The one-time enrollment secret that was asked for; shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Id.
    pub device: DeviceId,
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Site.
    pub site: String,
    /// Class.
    pub class: String,
    /// Tier.
    pub tier: lanyard_domain::tier::Tier,
    /// Stage.
    pub stage: String,
    /// Verdict.
    pub verdict: Verdict,
    /// Strength.
    pub strength: Strength,
    /// First reason, when not trusted.
    pub reason: Option<Reason>,
}

/// `GET /v1/devices/{id}`: the five questions (R22).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// Id.
    pub device: DeviceId,
    /// What is it, where may it operate.
    pub record: DeviceRecord,
    /// Stage.
    pub stage: String,
    /// Approvals given so far.
    pub approvals: Vec<(Role, OperatorId)>,
    /// Is it still trusted.
    pub verdict: Verdict,
    /// How well rooted.
    pub strength: Strength,
    /// Why not.
    pub reasons: Vec<Reason>,
    /// What would restore it.
    pub restore: Vec<String>,
    /// When it degrades by itself.
    pub fresh_until: Option<Timestamp>,
    /// When it is untrusted by itself.
    pub untrusted_after: Option<Timestamp>,
    /// Who issued its trust: certificates.
    pub certificates: Vec<CertificateLine>,
    /// What runs on it.
    pub firmware: Option<ReleaseLine>,
    /// What model runs on it.
    pub model: Option<ReleaseLine>,
    /// Position of its last appraisal.
    pub evidence_pos: Option<u64>,
    /// Events so far.
    pub seq: u64,
}

/// A certificate in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateLine {
    /// Serial, hex.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
}

/// A release in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseLine {
    /// Id.
    pub release: ReleaseId,
    /// `firmware` or `model`.
    pub kind: String,
    /// Maker.
    pub vendor: String,
    /// Model of device.
    pub model: String,
    /// Version.
    pub version: String,
    /// Where it stands.
    pub state: ReleaseState,
}

/// `GET /v1/releases/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDetail {
    /// Id.
    pub release: ReleaseId,
    /// Content.
    pub record: ReleaseRecord,
    /// Where it stands.
    pub state: ReleaseState,
}

/// An operator in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorLine {
    /// Id.
    pub operator: OperatorId,
    /// Name.
    pub name: String,
    /// Roles.
    pub roles: Vec<Role>,
    /// Whether their rights still hold.
    pub active: bool,
}

/// A gateway in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayLine {
    /// Id.
    pub gateway: GatewayId,
    /// Site whose devices it knows.
    pub site: String,
    /// Names that it serves.
    pub names: Vec<String>,
    /// Whether it hears of changes right now.
    pub connected: bool,
    /// Size of its decision log as last anchored in the main log.
    pub anchored_size: u64,
    /// Whether an admin has ended it.
    pub removed: bool,
}

/// An event in a device's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Position in the log.
    pub pos: u64,
    /// Sequencer's time.
    pub time: Timestamp,
    /// Place in the stream.
    pub seq: u64,
    /// Who.
    pub actor: OperatorId,
    /// Payload, unless erased.
    pub event: Option<serde_json::Value>,
    /// `durable`, `sealed` or `witnessed`.
    pub level: String,
}

/// `POST /v1/evidence/claim`: what do you want proven?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case", deny_unknown_fields)]
pub enum EvidenceRequest {
    /// A device's state at a time.
    Device {
        /// Which.
        device: DeviceId,
        /// When.
        at: Timestamp,
    },
    /// A resource that a gateway accepted.
    Reading {
        /// For example `Observation/123`.
        location: String,
    },
}

/// Answer: the claim as it will be bundled; sign an `ExportEvidence` statement over its digest to get the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceClaim {
    /// The device it is about.
    pub device: DeviceId,
    /// Claim, JSON text, byte for byte.
    pub claim: String,
    /// Its SHA-256.
    pub claim_sha256: Digest,
}

/// `POST /v1/evidence/bundle`: export, which closes the device's chain and returns the file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceExport {
    /// The claim, byte for byte as answered.
    pub claim: String,
    /// A signed `ExportEvidence` over it.
    pub statement: SignedStatement,
}

/// Answer to an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFile {
    /// The bundle.
    pub bundle: Blob,
}
