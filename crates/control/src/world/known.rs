//! What the log knows of those that have no type of the domain: endorsement authorities, gateways, our authorities, profiles,
//! accounts.

use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::endorsement::{EndorsementUse, accepted_for};
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A maker's endorsement authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endorsement {
    /// DER certificate.
    pub certificate: Vec<u8>,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Certified grade of what it endorses.
    pub grade: Option<String>,
    /// What it was accepted for.
    pub uses: Vec<EndorsementUse>,
}

impl Endorsement {
    /// Whether it was accepted for this.
    pub fn accepts(&self, wanted: EndorsementUse) -> bool {
        accepted_for(&self.uses, wanted)
    }
}

/// A gateway as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Which.
    pub id: GatewayId,
    /// Site slug.
    pub site: String,
    /// Its decision log's verifier key.
    pub vkey: String,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub spki_sha256: Digest,
    /// Names it serves.
    pub names: Vec<String>,
    /// Certificates that it may use.
    pub certificates: Vec<GatewayCertificate>,
    /// Its decision log as last anchored.
    pub anchored: Option<Anchored>,
    /// Ended by an admin; stays known, because its log lies under ours.
    pub removed: bool,
    /// Position of the admission.
    pub added_pos: u64,
    /// Events so far.
    pub seq: u64,
}

/// A certificate of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCertificate {
    /// Serial number, hex.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// Its end.
    pub not_after: Timestamp,
}

/// A checkpoint of a gateway's log that lies under the main log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Tree size of the gateway's log.
    pub size: u64,
    /// The note.
    pub note: String,
    /// Position of the anchoring leaf in the main log.
    pub pos: u64,
}

/// One of our authorities as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAuthority {
    /// Its name, and the label of its key.
    pub name: String,
    /// DER; empty while it is planned.
    pub certificate: Vec<u8>,
    /// What it is for.
    pub purpose: AuthorityPurpose,
    /// The site that it issues for; all without.
    pub site: Option<String>,
    /// Position of the decision that let it issue.
    pub activated: Option<u64>,
    /// Ended by a person.
    pub retired: bool,
    /// Who ordered it; may not activate it.
    pub planner: Option<OperatorId>,
    /// Where its key is.
    pub keys: KeyStore,
    /// The root (DER) of somebody else that its certificate must end in.
    pub under: Option<Vec<u8>>,
    /// What stands above a certificate that somebody else made (DER): its issuer first, the root last.
    pub above: Vec<Vec<u8>>,
}

/// An intent to sign for one of our own services or authorities, or for a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIntent {
    /// The serial number that the certificate would have.
    pub serial: String,
    /// The gateway that it is for; ourselves without.
    pub gateway: Option<GatewayId>,
}

/// A certificate profile as the log knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownProfile {
    /// The text in force.
    pub active: Option<String>,
    /// The text that waits for a second person, and who proposed it.
    pub proposed: Option<(String, OperatorId)>,
}

/// Who may have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A device.
    Device(DeviceId),
    /// An application.
    Application(ApplicationId),
}

impl From<Subject> for StreamId {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Device(id) => id.into(),
            Subject::Application(id) => id.into(),
        }
    }
}

/// An ACME account that speaks for a device or an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// For whom.
    pub subject: Subject,
    /// Its key, JSON (RFC 7517).
    pub jwk: String,
    /// What its address is made of: the thumbprint of its first key.
    pub first_sha256: Digest,
    /// Ended by its owner, or replaced by another key.
    pub ended: bool,
}
