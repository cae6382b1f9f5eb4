//! Devices without network: a person carries files between the device and the control plane (docs/protocols/offline.md).
//!
//! What comes in a file goes the way of everything else: the same record, approvals, tier, evidence, claims and alarms. Two
//! things take the place of the connection. A challenge, for evidence: it is recognised by its MAC, and good for as long as
//! the tier's evidence is fresh. And the ledger, for single use: what was handed in stands in the device's chain.
//!
//! In scope: challenges, handing in, the same answer once more. Out of scope: the files' bytes (`lanyard_enroll::offline`),
//! who signs for the control plane (the server).

mod challenge;
mod hand_in;

use lanyard_domain::device::Command;
use lanyard_domain::event::FileProof;
use lanyard_domain::id::{DeviceId, OperatorId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{FileError, Response, Ticket};

use crate::carry_out::Accepted;
use crate::journal::SealedAt;
use crate::plane::ControlError;

pub use challenge::ChallengeFor;
pub use hand_in::Repeat;

/// A response that lies in a drawer for longer than a week is a device that nobody installed.
const RESPONSE_SECONDS: i64 = 7 * 86_400;

/// A request file that a person signed for.
pub(crate) struct Hand {
    accepted: Accepted,
    request_sha256: Digest,
    proof: FileProof,
    expires: Timestamp,
}

impl Hand {
    pub(crate) fn actor(&self) -> OperatorId {
        self.accepted.by.id
    }

    pub(crate) fn once(&self) -> Option<Digest> {
        self.accepted.once()
    }

    pub(crate) fn command(&self) -> Command<'_> {
        Command::HandIn {
            by: &self.accepted.by,
            request_sha256: self.request_sha256,
            proof: self.proof,
            expires: self.expires,
            statement: self.accepted.signed.clone(),
        }
    }
}

/// What a request file is about, before anybody signs for it.
#[derive(Debug, Clone)]
pub struct FileAbout {
    /// Which device.
    pub device: DeviceId,
    /// What it proves itself by.
    pub proof: FileProof,
    /// By what it is used once.
    pub request_sha256: Digest,
    /// Until when it can be handed in.
    pub expires: Timestamp,
    /// Whether it was handed in before.
    pub used: bool,
}

/// What a request file came to.
#[derive(Debug, Clone)]
pub enum HandedIn {
    /// The response, to be signed by the control plane.
    Answered(Response),
    /// A person must decide first; then the same file can be handed in.
    Waiting {
        /// What for.
        why: String,
    },
}

/// The checkpoint of a ticket, as our log published it: its MAC says so.
fn sealed(ticket: &Ticket) -> SealedAt {
    SealedAt {
        size: ticket.checkpoint_size,
        root: ticket.checkpoint_root,
        note: String::new(),
        superseded: None,
    }
}

fn unreadable(error: FileError) -> ControlError {
    match error {
        FileError::Signature | FileError::Secret => {
            ControlError::refused("request_not_genuine", error.to_string())
        }
        other => ControlError::malformed("file", other),
    }
}
