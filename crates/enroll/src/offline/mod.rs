//! Request files: enrollment of devices without network. A technician carries files between the device and an operator.
//!
//! Four kinds, one layout (docs/protocols/offline.md): [`Keys`] of a device that has not enrolled, [`Challenge`] by the
//! control plane, [`RequestFile`] by the device, [`Response`] by the control plane. Integers are big-endian, lengths stand
//! before their bytes, nothing follows the end: the same content has exactly one encoding, but for signatures. What is used
//! once is therefore named by the digest of what was signed, never by that of a file.
//!
//! In scope: bytes, their limits, signatures and MACs. Out of scope: who may have a certificate and whether a file was used
//! before (`control`), keys and state of a device (`agent`). To add a member: a new version, read beside the old one.

mod challenge;
mod error;
mod keys;
mod read;
mod request;
mod response;
mod signed;

pub use challenge::{Challenge, Ticket, TicketDraft, TicketFor};
pub use error::FileError;
pub use keys::Keys;
pub use request::{Attested, Proof, RequestFile, VerifiedRequest, request_sha256};
pub use response::Response;
pub use signed::{Signed, Unsigned, signed_by_control_plane};

use read::head;

/// What is signed begins with this. The control plane signs files with its TLS key; in TLS 1.2 a server signs 32 bytes of the
/// client's choice, then 32 of its own (RFC 5246 7.4.3): this is longer, so that no handshake can be made to sign a file.
pub const CONTEXT: &[u8] = b"lanyard file for a device without network, version 1\0";

/// Keys: a chain of certificates and two public keys.
pub const MAX_KEYS: usize = 64 << 10;
/// A challenge: a TPM credential below 1 KiB, a chain of three certificates.
pub const MAX_CHALLENGE: usize = 64 << 10;
/// A request: keys, evidence with a 4 MiB event log, and 64 KiB for the rest.
pub const MAX_REQUEST: usize = lanyard_attest::evidence::MAX_EVIDENCE + MAX_KEYS + (64 << 10);
/// A response: two chains.
pub const MAX_RESPONSE: usize = 128 << 10;
/// Certificates in one chain; ours have three.
pub const MAX_CHAIN: usize = 4;

/// Which of the four a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`Keys`].
    Keys = 1,
    /// [`Challenge`].
    Challenge = 2,
    /// [`RequestFile`].
    Request = 3,
    /// [`Response`].
    Response = 4,
}

impl Kind {
    /// All.
    pub const ALL: [Kind; 4] = [Kind::Keys, Kind::Challenge, Kind::Request, Kind::Response];

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Keys => "keys",
            Kind::Challenge => "challenge",
            Kind::Request => "request",
            Kind::Response => "response",
        }
    }

    /// Of a file, by its first bytes.
    pub fn of(bytes: &[u8]) -> Result<Self, FileError> {
        head(&mut lanyard_attest::wire::Reader::new(bytes))
    }

    const fn most(self) -> usize {
        match self {
            Kind::Keys => MAX_KEYS,
            Kind::Challenge => MAX_CHALLENGE,
            Kind::Request => MAX_REQUEST,
            Kind::Response => MAX_RESPONSE,
        }
    }
}
