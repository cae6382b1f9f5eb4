//! Digests and random numbers as the use cases need them.

use aws_lc_rs::{digest, rand};
use lanyard_domain::text::Digest;

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Digest(out)
}

/// The claim key of a device label. Lengths keep `ab|c` and `a|bc` apart.
pub fn label_key(vendor: &str, model: &str, serial: &str) -> Digest {
    let mut text = Vec::new();
    for part in [vendor, model, serial] {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    sha256(&text)
}

/// The system's random source failed; nothing can be issued safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the random source of this machine failed")]
pub struct NoRandomness;

/// Fresh random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0u8; N];
    rand::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}
