//! A directory of sealed files: one file per secret, mode 0600 in a directory of mode 0700.
//!
//! A file is written beside its place, synced, renamed, and the directory is synced: after a crash it is there
//! whole or not at all. What exists is never overwritten. Lost, rolled back, written by an attacker: see
//! [`super`] and [`super::seal`].

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::seal::Sealer;
use super::{KeyError, KeyLabel};

/// The limit of [`super::seal`] and one byte, so that a longer file is seen as such.
const MAX_FILE: u64 = 64 * 1024 + 1;

/// Sealed secrets in one directory.
#[derive(Debug)]
pub struct SealedDirectory {
    path: PathBuf,
    sealer: Sealer,
}

impl SealedDirectory {
    /// Opens `path`, making it when it is not there; a directory that others can enter is refused.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Self, KeyError> {
        let directory = Self { path: path.to_owned(), sealer };
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(directory.io(path, e)),
        }
        let mode = mode_of(&fs::metadata(path).map_err(|e| directory.io(path, e))?);
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode, fix: 0o700 });
        }
        Ok(directory)
    }

    /// Seals a secret (log signing seed, token key, HMAC key) under a new label.
    pub fn put_secret(&self, label: &KeyLabel, secret: &[u8]) -> Result<(), KeyError> {
        self.write_new(label, "secret", &secret_purpose(label), secret)
    }

    /// Opens a secret; `None` when there is none.
    pub fn secret(&self, label: &KeyLabel) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        self.read(label, "secret", &secret_purpose(label))
    }

    /// Labels of the files with this extension, in order.
    pub(super) fn labels(&self, extension: &str) -> Result<Vec<KeyLabel>, KeyError> {
        let mut labels = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|e| self.io(&self.path, e))? {
            let name = entry.map_err(|e| self.io(&self.path, e))?.file_name();
            let label = name
                .to_str()
                .and_then(|n| n.strip_suffix(extension)?.strip_suffix('.'))
                .and_then(|stem| stem.parse::<KeyLabel>().ok());
            labels.extend(label);
        }
        labels.sort();
        Ok(labels)
    }

    pub(super) fn read(
        &self,
        label: &KeyLabel,
        extension: &str,
        purpose: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let path = self.file(label, extension);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io(&path, e)),
        };
        let mode = mode_of(&file.metadata().map_err(|e| self.io(&path, e))?);
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path, mode, fix: 0o600 });
        }
        let mut sealed = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut sealed).map_err(|e| self.io(&path, e))?;
        let secret =
            self.sealer.unseal(purpose, &sealed).map_err(|source| KeyError::Sealed { path, source })?;
        Ok(Some(secret))
    }

    pub(super) fn write_new(
        &self,
        label: &KeyLabel,
        extension: &str,
        purpose: &str,
        secret: &[u8],
    ) -> Result<(), KeyError> {
        let path = self.file(label, extension);
        let sealed = self
            .sealer
            .seal(purpose, secret)
            .map_err(|source| KeyError::Sealed { path: path.clone(), source })?;
        // One writer at a time over all processes: between "is it there" and the rename nobody may come.
        let lock_path = self.path.join("lock");
        let lock = private().create(true).open(&lock_path).map_err(|e| self.io(&lock_path, e))?;
        lock.lock().map_err(|e| self.io(&lock_path, e))?;
        if path.try_exists().map_err(|e| self.io(&path, e))? {
            return Err(KeyError::Exists(label.clone()));
        }
        let temporary = self.path.join(format!("{label}.{extension}.tmp"));
        // Left over from a crash; nothing points to it.
        match fs::remove_file(&temporary) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(self.io(&temporary, e)),
        }
        let mut file = private().create_new(true).open(&temporary).map_err(|e| self.io(&temporary, e))?;
        file.write_all(&sealed).map_err(|e| self.io(&temporary, e))?;
        file.sync_all().map_err(|e| self.io(&temporary, e))?;
        fs::rename(&temporary, &path).map_err(|e| self.io(&path, e))?;
        let directory = File::open(&self.path).map_err(|e| self.io(&self.path, e))?;
        directory.sync_all().map_err(|e| self.io(&self.path, e))
    }

    fn file(&self, label: &KeyLabel, extension: &str) -> PathBuf {
        self.path.join(format!("{label}.{extension}"))
    }

    fn io(&self, path: &Path, source: io::Error) -> KeyError {
        KeyError::Io { path: path.to_owned(), source }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn secret_purpose(label: &KeyLabel) -> String {
    format!("secret {label}")
}

fn mode_of(metadata: &fs::Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use super::super::passphrase::Passphrase;
    use super::super::seal::{Cost, SealError};
    use super::*;

    fn sealer(passphrase: &str) -> Sealer {
        Sealer::new(Passphrase::from_bytes(passphrase.into(), "test").unwrap(), Cost::LEAST)
    }

    fn open(path: &Path) -> Result<SealedDirectory, KeyError> {
        SealedDirectory::open(path, sealer("correct horse battery"))
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_survives_a_restart_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let label: KeyLabel = "token-key".parse().unwrap();
        let first = open(&path).unwrap();
        assert!(first.secret(&label).unwrap().is_none());
        first.put_secret(&label, b"one").unwrap();
        assert!(matches!(first.put_secret(&label, b"two"), Err(KeyError::Exists(_))));
        let second = open(&path).unwrap();
        assert_eq!(second.secret(&label).unwrap().unwrap().as_slice(), b"one");
        assert_eq!(mode_of(&fs::metadata(&path).unwrap()), 0o700);
        assert_eq!(mode_of(&fs::metadata(path.join("token-key.secret")).unwrap()), 0o600);
    }

    #[test]
    fn a_left_over_temporary_file_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let store = open(&path).unwrap();
        fs::write(path.join("a.secret.tmp"), b"half").unwrap();
        store.put_secret(&"a".parse().unwrap(), b"one").unwrap();
        assert!(!path.join("a.secret.tmp").exists());
    }

    // I10
    #[test]
    fn files_and_directories_that_others_can_read_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let label: KeyLabel = "a".parse().unwrap();
        let store = open(&path).unwrap();
        store.put_secret(&label, b"one").unwrap();
        let file = path.join("a.secret");
        for mode in [0o640, 0o604, 0o644, 0o620] {
            chmod(&file, mode);
            let refused = store.secret(&label).unwrap_err().to_string();
            assert!(refused.contains(&format!("chmod 600 {}", file.display())), "{refused}");
        }
        chmod(&file, 0o600);
        for mode in [0o755, 0o750, 0o710, 0o701] {
            chmod(&path, mode);
            let refused = open(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("mode {mode:04o}")), "{refused}");
            assert!(refused.contains(&format!("chmod 700 {}", path.display())), "{refused}");
        }
    }

    #[test]
    fn a_wrong_passphrase_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        open(&path).unwrap().put_secret(&"a".parse().unwrap(), b"one").unwrap();
        let other = SealedDirectory::open(&path, sealer("another passphrase")).unwrap();
        assert!(matches!(
            other.secret(&"a".parse().unwrap()),
            Err(KeyError::Sealed { source: SealError::WrongPassphrase, .. })
        ));
    }

    #[test]
    fn a_file_renamed_to_another_label_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let store = open(&path).unwrap();
        store.put_secret(&"a".parse().unwrap(), b"one").unwrap();
        fs::rename(path.join("a.secret"), path.join("b.secret")).unwrap();
        assert!(matches!(
            store.secret(&"b".parse().unwrap()),
            Err(KeyError::Sealed { source: SealError::OtherPurpose { .. }, .. })
        ));
    }
}
