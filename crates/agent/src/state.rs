//! The agent's state directory: small JSON files, mode 0600, each replaced whole.
//!
//! - `identity.json` ([`crate::identity`]): certificate chain, key slot, when to renew. Lost: the device enrolls again
//!   with the same hardware key. Rolled back: it offers an older certificate, which the control plane knows to be
//!   superseded, and renews. Written by an attacker: the certificate does not fit the key and is refused at start.
//! - `pending.json` ([`crate::protocol::pending`]): a certificate that was asked for by EST, ACME or CMP and is not here yet. Lost:
//!   the device asks with another key, and if a one-time secret was used already, needs another. Rolled back: an order that is
//!   over, a new one is begun. Written by an attacker: an address under the configured server, or a request that does not fit
//!   the key and is not used.
//! - `acme.json` (`protocol::acme`): the ACME account's key. Lost or rolled back: another account, or, where accounts are bound,
//!   another secret. Known to an attacker: orders in the device's name, none of which ends without its TPM; and, for an account
//!   that is bound, revocation of the device's certificates. Written by an attacker: the same.
//! - `status.json` ([`crate::status`]): for people. Nothing reads it to decide anything.
//! - `models.json` ([`crate::measure`]): which model manifests were extended since the last boot. Lost or rolled back:
//!   the event log no longer explains PCR 12 and the device is contraindicated until it is restarted. Written by an
//!   attacker: the same.
//! - `offline.json` ([`crate::offline`]): which request file waits for its response. Lost: the response is refused, and the
//!   device asks again. Rolled back: a response that was accepted before could be accepted again, for a key that is no longer
//!   in its slot, and is refused. Written by an attacker: as lost; a response still needs the control plane's signature.
//!
//! Keys are not here: they are in the root of trust ([`crate::tpm`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::AgentError;

/// A chain of three 2 KiB certificates in PEM is 9 KiB; a status with twenty reasons is 4 KiB.
const MAX_FILE: u64 = 256 << 10;

/// Reads a file of the state directory; `None` when it does not exist.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AgentError> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    let damaged = |why: String| AgentError::Damaged { path: path.to_owned(), why };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(e.to_string()))
}

/// Reads a file that others wrote, bounded; `None` when it does not exist.
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, AgentError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > MAX_FILE => {
            Err(AgentError::Damaged { path: path.to_owned(), why: format!("larger than {MAX_FILE} bytes") })
        }
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(path)(e)),
    }
}

/// Replaces a file: after a crash either the old or the new content is there.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), AgentError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| failed(path)(io::Error::other(e)))?;
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    }
    let temporary = path.with_extension("tmp");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .map_err(failed(&temporary))?;
    fs::rename(&temporary, path).map_err(failed(path))?;
    match path.parent() {
        Some(dir) => File::open(dir).and_then(|d| d.sync_all()).map_err(failed(dir)),
        None => Ok(()),
    }
}

/// Removes a file; nothing happens when it is not there.
pub(crate) fn remove(path: &Path) -> Result<(), AgentError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(path)(e)),
    }
    match path.parent() {
        Some(dir) => File::open(dir).and_then(|d| d.sync_all()).map_err(failed(dir)),
        None => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::State { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn state_is_private_replaced_whole_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/status.json");
        assert!(read::<Vec<u32>>(&path).unwrap().is_none());
        write(&path, &vec![1, 2, 3]).unwrap();
        write(&path, &vec![4]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![4]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(read::<Vec<u32>>(&path), Err(AgentError::Damaged { .. })), "cut at {end}");
        }
        fs::write(&path, vec![b' '; MAX_FILE as usize + 1]).unwrap();
        assert!(read::<Vec<u32>>(&path).unwrap_err().to_string().contains("larger"));
    }
}
