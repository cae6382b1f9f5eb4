//! Where the sealing passphrase comes from: a file, a systemd credential, or (weakest) an environment variable.
//!
//! A file that others can read is refused, not warned about: a warning in a log at install time is never read
//! again. A passphrase is at least 12 bytes; a random one from `openssl rand -base64 24` is better than a good one.
//!
//! Lost: every sealed file is lost with it. Rolled back: opens the files of that time only. Written by an
//! attacker: the server does not start (wrong passphrase); reading it is what harms, see [`super`].

use std::env;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyError;

/// Below this a stolen directory falls to guessing whatever the Argon2 cost.
const MIN_BYTES: usize = 12;
/// A passphrase file is one line; whatever is longer is another file.
const MAX_BYTES: u64 = 4096;

/// A passphrase, wiped when dropped, never printed.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([redacted])")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file is readable by others, or cannot be read at all.
    #[error("passphrase file: {0}")]
    File(#[from] KeyError),
    /// The variable is not set.
    #[error("environment variable `{0}` is not set: it must hold the passphrase of the key store")]
    NoVariable(String),
    /// Not started by systemd with credentials.
    #[error(
        "no credential `{0}`: `$CREDENTIALS_DIRECTORY` is not set, add `LoadCredentialEncrypted={0}:...` to the unit"
    )]
    NoCredentials(String),
    /// A credential name with a path in it.
    #[error("`{0}` is not a credential name: use letters, digits, `-`, `_` and `.`, no slash")]
    BadCredentialName(String),
    /// Too short.
    #[error(
        "passphrase from `{from}` has {found} bytes: at least {MIN_BYTES} are needed, try `openssl rand -base64 24`"
    )]
    TooShort {
        /// File or variable.
        from: String,
        /// Its length.
        found: usize,
    },
    /// Too long.
    #[error("passphrase from `{from}` is longer than {MAX_BYTES} bytes: this looks like another file")]
    TooLong {
        /// File or variable.
        from: String,
    },
}

impl Passphrase {
    /// From bytes that the caller got elsewhere (a prompt, a test).
    pub fn from_bytes(bytes: Vec<u8>, from: &str) -> Result<Self, PassphraseError> {
        let mut bytes = Zeroizing::new(bytes);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PassphraseError::TooLong { from: from.to_owned() });
        }
        // Editors and `echo` end a line; nobody means that byte.
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.len() < MIN_BYTES {
            return Err(PassphraseError::TooShort { from: from.to_owned(), found: bytes.len() });
        }
        Ok(Self(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// From a file with mode 0600 or 0400.
pub fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    read(path, 0o077)
}

/// From a credential of the systemd unit (`LoadCredential=`), read below `$CREDENTIALS_DIRECTORY`.
pub fn from_credential(name: &str) -> Result<Passphrase, PassphraseError> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| PassphraseError::NoCredentials(name.to_owned()))?;
    credential_in(Path::new(&directory), name)
}

fn credential_in(directory: &Path, name: &str) -> Result<Passphrase, PassphraseError> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain {
        return Err(PassphraseError::BadCredentialName(name.chars().take(80).collect()));
    }
    // systemd grants a unit's user access by an ACL, whose mask shows in the group bits of an otherwise private
    // file in memory; only the bits for others can be held against it.
    read(&directory.join(name), 0o007)
}

/// From an environment variable. Weakest: `/proc/<pid>/environ` and child processes show it.
pub fn from_env(variable: &str) -> Result<Passphrase, PassphraseError> {
    use std::os::unix::ffi::OsStringExt;
    let value = env::var_os(variable).ok_or_else(|| PassphraseError::NoVariable(variable.to_owned()))?;
    Passphrase::from_bytes(value.into_vec(), variable)
}

fn read(path: &Path, forbidden: u32) -> Result<Passphrase, PassphraseError> {
    let io = |source| KeyError::Io { path: PathBuf::from(path), source };
    let mut file = File::open(path).map_err(io)?;
    // The mode of the opened file, not of the path: the path may point elsewhere a moment later.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode, fix: 0o600 }.into());
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    Passphrase::from_bytes(bytes, &path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(mode: u32, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    // I10
    #[test]
    fn a_passphrase_file_that_others_can_read_is_refused_with_the_command_to_run() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o610, 0o601] {
            let (_dir, path) = file(mode, b"correct horse battery");
            let refused = from_file(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("mode {mode:04o}")), "{refused}");
            assert!(refused.contains(&format!("chmod 600 {}", path.display())), "{refused}");
        }
        for mode in [0o600, 0o400] {
            let (_dir, path) = file(mode, b"correct horse battery\r\n");
            assert_eq!(from_file(&path).unwrap().as_bytes(), b"correct horse battery");
        }
    }

    #[test]
    fn short_long_and_missing_passphrases_are_refused() {
        let (_dir, path) = file(0o600, b"short\n");
        assert!(matches!(from_file(&path), Err(PassphraseError::TooShort { found: 5, .. })));
        let (_dir, path) = file(0o600, &[b'x'; 5000]);
        assert!(matches!(from_file(&path), Err(PassphraseError::TooLong { .. })));
        assert!(from_file(Path::new("/nonexistent/passphrase")).is_err());
        assert!(matches!(from_env("LANYARD_NO_SUCH_VARIABLE"), Err(PassphraseError::NoVariable(_))));
    }

    #[test]
    fn a_credential_may_show_group_bits_but_none_for_others() {
        let (dir, _) = file(0o440, b"correct horse battery");
        assert!(credential_in(dir.path(), "passphrase").is_ok());
        let (dir, _) = file(0o444, b"correct horse battery");
        assert!(matches!(
            credential_in(dir.path(), "passphrase"),
            Err(PassphraseError::File(KeyError::Exposed { .. }))
        ));
        for name in ["", "../passphrase", ".hidden", "a/b"] {
            assert!(
                matches!(credential_in(dir.path(), name), Err(PassphraseError::BadCredentialName(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_passphrase_does_not_print_itself() {
        let p = Passphrase::from_bytes(b"correct horse battery".to_vec(), "test").unwrap();
        assert_eq!(format!("{p:?}"), "Passphrase([redacted])");
    }
}
