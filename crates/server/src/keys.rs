//! The control plane's secrets: made at the first start, sealed under the passphrase, opened at each start.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use lanyard_control::digest::random;
use lanyard_enroll::secret::SecretKey;
use lanyard_ledger::note::NoteSigner;
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel, SealedDirectory, SoftwareKeys};
use zeroize::Zeroizing;

use crate::token::TokenKey;

/// Label of the control plane's TLS key.
pub const TLS: &str = "control-tls";
const LOG_SEED: &str = "log-seed";
const TOKEN: &str = "token-key";
const ENROLLMENT: &str = "enrollment-secrets";
const SNAPSHOT: &str = "snapshot-key";

/// Opened secrets.
pub struct Keys {
    /// Signs certificates and the control plane's TLS.
    pub backend: Arc<SoftwareKeys>,
    /// Signs checkpoints.
    pub log: NoteSigner,
    /// Signs tokens.
    pub token: TokenKey,
    /// One-time enrollment secrets are derived from it.
    pub enrollment: SecretKey,
    /// Authenticates the snapshot of the folded world.
    pub snapshot: Zeroizing<Vec<u8>>,
}

/// A label that is written in this program.
pub fn label(text: &str) -> Result<KeyLabel, anyhow::Error> {
    Ok(KeyLabel::from_str(text)?)
}

impl Keys {
    /// Opens the secrets in `dir`, making those that are not there yet. Making is safe to repeat: each is durable before
    /// anything is signed with it.
    pub fn open(dir: &Path, passphrase: Passphrase, origin: &str) -> anyhow::Result<Self> {
        let directory = SealedDirectory::open(dir, Sealer::new(passphrase, Cost::STANDARD))?;
        // A wrong passphrase shows here, before single keys are looked at.
        directory.secret(&label(LOG_SEED)?)?;
        let (backend, unreadable) = SoftwareKeys::open_readable(directory)?;
        for (label, error) in unreadable {
            tracing::error!(key = %label, %error, "a key cannot be read: what needs it does not work, all else does; put its file back from a backup of the keys directory");
        }
        let seed = secret(&backend, LOG_SEED, || Ok(random::<32>()?.to_vec()))?;
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.as_slice().try_into()?);
        let token = secret(&backend, TOKEN, || Ok(TokenKey::generate()?))?;
        let enrollment = secret(&backend, ENROLLMENT, || Ok(random::<32>()?.to_vec()))?;
        let snapshot = secret(&backend, SNAPSHOT, || Ok(random::<32>()?.to_vec()))?;
        ensure(&backend, TLS, KeyKind::P256)?;
        Ok(Self {
            log: NoteSigner::from_seed(origin, &seed)?,
            token: TokenKey::new(&token, &format!("urn:lanyard:log:{origin}"))?,
            enrollment: SecretKey::new(enrollment.as_slice().try_into()?),
            snapshot,
            backend: Arc::new(backend),
        })
    }
}

fn secret(
    keys: &SoftwareKeys,
    name: &str,
    make: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let label = label(name)?;
    if let Some(secret) = keys.secrets().secret(&label)? {
        return Ok(secret);
    }
    let made = Zeroizing::new(make()?);
    keys.secrets().put_secret(&label, &made)?;
    Ok(made)
}

/// Makes a key unless it is there.
pub fn ensure(keys: &dyn KeyBackend, name: &str, kind: KeyKind) -> anyhow::Result<Vec<u8>> {
    let label = label(name)?;
    match keys.public_spki(&label) {
        Ok(spki) => Ok(spki),
        Err(KeyError::NotFound(_)) => Ok(keys.generate(&label, kind)?),
        Err(error) => Err(error.into()),
    }
}
