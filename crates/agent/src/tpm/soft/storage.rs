//! Where a software TPM keeps its state: nowhere, or in three files of one directory that one process holds
//! at a time.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use crate::tpm::{TpmError, container};

#[derive(Clone, Copy)]
pub(super) enum File {
    Chip,
    Measurements,
    Keys,
}

impl File {
    const fn name(self) -> &'static str {
        match self {
            File::Chip => "chip.lyrt",
            File::Measurements => "measurements.lyrt",
            File::Keys => "keys.lyrt",
        }
    }
}

pub(super) enum Storage {
    Memory,
    Files {
        dir: PathBuf,
        /// The chip's file, locked until this is dropped. It is never replaced, so the lock stays on the
        /// right file.
        _lock: Lock,
    },
}

pub(super) struct Lock(std::fs::File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started at this moment holds a copy of the
        // descriptor until it has become another program, and the lock with it.
        let _ = self.0.unlock();
    }
}

impl Storage {
    /// Writes the chip, which must not exist yet.
    pub(super) fn manufacture(dir: &Path, chip: &[u8]) -> Result<(), TpmError> {
        std::fs::create_dir_all(dir).map_err(TpmError::io(dir))?;
        let path = dir.join(File::Chip.name());
        if path.exists() {
            let why =
                format!("`{}` already holds a chip; open it, or choose another directory", dir.display());
            return Err(TpmError::Refused { command: "manufacture", why });
        }
        container::write(&path, chip)
    }

    pub(super) fn open(dir: &Path) -> Result<Self, TpmError> {
        let path = dir.join(File::Chip.name());
        let lock = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(TpmError::NotFound(format!("chip in {}", dir.display())));
            }
            Err(e) => return Err(TpmError::io(path)(e)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Storage::Files { dir: dir.to_path_buf(), _lock: Lock(lock) }),
            Err(TryLockError::WouldBlock) => {
                Err(TpmError::Locked(format!("another process uses `{}`", dir.display())))
            }
            Err(TryLockError::Error(e)) => Err(TpmError::io(path)(e)),
        }
    }

    pub(super) fn read(&self, file: File) -> Result<Option<Vec<u8>>, TpmError> {
        match self {
            Storage::Memory => Ok(None),
            Storage::Files { dir, .. } => container::read(&dir.join(file.name())),
        }
    }

    pub(super) fn write(&self, file: File, bytes: &[u8]) -> Result<(), TpmError> {
        match self {
            Storage::Memory => Ok(()),
            Storage::Files { dir, .. } => container::write(&dir.join(file.name()), bytes),
        }
    }
}
