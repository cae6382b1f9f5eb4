//! The nonce of every attestation: a hash over what the evidence must be bound to (design §6).
//!
//! The checkpoint bounds the time from below: nobody knew its root before it was signed. Device and channel
//! keep the evidence from being sent for another device or through another TLS session. The purpose keeps
//! the answer to one question from being used for another. No state per device is kept for it.
//! To add a purpose: a variant with its own label.

use aws_lc_rs::digest::{SHA256, digest};

/// What the attestation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A quote in service.
    Attest,
    /// A key certification.
    Certify,
    /// A quote during enrolment.
    Enroll,
}

impl Purpose {
    // All that follows a label has a fixed length, so no two labels can give the same input.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Attest => b"lanyard attest v1\0",
            Self::Certify => b"lanyard certify v1\0",
            Self::Enroll => b"lanyard enroll v1\0",
        }
    }
}

/// A signed checkpoint of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckpointRef {
    /// Tree size.
    pub size: u64,
    /// Root hash.
    pub root: [u8; 32],
}

/// The qualifying data for the TPM: SHA-256 of label, size (big-endian), root, device id and channel
/// binding (RFC 9266 `tls-exporter`, or the SHA-256 of the session's own transcript where there is none).
pub fn qualifying_data(
    purpose: Purpose,
    checkpoint: &CheckpointRef,
    device: [u8; 16],
    channel: [u8; 32],
) -> [u8; 32] {
    let mut input = Vec::with_capacity(107);
    input.extend_from_slice(purpose.label());
    input.extend_from_slice(&checkpoint.size.to_be_bytes());
    input.extend_from_slice(&checkpoint.root);
    input.extend_from_slice(&device);
    input.extend_from_slice(&channel);
    sha256(&input)
}

/// SHA-256 as an array.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // A SHA-256 digest has 32 bytes: nothing is left out.
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_changes_with_each_thing_it_binds() {
        let at = CheckpointRef { size: 7, root: [1; 32] };
        let base = qualifying_data(Purpose::Attest, &at, [2; 16], [3; 32]);
        let others = [
            qualifying_data(Purpose::Certify, &at, [2; 16], [3; 32]),
            qualifying_data(Purpose::Enroll, &at, [2; 16], [3; 32]),
            qualifying_data(Purpose::Attest, &CheckpointRef { size: 8, ..at }, [2; 16], [3; 32]),
            qualifying_data(Purpose::Attest, &CheckpointRef { root: [9; 32], ..at }, [2; 16], [3; 32]),
            qualifying_data(Purpose::Attest, &at, [9; 16], [3; 32]),
            qualifying_data(Purpose::Attest, &at, [2; 16], [9; 32]),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(*other, base, "{i}");
        }
    }

    // The documented layout, spelled out once, so that another implementation can follow it.
    #[test]
    fn the_nonce_has_the_documented_layout() {
        let mut input = b"lanyard attest v1\0".to_vec();
        input.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 7]);
        input.extend_from_slice(&[1; 32]);
        input.extend_from_slice(&[2; 16]);
        input.extend_from_slice(&[3; 32]);
        let at = CheckpointRef { size: 7, root: [1; 32] };
        assert_eq!(qualifying_data(Purpose::Attest, &at, [2; 16], [3; 32]), sha256(&input));
    }
}
