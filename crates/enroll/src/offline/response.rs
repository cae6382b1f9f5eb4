//! A response: the certificate, for one request of one device, until then.

use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::path::Anchors;

use super::read::{chain, device, digest, open, put_chain, put_head, put_time, time};
use super::signed::{Signed, Unsigned, signed_by_control_plane};
use super::{FileError, Kind};

/// What the control plane answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Which request it answers.
    pub request_sha256: Digest,
    /// Whose.
    pub device: DeviceId,
    /// When it was made.
    pub issued: Timestamp,
    /// Until when it must be accepted.
    pub expires: Timestamp,
    /// When the device should ask for the next certificate.
    pub renew_at: Timestamp,
    /// The certificate and its issuers, DER, without the root.
    pub chain: Vec<Vec<u8>>,
}

impl Response {
    /// The file, to be signed by the control plane with this chain.
    pub fn unsigned(&self, signer: &[Vec<u8>]) -> Unsigned {
        let mut out = Vec::with_capacity(4096);
        put_head(&mut out, Kind::Response);
        out.extend_from_slice(&self.request_sha256.0);
        out.extend_from_slice(self.device.as_bytes());
        for at in [self.issued, self.expires, self.renew_at] {
            put_time(&mut out, at);
        }
        put_chain(&mut out, &self.chain);
        Unsigned::by(out, signer)
    }

    /// Reads a file without asking who signed it.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Signed<'_>), FileError> {
        let mut r = open(bytes, Kind::Response)?;
        let response = Self {
            request_sha256: digest(&mut r, "request digest")?,
            device: device(&mut r)?,
            issued: time(&mut r, "issued")?,
            expires: time(&mut r, "expires")?,
            renew_at: time(&mut r, "renewal")?,
            chain: chain(&mut r, "certificates")?,
        };
        Ok((response, Signed::read(bytes, &mut r)?))
    }

    /// Reads a file, on the device: only the control plane's is taken.
    pub fn verify(bytes: &[u8], anchors: &Anchors, now: Timestamp) -> Result<Self, FileError> {
        let (response, signed) = Self::parse(bytes)?;
        signed_by_control_plane(&signed, anchors, now)?;
        Ok(response)
    }
}
