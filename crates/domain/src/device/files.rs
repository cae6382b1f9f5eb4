//! Request files of devices without network: handed in by a person, in time, and once.
//!
//! In scope: that rule. Out of scope: what stands in a file (`lanyard-enroll`), what else it must prove (`super::credentials`).

use super::Device;
use super::decide::{Refusal, require};
use crate::event::{Event, FileProof};
use crate::operator::Operator;
use crate::rights;
use crate::statement::SignedStatement;
use crate::text::Digest;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A file that counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedFile {
    /// SHA-256 of what the device signed in it.
    pub request_sha256: Digest,
    /// After this it would be refused without being remembered.
    pub expires: Timestamp,
}

/// That a request file was handed in before.
pub fn used_before() -> Refusal {
    Refusal::new(
        "request_used",
        "this request file was handed in before and counts once; if its response was lost, `lanyard enroll file --again` \
         gives the same certificate once more",
    )
}

impl Device {
    /// Whether a request file of this digest was handed in.
    pub fn has_used_file(&self, request_sha256: &Digest) -> bool {
        self.handed_in.iter().any(|used| used.request_sha256 == *request_sha256)
    }

    pub(super) fn hand_in(
        &self,
        by: &Operator,
        request_sha256: Digest,
        proof: FileProof,
        expires: Timestamp,
        statement: SignedStatement,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        require(by, rights::HAND_IN_REQUEST)?;
        if now > expires {
            return Err(Refusal::new(
                "request_expired",
                format!("this request file was good until {expires}; have the device make a new one"),
            ));
        }
        if self.has_used_file(&request_sha256) {
            return Err(used_before());
        }
        Ok(vec![Event::RequestFileHandedIn { request_sha256, proof, expires, statement }])
    }

    /// What has expired is refused for that, and need not be remembered: a device has a handful at most.
    pub(super) fn use_file(&mut self, file: UsedFile, now: Timestamp) {
        let kept = self.handed_in.iter().copied().filter(|used| used.expires >= now);
        self.handed_in = kept.chain([file]).collect();
    }
}
