//! What a gateway says and hears: its certificate, its feed (snapshot, ordered changes, questions), its answers and
//! the anchoring of its decision log.

use lanyard_domain::access::DeviceView;
use lanyard_domain::event::Probe;
use lanyard_domain::id::{DeviceId, GatewayId};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/gateway/certificate` (server-authenticated TLS): the registered key asks for its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayCertificateRequest {
    /// Which gateway.
    pub gateway: GatewayId,
    /// PKCS#10 request, DER; its key must be the registered one.
    pub csr: Blob,
}

/// Answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCertificateReply {
    /// Chain, PEM, leaf first, without the root.
    pub chain_pem: String,
    /// End of the certificate.
    pub not_after: Timestamp,
}

/// One line of `GET /v1/gateway/feed` (mutual TLS, NDJSON, never ends). The first is always a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum FeedItem {
    /// The whole state of the gateway's site at one position.
    Snapshot(Box<Snapshot>),
    /// A device as it is now; replaces the former view. Sent in log order.
    Changed {
        /// The log includes everything up to here.
        pos: u64,
        /// The device.
        view: Box<DeviceView>,
    },
    /// A device left the site or was retired: forget it.
    Removed {
        /// The log includes everything up to here.
        pos: u64,
        /// The device.
        device: DeviceId,
    },
    /// Nothing changed up to here; sent every second, so that the gateway knows how old its state is.
    Heartbeat {
        /// The log includes everything up to here.
        pos: u64,
        /// Control plane's clock.
        time: Timestamp,
    },
    /// Something the control plane wants to know; answered by `POST /v1/gateway/answer`.
    Ask {
        /// To name in the answer.
        question: u64,
        /// What.
        what: Question,
    },
}

/// The state of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which gateway it is for.
    pub gateway: GatewayId,
    /// Site slug.
    pub site: String,
    /// The log includes everything up to here.
    pub pos: u64,
    /// Control plane's clock.
    pub time: Timestamp,
    /// Main log origin and verifier key.
    pub log_vkey: String,
    /// Trust anchors, PEM.
    pub anchors_pem: String,
    /// Keys that sign access tokens (RFC 7517), as JSON text.
    pub jwks: String,
    /// Issuer of access tokens.
    pub token_issuer: String,
    /// Names (DER) of authorities that are compromised: what they issued is to be replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compromised_issuers: Vec<Blob>,
    /// Names (DER) of authorities of which nothing counts any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distrusted_issuers: Vec<Blob>,
    /// The site's devices.
    pub devices: Vec<DeviceView>,
}

/// What the control plane can ask a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// Would you accept these old credentials of this device? Judged by the code that judges real ones (I11).
    Probe {
        /// The device.
        device: DeviceId,
        /// Its certificates, DER.
        certificates: Vec<Blob>,
    },
    /// The decision behind a resource (`Observation/123`) that you forwarded, with its proofs.
    Reading {
        /// As the EHR named it.
        location: String,
    },
}

/// `POST /v1/gateway/answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// From the question.
    pub question: u64,
    /// The answer.
    pub answer: Answer,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To a probe.
    Probed {
        /// One per certificate and path.
        probes: Vec<Probe>,
    },
    /// To a reading: leaves of the decision log, decision first, then completion.
    Reading {
        /// Empty when this gateway knows no such resource.
        leaves: Vec<ProvenLeaf>,
        /// The signed checkpoint that the proofs lead to.
        checkpoint: String,
    },
}

/// A leaf with its opening and its inclusion proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenLeaf {
    /// Header and commitment.
    pub entry: Blob,
    /// Salt, unless erased.
    pub salt: Option<Blob>,
    /// Payload, unless erased.
    pub payload: Option<Blob>,
    /// Inclusion proof.
    pub proof: Vec<Digest>,
}

/// `POST /v1/gateway/anchor`: put this checkpoint of my decision log under the main log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorRequest {
    /// The signed checkpoint note of the gateway's log.
    pub checkpoint: String,
    /// Consistency proof from the checkpoint anchored before; empty for the first.
    pub consistency: Vec<Digest>,
}

/// Answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorReply {
    /// Position of the anchoring leaf in the main log.
    pub pos: u64,
    /// Tree size anchored before, from which the next consistency proof starts.
    pub anchored_size: u64,
}
