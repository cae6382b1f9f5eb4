//! What an operator's command line says and hears about files of devices without network (docs/protocols/offline.md).

use lanyard_domain::event::FileProof;
use lanyard_domain::id::DeviceId;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use serde::{Deserialize, Serialize};

/// `POST /v1/files/challenge`, signed request: for whom?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChallengeRequest {
    /// A device that shows its keys.
    Keys {
        /// The keys file.
        file: Blob,
    },
    /// A device whose TPM is known.
    Device {
        /// Which.
        device: DeviceId,
    },
}

/// Answer: a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeFile {
    /// For which device.
    pub device: DeviceId,
    /// Until when a request that answers it must be handed in.
    pub expires: Timestamp,
    /// The file.
    pub file: Blob,
}

/// `POST /v1/files/look`, signed request: what is this request file about?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileLook {
    /// The file.
    pub file: Blob,
}

/// Answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Which device.
    pub device: DeviceId,
    /// Its maker, model and serial number, as registered.
    pub label: String,
    /// What the request proves itself by.
    pub proof: FileProof,
    /// By what it is used once; sign a `HandInRequest` over it.
    pub request_sha256: Digest,
    /// Until when it can be handed in.
    pub expires: Timestamp,
    /// Whether it was handed in before.
    pub used: bool,
}

/// `POST /v1/files/request`: hand it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHandIn {
    /// The file.
    pub file: Blob,
    /// A signed `HandInRequest` about it.
    pub statement: SignedStatement,
    /// The response to it was lost: the same certificate once more.
    pub again: bool,
}

/// Answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FileAnswer {
    /// A response for the device.
    Issued {
        /// The file.
        file: Blob,
        /// Which device.
        device: DeviceId,
        /// Until when the device must accept it.
        expires: Timestamp,
        /// End of the certificate.
        not_after: Timestamp,
        /// How the device stands now.
        verdict: Verdict,
    },
    /// A person must decide first; then hand the same file in again.
    Waiting {
        /// What for.
        why: String,
    },
}
