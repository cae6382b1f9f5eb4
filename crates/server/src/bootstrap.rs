//! The one-time secret by which the first operator is admitted: printed once at the first start, kept only as a
//! digest, gone when used. Lost: start again with an empty data directory. Rolled back: it admits nobody once the log
//! has an operator. Written by an attacker: only before the first operator, when there is nothing to protect yet.

use std::path::Path;

use aws_lc_rs::constant_time;
use data_encoding::BASE32_NOPAD;
use lanyard_control::digest::{random, sha256};
use lanyard_domain::text::Digest;

/// A secret's digest.
pub struct BootstrapSecret(Digest);

/// File with the digest.
const FILE: &str = "bootstrap.sha256";

impl BootstrapSecret {
    /// Makes a new secret, keeps its digest in `dir`, returns the secret to be printed.
    pub fn create(dir: &Path) -> anyhow::Result<(Self, String)> {
        // 160 bits: typed once, never guessed.
        let secret = BASE32_NOPAD.encode(&random::<20>()?).to_lowercase();
        let digest = sha256(secret.as_bytes());
        std::fs::write(dir.join(FILE), digest.to_string())?;
        Ok((Self(digest), secret))
    }

    /// The digest kept by an earlier start.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read_to_string(dir.join(FILE)) {
            Ok(text) => Ok(Some(Self(text.trim().parse()?))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether this is the secret.
    pub fn matches(&self, secret: &str) -> bool {
        let given = sha256(secret.trim().to_lowercase().as_bytes());
        constant_time::verify_slices_are_equal(&given.0, &self.0.0).is_ok()
    }
}
