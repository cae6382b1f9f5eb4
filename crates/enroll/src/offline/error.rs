//! Why a file is not what it should be.

use lanyard_attest::wire::Malformed;
use lanyard_pki::csr::CsrError;
use lanyard_pki::path::PathError;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More bytes than such a file can have.
    #[error(
        "a {what} file has at most {limit} bytes, this one has {found}: it is something else, or was added to"
    )]
    TooLarge {
        /// Which kind was expected.
        what: &'static str,
        /// The most.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// No file of ours.
    #[error(
        "the first bytes are not those of a file by `lanyard agent request` or `lanyard enroll`: it is something else"
    )]
    NotOurs,
    /// Of a version that is not known here.
    #[error("a file of version {0}; version 1 is read here: use the same release of lanyard on both sides")]
    Version(u8),
    /// Of another kind.
    #[error("this is a {found} file, a {expected} file is needed here")]
    OtherKind {
        /// What was needed.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field breaks a rule: cut off, too long, unknown, or bytes are left.
    #[error("the file is damaged: {0}; carry it again")]
    Malformed(#[from] Malformed),
    /// Text that is none.
    #[error("`{0}` is not UTF-8 text of 1 to 256 bytes")]
    Text(&'static str),
    /// The request in it is refused.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// Signed by another key, or changed afterwards.
    #[error("the signature does not fit: the file was changed, or another key signed it")]
    Signature,
    /// The MAC is by another secret.
    #[error("the file was not made with this one-time secret, or was changed")]
    Secret,
    /// The signer is nobody whom the device trusts.
    #[error("the signer is not the control plane that this device trusts: {0}")]
    Signer(#[from] PathError),
    /// The signer's certificate is good, and somebody else's.
    #[error("signed by {0}, not by the control plane")]
    NotControlPlane(String),
}
