//! From a resource's location (`Observation/123`) to its completion in the log: a file of 24-byte records in log order.
//!
//! ```text
//! record = first 16 bytes of SHA-256(location) || position, 8 bytes big endian
//! ```
//!
//! Questions are rare (an export), decisions are many: so nothing is kept in memory, and a question reads the file
//! through: 10 million readings are 240 MB, a quarter of a second. The file is a projection: what it lacks is read from
//! the log before a search, a cut record at its end is dropped, and each hit is compared with the leaf itself; lost or
//! written by an attacker it can hide a reading until it is deleted and rebuilt, never forge one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use lanyard_domain::event::Event;
use lanyard_ledger::hash::sha256;
use lanyard_store::Store;

use super::LogError;

const RECORD: usize = 24;
/// `Event::AccessCompleted`'s code.
const COMPLETED: u16 = 121;
/// Record that marks how far the log was read: a digest of zeros is no location's.
const MARK: [u8; 16] = [0; 16];
/// Leaves read at once.
const STEP: usize = 1024;

#[derive(Debug)]
pub(super) struct Locations {
    file: File,
    /// First position that is not in the file.
    next: u64,
}

impl Locations {
    pub(super) fn open(path: &Path) -> io::Result<Locations> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let whole = length - length % RECORD as u64;
        file.set_len(whole)?;
        let mut next = 0;
        if whole > 0 {
            file.seek(SeekFrom::Start(whole - RECORD as u64))?;
            let mut last = [0u8; RECORD];
            file.read_exact(&mut last)?;
            next = split(&last).map_or(0, |(_, pos)| pos + 1);
        }
        Ok(Locations { file, next })
    }

    /// Reads what the log has beyond the file.
    pub(super) async fn catch_up(&mut self, store: &Store) -> Result<(), LogError> {
        if self.next > store.head().size {
            // The index of another log, or of events that were lost: begin again.
            self.file.set_len(0)?;
            self.next = 0;
        }
        loop {
            let events = store.range(self.next, STEP).await?;
            let Some(last) = events.last() else { return Ok(()) };
            let end = last.header.pos;
            let mut records = Vec::new();
            for event in events.iter().filter(|e| e.header.kind == COMPLETED) {
                let Some(payload) = &event.payload else { continue };
                if let Event::AccessCompleted { location: Some(location), .. } =
                    Event::from_payload(event.header.kind, payload)?
                {
                    push(&mut records, &key(&location), event.header.pos);
                }
            }
            push(&mut records, &MARK, end);
            self.file.seek(SeekFrom::End(0))?;
            self.file.write_all(&records)?;
            self.next = end + 1;
        }
    }

    /// Positions that may be completions of `location`, in log order.
    pub(super) fn candidates(&mut self, location: &str) -> io::Result<Vec<u64>> {
        let wanted = key(location);
        self.file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(RECORD << 12, &self.file);
        let mut record = [0u8; RECORD];
        let mut found = Vec::new();
        loop {
            match reader.read_exact(&mut record) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
                Err(e) => return Err(e),
            }
            if let Some((key, pos)) = split(&record)
                && key == wanted
            {
                found.push(pos);
            }
        }
    }
}

fn key(location: &str) -> [u8; 16] {
    let digest = sha256(&[location.as_bytes()]);
    let mut key = [0u8; 16];
    digest.0.iter().zip(key.iter_mut()).for_each(|(from, to)| *to = *from);
    key
}

fn push(records: &mut Vec<u8>, key: &[u8; 16], pos: u64) {
    records.extend_from_slice(key);
    records.extend_from_slice(&pos.to_be_bytes());
}

fn split(record: &[u8; RECORD]) -> Option<([u8; 16], u64)> {
    let (key, pos) = record.split_first_chunk::<16>()?;
    Some((*key, u64::from_be_bytes(pos.try_into().ok()?)))
}
