//! The last good state on disk: the newest snapshot and the changes after it, one line each, chained by HMAC.
//!
//! ```text
//! line = hex(mac) SP json LF        mac(n) = HMAC-SHA-256(key, mac(n-1) || json), mac(-1) = 32 zero bytes
//! json = { "at": when heard, "item": as in the feed }; the first item is a snapshot
//! ```
//!
//! Lost: the gateway starts knowing nobody and refuses everything until the control plane answers. Rolled back: devices
//! distrusted since then are trusted again, but only until the `untrusted_after` of that older state, and only while the
//! control plane is away. Written by an attacker without the key (sealed beside the gateway's other keys): the chain
//! breaks and nothing of the file is used. A cut last line (power loss) is dropped; a broken line elsewhere is tampering.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use lanyard_api::client::MAX_LINE;
use lanyard_api::gateway::FeedItem;
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a journal was not used or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The storage failed.
    #[error("cannot use the state journal `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line that we did not write there.
    #[error(
        "line {line} of the state journal `{path}` was not written by this gateway: nothing of it is used; find out \
         who changed it, then delete it"
    )]
    Tampered {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
    },
    /// An item that cannot be written.
    #[error("state cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When it was heard, by the gateway's clock.
    pub at: Timestamp,
    /// What was heard.
    pub item: FeedItem,
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    key: hmac::Key,
    mac: [u8; 32],
    file: Option<File>,
    bytes: u64,
}

impl Journal {
    /// A journal at `path` under a 32-byte key. Nothing is read or written yet.
    pub fn new(path: &Path, key: &[u8; 32]) -> Journal {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Journal { path: path.to_owned(), key, mac: [0; 32], file: None, bytes: 0 }
    }

    /// Bytes written since the last snapshot.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands each entry of the file, in order, to `take`, after the whole file was found unbroken. No file, no entries.
    pub fn load(&self, mut take: impl FnMut(Entry)) -> Result<usize, JournalError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(self.io(e)),
        };
        let mut reader = BufReader::new(file);
        let (mut entries, mut mac, mut line) = (Vec::new(), [0u8; 32], Vec::new());
        for number in 1.. {
            line.clear();
            // 66: MAC, space and line end around the JSON, which came as one line of the feed.
            let most = MAX_LINE as u64 + 66 + 64;
            let read = (&mut reader).take(most).read_until(b'\n', &mut line).map_err(|e| self.io(e))?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let tampered = || JournalError::Tampered { path: self.path.clone(), line: number };
            let (found, json) = split(&line).ok_or_else(tampered)?;
            let signed = [&mac[..], json].concat();
            hmac::verify(&self.key, &signed, &found).map_err(|_| tampered())?;
            mac = found;
            entries.push(serde_json::from_slice(json).map_err(|_| tampered())?);
        }
        let count = entries.len();
        entries.into_iter().for_each(&mut take);
        Ok(count)
    }

    /// Starts the file anew with a snapshot; the old one stays until the new one is on disk.
    pub fn restart(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let fresh = self.path.with_extension("new");
        let (line, mac) = self.line(&[0; 32], entry)?;
        let write = || -> io::Result<File> {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
            file.write_all(&line)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            if let Some(dir) = self.path.parent() {
                File::open(dir)?.sync_all()?;
            }
            Ok(file)
        };
        let file = write().map_err(|e| self.io(e))?;
        (self.file, self.mac, self.bytes) = (Some(file), mac, 0);
        Ok(())
    }

    /// Adds entries and waits until they are on disk. After a failure the next write must be a snapshot.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut lines = Vec::new();
        let mut mac = self.mac;
        for entry in entries {
            let (line, next) = self.line(&mac, entry)?;
            lines.extend_from_slice(&line);
            mac = next;
        }
        let Some(mut file) = self.file.take() else {
            return Err(self.io(io::Error::other("there is no snapshot to add to")));
        };
        file.write_all(&lines).and_then(|()| file.sync_data()).map_err(|e| self.io(e))?;
        self.bytes += lines.len() as u64;
        (self.file, self.mac) = (Some(file), mac);
        Ok(())
    }

    fn line(&self, before: &[u8; 32], entry: &Entry) -> Result<(Vec<u8>, [u8; 32]), JournalError> {
        let json = serde_json::to_vec(entry)?;
        let mut context = hmac::Context::with_key(&self.key);
        context.update(before);
        context.update(&json);
        let mut mac = [0u8; 32];
        context.sign().as_ref().iter().zip(mac.iter_mut()).for_each(|(from, to)| *to = *from);
        let line = [HEXLOWER.encode(&mac).as_bytes(), b" ", &json, b"\n"].concat();
        Ok((line, mac))
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }
}

fn split(line: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (mac, rest) = line.split_at_checked(64)?;
    let mac = HEXLOWER.decode(mac).ok()?.try_into().ok()?;
    Some((mac, rest.strip_prefix(b" ")?.strip_suffix(b"\n")?))
}
