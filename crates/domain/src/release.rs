//! Releases: approved firmware or AI model states as sets of digests that hold *together*, with a minimum
//! security version, validity, and two people behind each (R63, R64).

use serde::{Deserialize, Serialize};

use crate::id::{OperatorId, ReleaseId};
use crate::text::{Digest, FieldError, check_text};
use crate::time::Timestamp;

/// What a maker's release note becomes once typed in or imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// Maker the release is for.
    pub vendor: String,
    /// Model the release is for.
    pub model: String,
    /// Version as printed by the maker.
    pub version: String,
    /// Counts up with each security fix; a device below `minimum_security_version` is downgraded.
    pub security_version: u32,
    /// Raised to forbid going back: all releases of this model below it stop being acceptable.
    pub minimum_security_version: u32,
    /// After this the approval's window is over: a warning at each appraisal, never a cut by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// What must be measured.
    pub content: ReleaseContent,
}

/// The digests of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ReleaseContent {
    /// Firmware: final PCR values (SHA-256 bank), and the events that lead to them.
    Firmware {
        /// Reference values by PCR index.
        pcrs: Vec<ReferencePcr>,
        /// The golden boot's events, so that a difference can be named.
        #[serde(default)]
        events: Vec<ReferenceEvent>,
    },
    /// AI model: digest of the manifest of its files, weights and thresholds.
    Model {
        /// SHA-256 of the manifest.
        manifest_digest: Digest,
    },
}

/// One reference PCR value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferencePcr {
    /// PCR index, 0 to 23.
    pub pcr: u8,
    /// Expected value in the SHA-256 bank.
    pub value: Digest,
}

/// One event of the golden boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceEvent {
    /// PCR the event was extended into.
    pub pcr: u8,
    /// Its digest.
    pub digest: Digest,
    /// What it is, in words.
    pub label: String,
}

impl ReleaseRecord {
    /// Checks every field. A release that checks nothing is refused here, so that none can be approved (I5).
    pub fn check(&self) -> Result<(), FieldError> {
        check_text("vendor", &self.vendor, 64)?;
        check_text("model", &self.model, 64)?;
        check_text("version", &self.version, 64)?;
        if self.minimum_security_version > self.security_version {
            return Err(FieldError::new(
                "minimum_security_version",
                "must not be above the release's own security_version",
                &self.minimum_security_version.to_string(),
            ));
        }
        match &self.content {
            ReleaseContent::Model { .. } => Ok(()),
            ReleaseContent::Firmware { pcrs, events } => {
                if pcrs.is_empty() || pcrs.len() > 24 {
                    return Err(FieldError::new(
                        "pcrs",
                        "must list 1 to 24 PCR values",
                        &pcrs.len().to_string(),
                    ));
                }
                let mut seen = 0u32;
                for reference in pcrs {
                    let bit = 1u32.checked_shl(u32::from(reference.pcr)).unwrap_or(0);
                    if reference.pcr > 23 || seen & bit != 0 {
                        return Err(FieldError::new(
                            "pcrs",
                            "must be 0 to 23, each once",
                            &reference.pcr.to_string(),
                        ));
                    }
                    seen |= bit;
                }
                // 4,096 events: real logs have 26 to 158 (reference logs), UKI systems some hundreds.
                if events.len() > 4_096 {
                    return Err(FieldError::new("events", "must be at most 4096", &events.len().to_string()));
                }
                Ok(())
            }
        }
    }

    /// Whether this is a firmware release.
    pub fn is_firmware(&self) -> bool {
        matches!(self.content, ReleaseContent::Firmware { .. })
    }
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Proposed by one person; nothing may run it yet.
    Proposed,
    /// Approved by a second person.
    Approved,
    /// Withdrawn: no device running it is trusted.
    Withdrawn,
}

/// A release as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its content.
    #[serde(with = "crate::text::in_words")]
    pub record: ReleaseRecord,
    /// Where it stands.
    pub state: ReleaseState,
    /// Who proposed it; may not approve it.
    pub proposer: OperatorId,
    /// Events so far in its stream.
    pub seq: u64,
}

/// Why a release command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefusal {
    /// The same person cannot do both.
    #[error("release {0} was proposed by the same operator; a second person must approve it")]
    SamePerson(ReleaseId),
    /// Only a proposed release can be approved.
    #[error("release {0} is not waiting for approval")]
    NotProposed(ReleaseId),
}

impl Release {
    /// Whether `approver` may approve it now.
    pub fn approve(&self, approver: OperatorId) -> Result<(), ReleaseRefusal> {
        if self.state != ReleaseState::Proposed {
            return Err(ReleaseRefusal::NotProposed(self.id));
        }
        if self.proposer == approver {
            return Err(ReleaseRefusal::SamePerson(self.id));
        }
        Ok(())
    }
}
