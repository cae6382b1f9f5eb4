//! CMP (RFC 9810), over HTTP (RFC 9811), as the lightweight profile (RFC 9483) has it: `openssl cmp` and device stacks of
//! industrial makers speak it. Server side ([`server`]) and client side ([`client`]), both sans-IO.
//!
//! A message is header, body and a protection over the bytes of both: a signature, or a MAC with a one-time secret. So
//! bytes are cut out of messages and never encoded again (`tlv.rs`), and the types of `cmpv2` 0.2, which are of an earlier
//! generation of `der`, are not used.
//!
//! One enrollment secret, spoken in CMP: senderKID is its id, the MAC key is its whole text ([`crate::secret`]).
//!
//! In scope: ir, cr, p10cr, kur, rr, certConf, pollReq, genm, error and their answers. Out of scope: what [`server`] says.
//!
//! To add a message: a variant of `message::Kind`, a file with its body, a step in `server::accept`, a test in which
//! OpenSSL sends it.

mod cert_reply;
pub mod client;
mod confirm;
mod crmf;
mod describe;
mod hash;
mod header;
mod information;
mod mac;
mod message;
mod name;
mod oid;
mod poll;
mod revocation;
pub mod server;
mod status;
#[cfg(test)]
mod testing;
mod tlv;
mod transactions;

use header::NONCE_BYTES;

pub use crmf::{CertificateId, RequestRefused};
pub use describe::describe;
pub use information::{Answers, CrlStatus, Question, RootUpdate};
pub use mac::AlgorithmRefused;
pub use message::{EnrollKind, MAX_MESSAGE_BYTES};
pub use revocation::RevocationRefused;
pub use status::FailInfo;
pub use tlv::Malformed;
pub use transactions::{Sender, Settled, Settlement, TransactionId, TransactionLimits, Transactions};

/// The media type of PKIMessages (RFC 9811 3.2).
pub const CONTENT_TYPE: &str = "application/pkixcmp";

/// Randomness for one message: its nonce, its salt if it is protected with a MAC. Not to be copied: each is used once.
#[derive(Debug)]
pub struct Fresh {
    nonce: [u8; NONCE_BYTES],
    salt: [u8; NONCE_BYTES],
}

impl Fresh {
    /// From random bytes that nothing else uses.
    pub fn from_random(bytes: [u8; 2 * NONCE_BYTES]) -> Self {
        let (mut nonce, mut salt) = ([0; NONCE_BYTES], [0; NONCE_BYTES]);
        for (to, from) in nonce.iter_mut().chain(salt.iter_mut()).zip(bytes) {
            *to = from;
        }
        Self { nonce, salt }
    }
}
