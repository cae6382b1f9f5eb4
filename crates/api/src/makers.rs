//! Makers whose hardware may enroll, and their lists of what they revoked.

use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An accepted authority of a maker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndorsementLine {
    /// SHA-256 of its certificate.
    pub sha256: Digest,
    /// Its name.
    pub subject: String,
    /// What it is accepted for.
    pub uses: Vec<String>,
    /// Certified grade of what it endorses.
    pub grade: Option<String>,
    /// Its lists, in the order in which they lapse.
    pub lists: Vec<MakerListLine>,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakerListLine {
    /// Whose certificates it names.
    pub issuer: String,
    /// Which part of them, when it is a list of a part.
    pub part: Option<String>,
    /// `crl` or `status`.
    pub form: String,
    /// Its number.
    pub number: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// As of when.
    pub this_update: Timestamp,
    /// Until when it is current.
    pub until: Timestamp,
    /// `current`, `lapses soon` or `out of date`.
    pub standing: String,
    /// How many certificates it names.
    pub entries: usize,
    /// Enrolled devices whose hardware it names.
    pub named: usize,
    /// Of them, those for which nothing was recorded yet.
    pub open: usize,
}
