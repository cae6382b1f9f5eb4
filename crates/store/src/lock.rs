//! Exclusive lock on a directory, which also remembers whether its last user closed it properly.
//!
//! If the file is lost: a new one is made and the start counts as unclean, which only costs a check. Rolled back or
//! written by an attacker: at worst a check is skipped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

const CLEAN: &str = "clean\n";
const IN_USE: &str = "in use\n";

/// How the directory was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastClose {
    Clean,
    Unclean,
}

/// Held until dropped; the operating system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct DirLock(File);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process uses it")]
    Held,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<(DirLock, LastClose), LockError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
        let mut text = String::new();
        let last = match file.read_to_string(&mut text) {
            Ok(_) if text == CLEAN => LastClose::Clean,
            _ => LastClose::Unclean,
        };
        let mut lock = DirLock(file);
        lock.write(IN_USE)?;
        Ok((lock, last))
    }

    /// Says that everything is on disk, and releases.
    pub(crate) fn close_clean(mut self) -> std::io::Result<()> {
        self.write(CLEAN)
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.set_len(0)?;
        self.0.write_all(text.as_bytes())?;
        self.0.sync_all()
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // The lock belongs to the open file, which a child process that is being started shares until its exec: closing
        // our end alone would leave it held for that moment. A failure leaves it to the close.
        let _ = self.0.unlock();
    }
}
