//! The nonce extension (RFC 9654 2.1): binds an answer to one request.

use crate::oid;
use crate::read::{BadDer, Reader};
use crate::write::{self, Critical};

/// RFC 9654 2.1: 1 to 128 octets.
const MAX_OCTETS: usize = 128;

/// 1 to 128 octets that only one request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// A nonce for a request of ours: 32 octets, as RFC 9654 2.1 wants of clients.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec())
    }

    /// From octets; `None` unless there are 1 to 128.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        (1..=MAX_OCTETS).contains(&octets.len()).then(|| Self(octets.to_vec()))
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// From the extension's value: an OCTET STRING inside of the value.
    pub(super) fn from_extension(value: &[u8]) -> Result<Self, BadDer> {
        let mut value = Reader::new(value);
        let octets = value.take(write::OCTET_STRING, "the nonce")?;
        value.end("the nonce")?;
        Self::from_octets(octets).ok_or(BadDer::Value("the nonce (1 to 128 octets, RFC 9654 2.1)"))
    }

    pub(super) fn write_extension(&self, out: &mut Vec<u8>) {
        write::extension(out, &oid::OCSP_NONCE, Critical::No, |o| {
            write::bytes(o, write::OCTET_STRING, &self.0);
        });
    }
}
