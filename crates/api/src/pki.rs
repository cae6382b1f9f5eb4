//! What an operator sees of certificates and authorities.

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{ApplicationId, OperatorId};
use lanyard_domain::maintenance::Window;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::{SeenCertificate, WatchAlarm, WatchRecord};
use serde::{Deserialize, Serialize};

/// A certificate in the inventory: everything that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryLine {
    /// Serial number, hex.
    pub serial: String,
    /// `device`, `gateway`, `application`, `server`, or `watched` for what others issued or run.
    pub kind: String,
    /// Id of that device, gateway or application.
    pub subject: String,
    /// What it is, in words.
    pub name: String,
    /// Site.
    pub site: String,
    /// Who answers for it (R45).
    pub owner: String,
    /// Profile that it was made by.
    pub profile: String,
    /// Name of the authority that signed it.
    pub issuer: String,
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
    /// Whether it was seen in use.
    pub seen: bool,
    /// When and why it was revoked.
    pub revoked: Option<RevokedLine>,
    /// What happens when it ends.
    pub effect: String,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedLine {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// A certificate profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileLine {
    /// Name.
    pub name: String,
    /// The text in force.
    pub active: Option<String>,
    /// The text that waits for a second person.
    pub proposed: Option<String>,
    /// SHA-256 of that.
    pub proposed_sha256: Option<Digest>,
    /// Who proposed it.
    pub proposer: Option<OperatorId>,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationLine {
    /// Id.
    pub application: ApplicationId,
    /// What was registered.
    pub record: ApplicationRecord,
    /// `registered`, `approved` or `removed`.
    pub stage: String,
    /// Serial numbers of its current certificates.
    pub certificates: Vec<String>,
}

/// How renewals stand, watched as a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalReport {
    /// Certificates of devices, applications and gateways that should be renewed: the newest of each profile.
    pub watched: usize,
    /// Before two thirds of their lifetime.
    pub on_time: usize,
    /// Between two thirds and four fifths: renewing.
    pub due: usize,
    /// Seconds behind two thirds of the lifetime, in the middle of those that are behind; `None` if nobody is.
    pub median_lag_seconds: Option<i64>,
    /// The most.
    pub worst_lag_seconds: Option<i64>,
    /// Past four fifths, or ended.
    pub late: Vec<LateLine>,
}

/// A certificate that was not renewed in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateLine {
    /// `device`, `application` or `gateway`.
    pub kind: String,
    /// Id of that.
    pub subject: String,
    /// What it is, in words.
    pub name: String,
    /// Site.
    pub site: String,
    /// Who answers for it now.
    pub owner: String,
    /// Its newest certificate.
    pub serial: String,
    /// When that ends or ended.
    pub not_after: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
}

/// `GET /v1/watched`: a server whose certificate is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedLine {
    /// What is written down about it.
    pub record: WatchRecord,
    /// `in order`, `changed`, `ends soon`, `ended` or `not seen yet`.
    pub standing: String,
    /// What it showed last.
    pub certificate: Option<SeenCertificate>,
    /// What its owner was told about that certificate.
    pub alarms: Vec<WatchAlarm>,
    /// When it was looked at, since the server's start.
    pub looked_at: Option<Timestamp>,
    /// Why there was no certificate then.
    pub fault: Option<String>,
}

/// A request for somebody else's CA to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRequest {
    /// PKCS#10, PEM.
    pub pem: String,
}

/// One of our authorities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityLine {
    /// Name.
    pub name: String,
    /// What it is for.
    pub purpose: AuthorityPurpose,
    /// The site that it issues for; all without.
    pub site: Option<String>,
    /// Where it is in its life.
    pub state: AuthorityState,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// From.
    pub not_before: Option<Timestamp>,
    /// To.
    pub not_after: Option<Timestamp>,
    /// SHA-256 of the certificate.
    pub sha256: Option<Digest>,
    /// Certificates by it that are in use: what still drains.
    pub live: usize,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Where its key is.
    #[serde(default)]
    pub keys: KeyStore,
    /// The root of somebody else that its certificate must end in, PEM; absent below a root of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_pem: Option<String>,
    /// What stands above its certificate, PEM, its issuer first and the root last; empty below a root of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub above_pem: String,
    /// Why it cannot sign now, and what to do; absent when it can, and for what does not sign here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A site's maintenance windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteLine {
    /// Slug.
    pub site: String,
    /// When its certificates may be replaced.
    pub windows: Vec<Window>,
}
