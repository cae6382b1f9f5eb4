//! Where the sealing passphrase and a hardware module's PIN come from: a file, a systemd credential, or (weakest) an
//! environment variable.
//!
//! A file that others can read is refused, not warned about: a warning in a log at install time is never read
//! again. A passphrase is at least 12 bytes; a random one from `openssl rand -base64 24` is better than a good one. A
//! PIN may be short: the module counts wrong ones.
//!
//! Lost: every sealed file is lost with it (a module's officer sets a new PIN). Rolled back: opens the files of that
//! time only. Written by an attacker: the server does not start (wrong passphrase, and one wrong PIN counted by the
//! module); reading it is what harms, see [`super`].

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
const MAX_BYTES: usize = 4096;
/// The shortest user PIN that PKCS#11 modules take (SoftHSM, OpenSC); a module may ask for more.
const MIN_PIN: usize = 4;
/// CK_TOKEN_INFO has no module with longer ones.
const MAX_PIN: usize = 255;

/// A passphrase, wiped when dropped, never printed.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([redacted])")
    }
}

/// The user PIN of a hardware module, wiped when dropped, never printed.
pub struct Pin(Zeroizing<Vec<u8>>);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin([redacted])")
    }
}

/// Which of the two secrets an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The key store's passphrase.
    Passphrase,
    /// A hardware module's PIN.
    Pin,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Passphrase => "passphrase",
            What::Pin => "PIN",
        })
    }
}

/// Why there is no passphrase or PIN.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file is readable by others, or cannot be read at all.
    #[error("{what} file: {source}")]
    File {
        /// Of which secret.
        what: What,
        /// Why.
        source: KeyError,
    },
    /// The variable is not set.
    #[error("environment variable `{name}` is not set: it must hold the {what}")]
    NoVariable {
        /// Of which secret.
        what: What,
        /// The variable.
        name: String,
    },
    /// Not started by systemd with credentials.
    #[error(
        "no credential `{0}`: `$CREDENTIALS_DIRECTORY` is not set, add `LoadCredentialEncrypted={0}:...` to the unit"
    )]
    NoCredentials(String),
    /// A credential name with a path in it.
    #[error("`{0}` is not a credential name: use letters, digits, `-`, `_` and `.`, no slash")]
    BadCredentialName(String),
    /// Too short.
    #[error("{what} from `{from}` has {found} bytes: at least {least} are needed{}", hint(.what))]
    TooShort {
        /// Of which secret.
        what: What,
        /// File or variable.
        from: String,
        /// Its length.
        found: usize,
        /// The least.
        least: usize,
    },
    /// Too long.
    #[error("{what} from `{from}` is longer than {most} bytes: this looks like another file")]
    TooLong {
        /// Of which secret.
        what: What,
        /// File or variable.
        from: String,
        /// The most.
        most: usize,
    },
}

impl Passphrase {
    /// From bytes that the caller got elsewhere (a prompt, a test).
    pub fn from_bytes(bytes: Vec<u8>, from: &str) -> Result<Self, PassphraseError> {
        checked(Zeroizing::new(bytes), from, What::Passphrase).map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Pin {
    /// From bytes that the caller got elsewhere (a prompt, a test).
    pub fn from_bytes(bytes: Vec<u8>, from: &str) -> Result<Self, PassphraseError> {
        checked(Zeroizing::new(bytes), from, What::Pin).map(Self)
    }

    /// From a file with mode 0600 or 0400.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        read(path, 0o077, What::Pin).map(Self)
    }

    /// From a credential of the systemd unit, as [`from_credential`].
    pub fn from_credential(name: &str) -> Result<Self, PassphraseError> {
        credential(name, What::Pin).map(Self)
    }

    /// From an environment variable. Weakest, as [`from_env`].
    pub fn from_env(variable: &str) -> Result<Self, PassphraseError> {
        environment(variable, What::Pin).map(Self)
    }

    /// The bytes, for the module.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// From a file with mode 0600 or 0400.
pub fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    read(path, 0o077, What::Passphrase).map(Passphrase)
}

/// From a credential of the systemd unit (`LoadCredential=`), read below `$CREDENTIALS_DIRECTORY`.
pub fn from_credential(name: &str) -> Result<Passphrase, PassphraseError> {
    credential(name, What::Passphrase).map(Passphrase)
}

/// From an environment variable. Weakest: `/proc/<pid>/environ` and child processes show it.
pub fn from_env(variable: &str) -> Result<Passphrase, PassphraseError> {
    environment(variable, What::Passphrase).map(Passphrase)
}

fn credential(name: &str, what: What) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| PassphraseError::NoCredentials(name.to_owned()))?;
    credential_in(Path::new(&directory), name, what)
}

fn credential_in(directory: &Path, name: &str, what: What) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain {
        return Err(PassphraseError::BadCredentialName(name.chars().take(80).collect()));
    }
    // systemd grants a unit's user access by an ACL, whose mask shows in the group bits of an otherwise private
    // file in memory; only the bits for others can be held against it.
    read(&directory.join(name), 0o007, what)
}

fn environment(variable: &str, what: What) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    use std::os::unix::ffi::OsStringExt;
    let value = env::var_os(variable)
        .ok_or_else(|| PassphraseError::NoVariable { what, name: variable.to_owned() })?;
    checked(Zeroizing::new(value.into_vec()), variable, what)
}

fn read(path: &Path, forbidden: u32, what: What) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let file_error = |source| PassphraseError::File { what, source };
    let io = |source| file_error(KeyError::Io { path: PathBuf::from(path), source });
    let mut file = File::open(path).map_err(io)?;
    // The mode of the opened file, not of the path: the path may point elsewhere a moment later.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(file_error(KeyError::Exposed { path: path.to_owned(), mode, fix: 0o600 }));
    }
    // Reserved once, so that no copy of a half-read secret is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.by_ref().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    checked(bytes, &path.display().to_string(), what)
}

fn checked(
    mut bytes: Zeroizing<Vec<u8>>,
    from: &str,
    what: What,
) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let (least, most) = match what {
        What::Passphrase => (MIN_BYTES, MAX_BYTES),
        What::Pin => (MIN_PIN, MAX_PIN),
    };
    // Editors and `echo` end a line; nobody means that byte.
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.len() > most {
        return Err(PassphraseError::TooLong { what, from: from.to_owned(), most });
    }
    if bytes.len() < least {
        return Err(PassphraseError::TooShort { what, from: from.to_owned(), found: bytes.len(), least });
    }
    Ok(bytes)
}

/// What to do about a passphrase that is too short; who set a PIN knows where.
fn hint(what: &What) -> &'static str {
    match what {
        What::Passphrase => ", try `openssl rand -base64 24`",
        What::Pin => "",
    }
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
        assert!(matches!(from_file(&path), Err(PassphraseError::TooShort { found: 5, least: 12, .. })));
        let (_dir, path) = file(0o600, &[b'x'; 5000]);
        assert!(matches!(from_file(&path), Err(PassphraseError::TooLong { .. })));
        assert!(from_file(Path::new("/nonexistent/passphrase")).is_err());
        assert!(matches!(from_env("LANYARD_NO_SUCH_VARIABLE"), Err(PassphraseError::NoVariable { .. })));
    }

    #[test]
    fn a_credential_may_show_group_bits_but_none_for_others() {
        let (dir, _) = file(0o440, b"correct horse battery");
        assert!(credential_in(dir.path(), "passphrase", What::Passphrase).is_ok());
        let (dir, _) = file(0o444, b"correct horse battery");
        assert!(matches!(
            credential_in(dir.path(), "passphrase", What::Pin),
            Err(PassphraseError::File { what: What::Pin, source: KeyError::Exposed { .. } })
        ));
        for name in ["", "../passphrase", ".hidden", "a/b"] {
            assert!(
                matches!(
                    credential_in(dir.path(), name, What::Passphrase),
                    Err(PassphraseError::BadCredentialName(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_passphrase_does_not_print_itself() {
        let p = Passphrase::from_bytes(b"correct horse battery".to_vec(), "test").unwrap();
        assert_eq!(format!("{p:?}"), "Passphrase([redacted])");
        let pin = Pin::from_bytes(b"1234".to_vec(), "test").unwrap();
        assert_eq!(format!("{pin:?}"), "Pin([redacted])");
    }

    #[test]
    fn a_pin_may_be_short_and_its_file_is_as_private() {
        let (_dir, path) = file(0o600, b"1234\n");
        assert_eq!(Pin::from_file(&path).unwrap().as_bytes(), b"1234");
        for (mode, content) in [(0o640, &b"1234"[..]), (0o600, b"123\n"), (0o600, &[b'1'; 256]), (0o600, b"")]
        {
            let (_dir, path) = file(mode, content);
            let refused = Pin::from_file(&path).unwrap_err().to_string();
            assert!(refused.starts_with("PIN f") && !refused.contains("123"), "{refused}");
        }
    }
}
