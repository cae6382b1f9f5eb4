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

use super::seal::{self, Opened, SealError, SealedUnder, Sealer};
use super::{KeyError, KeyLabel};

/// The limit of [`super::seal`] and one byte, so that a longer file is seen as such.
const MAX_FILE: u64 = 64 * 1024 + 1;

/// The file name extensions of signing keys and of other secrets.
pub(super) const KEY: &str = "key";
const SECRET: &str = "secret";

/// Sealed secrets in one directory.
#[derive(Debug)]
pub struct SealedDirectory {
    path: PathBuf,
    sealer: Sealer,
}

impl SealedDirectory {
    /// Opens `path`, making it when it is not there; a directory that others can enter is refused.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Self, KeyError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }),
        }
        Self::open_existing(path, sealer)
    }

    /// Opens `path` as [`open`](Self::open) does and makes nothing: for a directory on a medium that may not be
    /// mounted, whose mount point must not become an empty key store.
    pub fn open_existing(path: &Path, sealer: Sealer) -> Result<Self, KeyError> {
        let directory = Self { path: path.to_owned(), sealer };
        let mode = mode_of(&fs::metadata(path).map_err(|e| directory.io(path, e))?);
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode, fix: 0o700 });
        }
        Ok(directory)
    }

    /// Seals a secret (log signing seed, token key, HMAC key) under a new label.
    pub fn put_secret(&self, label: &KeyLabel, secret: &[u8]) -> Result<(), KeyError> {
        self.write_new(label, SECRET, &secret_purpose(label), secret)
    }

    /// Opens a secret; `None` when there is none.
    pub fn secret(&self, label: &KeyLabel) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let purpose = secret_purpose(label);
        match self.read(label, SECRET)? {
            None => Ok(None),
            Some(opened) if opened.purpose == purpose => Ok(Some(opened.secret)),
            Some(opened) => Err(self.misplaced(label, SECRET, purpose, opened.purpose)),
        }
    }

    /// What opens the sealed files of a directory, from their headers; `None` when there are none. Asks for no
    /// passphrase and no share, so that a person can be told which to fetch.
    pub fn sealed_under(path: &Path) -> Result<Option<SealedUnder>, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            if file.extension().is_some_and(|e| e == KEY || e == SECRET) {
                files.push(file);
            }
        }
        files.sort();
        let Some(first) = files.first() else { return Ok(None) };
        let sealed = read_private(first)?.unwrap_or_default();
        let under =
            seal::sealed_under(&sealed).map_err(|source| KeyError::Sealed { path: first.clone(), source })?;
        Ok(Some(under))
    }

    /// Writes every key and secret into `target`, sealed as that one seals: for another passphrase, or for a new
    /// dealing of shares. Nothing is removed here; what `target` has already is not overwritten and ends it. Returns
    /// how many were written.
    pub fn reseal_into(&self, target: &SealedDirectory) -> Result<usize, KeyError> {
        let mut written = 0;
        for extension in [KEY, SECRET] {
            for label in self.labels(extension)? {
                if let Some(opened) = self.read(&label, extension)? {
                    target.write_new(&label, extension, &opened.purpose, &opened.secret)?;
                    written += 1;
                }
            }
        }
        Ok(written)
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

    /// Opens a file: for what it was sealed, and the secret. The caller compares the first with what it expects.
    pub(super) fn read(&self, label: &KeyLabel, extension: &str) -> Result<Option<Opened>, KeyError> {
        let path = self.file(label, extension);
        let Some(sealed) = read_private(&path)? else { return Ok(None) };
        let opened = self.sealer.unseal_any(&sealed).map_err(|source| KeyError::Sealed { path, source })?;
        Ok(Some(opened))
    }

    /// The error for a file that was sealed for another place.
    pub(super) fn misplaced(
        &self,
        label: &KeyLabel,
        extension: &str,
        expected: String,
        found: String,
    ) -> KeyError {
        let path = self.file(label, extension);
        KeyError::Sealed { path, source: SealError::OtherPurpose { expected, found } }
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

/// The bytes of a file that only its owner can read; `None` when there is none.
fn read_private(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let mode = mode_of(&file.metadata().map_err(io)?);
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode, fix: 0o600 });
    }
    let mut sealed = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut sealed).map_err(io)?;
    Ok(Some(sealed))
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
    use super::super::seal::Cost;
    use super::super::shares;
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

    // A root on removable media: the mount point of a medium that is not there is no key store.
    #[test]
    fn a_directory_that_must_be_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("medium");
        let missing = SealedDirectory::open_existing(&path, sealer("correct horse battery"));
        assert!(
            matches!(missing, Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        );
        assert!(!path.exists());
        assert!(SealedDirectory::sealed_under(&path).is_err());
    }

    #[test]
    fn a_directory_says_what_opens_it_before_anything_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (by_passphrase, by_shares) = (dir.path().join("a"), dir.path().join("b"));
        let (key, dealt) = shares::deal(3, 5).unwrap();
        let first = open(&by_passphrase).unwrap();
        let second = SealedDirectory::open(&by_shares, Sealer::of_shares(key)).unwrap();
        assert_eq!(SealedDirectory::sealed_under(&by_shares).unwrap(), None);
        for store in [&first, &second] {
            store.put_secret(&"a".parse().unwrap(), b"one").unwrap();
        }
        let set = dealt[0].set();
        let under = |path| SealedDirectory::sealed_under(path).unwrap().unwrap();
        assert_eq!(under(&by_passphrase), SealedUnder::Passphrase(Cost::LEAST));
        assert_eq!(under(&by_shares), SealedUnder::Shares { set, threshold: 3 });
    }

    // What to do when a custodian leaves: new shares, new directory, the old ones are worth nothing without it.
    #[test]
    fn secrets_are_sealed_anew_under_other_shares() {
        let dir = tempfile::tempdir().unwrap();
        let label: KeyLabel = "a".parse().unwrap();
        let (old_key, _) = shares::deal(2, 3).unwrap();
        let (new_key, _) = shares::deal(3, 5).unwrap();
        let old = SealedDirectory::open(&dir.path().join("old"), Sealer::of_shares(old_key.clone())).unwrap();
        let path = dir.path().join("new");
        let new = SealedDirectory::open(&path, Sealer::of_shares(new_key)).unwrap();
        old.put_secret(&label, b"one").unwrap();
        assert_eq!(old.reseal_into(&new).unwrap(), 1);
        assert_eq!(new.secret(&label).unwrap().unwrap().as_slice(), b"one");
        assert!(matches!(old.reseal_into(&new), Err(KeyError::Exists(_))));
        let with_old = SealedDirectory::open(&path, Sealer::of_shares(old_key)).unwrap();
        assert!(matches!(
            with_old.secret(&label),
            Err(KeyError::Sealed { source: SealError::OtherShares { .. }, .. })
        ));
    }
}
