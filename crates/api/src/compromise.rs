//! How far the replacement of a compromised authority's certificates is.

use lanyard_domain::compromise::CompromisePlan;
use lanyard_domain::id::OperatorId;
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One compromise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompromiseReport {
    /// Of which authority.
    pub name: String,
    /// Which issues in its place.
    pub successor: String,
    /// What was decided.
    pub plan: CompromisePlan,
    /// Who declared it; may not confirm it.
    pub declared_by: OperatorId,
    /// When another person set it in force; nothing has happened before.
    pub confirmed_at: Option<Timestamp>,
    /// When nothing was left of it.
    pub ended_at: Option<Timestamp>,
    /// By class of risk, most risk first.
    pub classes: Vec<ClassLine>,
    /// Who needs a person; at most a thousand.
    pub stuck: Vec<StuckLine>,
}

/// A class of risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLine {
    /// `critical`, `high`, `standard`, `low`; `others` are applications and gateways.
    pub class: String,
    /// Holders at the confirmation.
    pub total: usize,
    /// They have certificates by others alone.
    pub replaced: usize,
    /// They have a new one whose use is waited for.
    pub settling: usize,
    /// Their turn has not come.
    pub waiting: usize,
    /// They were told within the last hour.
    pub told: usize,
    /// They were told longer ago.
    pub overdue: usize,
    /// They have no certificate that counts.
    pub off_the_air: usize,
    /// They need none any more.
    pub gone: usize,
}

/// A holder that does not help itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckLine {
    /// Class of risk.
    pub class: String,
    /// Id of a device, application or gateway.
    pub id: String,
    /// It has no certificate that counts.
    pub off_the_air: bool,
    /// What it is, in words.
    pub name: String,
    /// Site.
    pub site: String,
    /// Who answers for it now.
    pub owner: String,
    /// What is known of why.
    pub why: String,
    /// When its certificates are or were revoked.
    pub deadline: Timestamp,
}
