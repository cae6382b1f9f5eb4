//! RFC 9457 problem details: how every refusal and failure of the control plane's API reads.

use lanyard_domain::trust::Reason;
use serde::{Deserialize, Serialize};

/// Media type of a problem (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// `urn:lanyard:problem:<code>`; each has a line in the error catalogue.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short, the same for each occurrence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// Reasons of a decision, when there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

impl Problem {
    /// A problem of `code`.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:lanyard:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            reasons: Vec::new(),
        }
    }

    /// The same with reasons.
    pub fn with_reasons(mut self, reasons: Vec<Reason>) -> Self {
        self.reasons = reasons;
        self
    }

    /// The code at the end of the type.
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}
