//! A challenge: what evidence must answer so that it was made after it. The control plane keeps none of them: the ticket's id
//! is a MAC over the rest, so that it recognises its own when they come back, after a restart too.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use lanyard_attest::tcg::PCRS;
use lanyard_attest::wire::{Malformed, Reader, put_tpm2b};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::path::Anchors;

use super::read::{device, digest, open, put_head, put_time, time};
use super::signed::{Signed, Unsigned, signed_by_control_plane};
use super::{FileError, Kind};
use crate::secret::SecretKey;

const LABEL: &[u8] = b"lanyard challenge file v1";
/// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET: at most an RSA-4096 ciphertext.
const MAX_CREDENTIAL: usize = 1024;
const ENROLL: u8 = 1;
const RENEW: u8 = 2;

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketFor {
    /// A device whose TPM is not bound to its record, or shall be anew: the keys file of this digest.
    Enroll {
        /// SHA-256 of the file.
        keys_sha256: Digest,
    },
    /// A device whose attestation key is known.
    Renew,
}

/// What comes back in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    id: [u8; 32],
    /// Which device.
    pub device: DeviceId,
    /// For what.
    pub purpose: TicketFor,
    /// When it was made, by the control plane's clock.
    pub issued: Timestamp,
    /// Until when the request must be handed in.
    pub expires: Timestamp,
    /// Size of the checkpoint that the nonces name.
    pub checkpoint_size: u64,
    /// Its root.
    pub checkpoint_root: Digest,
    /// Random, so that no two are alike.
    pub nonce: [u8; 16],
}

impl Ticket {
    /// With its id; the one given is not looked at.
    pub fn new(draft: TicketDraft, key: &SecretKey) -> Self {
        let TicketDraft { device, purpose, issued, expires, checkpoint, nonce } = draft;
        let (checkpoint_size, checkpoint_root) = checkpoint;
        let mut ticket =
            Self { id: [0; 32], device, purpose, issued, expires, checkpoint_size, checkpoint_root, nonce };
        ticket.id = ticket.tag(key);
        ticket
    }

    /// Its id; in the nonces of its evidence it stands where a live connection has its channel binding.
    pub const fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Whether this control plane made it, as it is.
    pub fn is_by(&self, key: &SecretKey) -> bool {
        verify_slices_are_equal(&self.tag(key), &self.id).is_ok()
    }

    fn tag(&self, key: &SecretKey) -> [u8; 32] {
        let mut rest = Vec::with_capacity(128);
        self.put_rest(&mut rest);
        key.tag(LABEL, &[&rest])
    }

    fn put_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.device.as_bytes());
        let (code, keys) = match self.purpose {
            TicketFor::Enroll { keys_sha256 } => (ENROLL, keys_sha256),
            TicketFor::Renew => (RENEW, Digest::default()),
        };
        out.push(code);
        out.extend_from_slice(&keys.0);
        put_time(out, self.issued);
        put_time(out, self.expires);
        out.extend_from_slice(&self.checkpoint_size.to_be_bytes());
        out.extend_from_slice(&self.checkpoint_root.0);
        out.extend_from_slice(&self.nonce);
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        self.put_rest(out);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, FileError> {
        let id = r.array("challenge id")?;
        let device = device(r)?;
        let code = r.u8("purpose")?;
        let keys_sha256 = digest(r, "keys digest")?;
        let purpose = match code {
            ENROLL => TicketFor::Enroll { keys_sha256 },
            RENEW if keys_sha256 == Digest::default() => TicketFor::Renew,
            RENEW => {
                let rule = "is zero where no keys file was shown";
                return Err(Malformed::Invalid { field: "keys digest", rule }.into());
            }
            other => return Err(Malformed::Unsupported { field: "purpose", found: other.into() }.into()),
        };
        Ok(Self {
            id,
            device,
            purpose,
            issued: time(r, "issued")?,
            expires: time(r, "expires")?,
            checkpoint_size: r.u64("checkpoint size")?,
            checkpoint_root: digest(r, "checkpoint root")?,
            nonce: r.array("nonce")?,
        })
    }
}

/// A ticket without its id.
#[derive(Debug, Clone)]
pub struct TicketDraft {
    /// Which device.
    pub device: DeviceId,
    /// For what.
    pub purpose: TicketFor,
    /// Now.
    pub issued: Timestamp,
    /// Until when the request must be handed in.
    pub expires: Timestamp,
    /// Size and root of the newest checkpoint.
    pub checkpoint: (u64, Digest),
    /// Random.
    pub nonce: [u8; 16],
}

/// The file that goes to the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What comes back.
    pub ticket: Ticket,
    /// PCRs to quote, ascending.
    pub pcrs: Vec<u8>,
    /// TPM2B_ID_OBJECT's content: a secret for the TPM of the keys file. Empty for a renewal.
    pub credential_blob: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET's content. Empty for a renewal.
    pub encrypted_secret: Vec<u8>,
}

impl Challenge {
    /// The file, to be signed by the control plane with this chain.
    pub fn unsigned(&self, signer: &[Vec<u8>]) -> Unsigned {
        let mut out = Vec::with_capacity(4096);
        put_head(&mut out, Kind::Challenge);
        self.ticket.put(&mut out);
        out.push(u8::try_from(self.pcrs.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&self.pcrs);
        put_tpm2b(&mut out, &self.credential_blob);
        put_tpm2b(&mut out, &self.encrypted_secret);
        Unsigned::by(out, signer)
    }

    /// Reads a file without asking who signed it.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Signed<'_>), FileError> {
        let mut r = open(bytes, Kind::Challenge)?;
        let ticket = Ticket::read(&mut r)?;
        let count = usize::from(r.u8("PCR count")?);
        let pcrs = r.take("PCRs", count)?.to_vec();
        let ascending = pcrs.iter().zip(pcrs.iter().skip(1)).all(|(a, b)| a < b);
        if pcrs.is_empty() || !ascending || pcrs.iter().any(|pcr| usize::from(*pcr) >= PCRS) {
            return Err(Malformed::Invalid { field: "PCRs", rule: "0 to 23, ascending, each once" }.into());
        }
        let credential_blob = r.tpm2b("credential", MAX_CREDENTIAL)?.to_vec();
        let encrypted_secret = r.tpm2b("encrypted secret", MAX_CREDENTIAL)?.to_vec();
        let signed = Signed::read(bytes, &mut r)?;
        Ok((Self { ticket, pcrs, credential_blob, encrypted_secret }, signed))
    }

    /// Reads a file, on the device: only the control plane's is taken.
    pub fn verify(bytes: &[u8], anchors: &Anchors, now: Timestamp) -> Result<Self, FileError> {
        let (challenge, signed) = Self::parse(bytes)?;
        signed_by_control_plane(&signed, anchors, now)?;
        Ok(challenge)
    }
}
