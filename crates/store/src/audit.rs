//! What is checked after a stop that was not clean, so that a start need not read the whole log first (docs/adr/0012).
//!
//! A crash can damage what was being written: SQLite's WAL makes that atomic where the disk keeps its word, and where it does not,
//! the pages of the last seconds are wrong, which is what [`tail`] reads before the log is opened. Damage further back is no
//! more likely after a crash than after a clean stop; [`Store::audit`] looks for it while the log is in use, in short
//! reads that hold up nobody. In scope: events, payloads, tiles, kept bytes, the other tables' pages. Out of scope: claims and
//! marks against the events, signatures of checkpoints (`check`, which needs the log's whole past in one read).

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lanyard_ledger::hash::sha256;
use lanyard_ledger::leaf::{self, LeafHeader};
use lanyard_ledger::tile::{TILE_HEIGHT, TILE_WIDTH, decode_tile};
use lanyard_ledger::tree::Frontier;
use lanyard_ledger::{Hash, hash::HASH_LEN};
use rusqlite::{Connection, OptionalExtension, params};

use crate::StreamId;
use crate::codec::{blob, int, unsigned};
use crate::read::ReadError;
use crate::store::Store;
use crate::writer::Head;

/// The WAL holds 16 MiB before its pages move; an event takes a kilobyte with its rows. Four times that many.
const TAIL: u64 = 65_536;
/// Events of one read of the audit: some 20 ms.
const STEP: u64 = 4_096;
/// Kept bytes of one read: evidence is up to 4 MiB.
const BLOBS: i64 = 64;
/// All but events and payloads, which are read as what they say, and kept bytes, which have their digests.
const TABLES: [&str; 12] = [
    "meta",
    "head",
    "stream",
    "stream_mark",
    "claim",
    "idem",
    "outbox",
    "tile",
    "ckpt",
    "snapshot",
    "label",
    "migration",
];
const MARK: &str = "damaged";

/// Why an audit did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log is not what it must be; the next start checks all of it before it opens.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The log was closed, or cannot be read now. What was not audited stays unaudited.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is still to be audited, and the mark of what was found.
#[derive(Debug)]
pub(crate) struct Audit {
    dir: PathBuf,
    due: AtomicBool,
}

impl Audit {
    pub(crate) fn new(dir: &Path, due: bool) -> Self {
        Self { dir: dir.to_owned(), due: AtomicBool::new(due) }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::SeqCst)
    }

    /// Durable before anything else is done about it.
    fn found(&self, complaint: &str) -> io::Result<()> {
        let mut file = fs::File::create(self.dir.join(MARK))?;
        writeln!(file, "{complaint}")?;
        file.sync_all()?;
        fs::File::open(&self.dir)?.sync_all()
    }
}

/// What an audit of this directory complained of, if one did.
pub(crate) fn complaint(dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(dir.join(MARK)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A whole check has passed: the complaint is over.
pub(crate) fn settle(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(MARK))?;
    fs::File::open(dir)?.sync_all()
}

impl Store {
    /// Whether the stop before this start was not clean and [`Store::audit`] has not passed since.
    pub fn audit_due(&self) -> bool {
        self.shared.audit.is_due()
    }

    /// Reads the whole log in short steps, each followed by `rest`, which hears how long the step took. What is found is
    /// remembered in the directory: no start opens the log again without checking it as a whole.
    pub async fn audit<F>(&self, rest: impl Fn(Duration) -> F + Send + Sync) -> Result<(), AuditError>
    where
        F: Future<Output = ()> + Send,
    {
        let audited = self.look(rest).await;
        let what = match audited {
            Ok(()) => {
                self.shared.audit.due.store(false, Ordering::SeqCst);
                return Ok(());
            }
            Err(ReadError::Damaged { pos, what }) => format!("{what}, at position {pos}"),
            Err(ReadError::Corrupt(what)) => what,
            Err(other) => return Err(other.into()),
        };
        if let Err(error) = self.shared.audit.found(&what) {
            tracing::error!(%error, "that the log is damaged could not be written beside it");
        }
        Err(AuditError::Damaged(what))
    }

    async fn look<F>(&self, rest: impl Fn(Duration) -> F) -> Result<(), ReadError>
    where
        F: Future<Output = ()>,
    {
        // What is appended from here on is checked by nobody but who reads it: it was not there at the crash.
        let size = self.head().size;
        let mut from = 0;
        while from < size {
            let to = size.min(from + STEP);
            self.step(&rest, move |db| range(db, from, to, &mut |_, _| {})).await?;
            from = to;
        }
        for level in 1..u8::MAX {
            // Full ones have a place in the level above; the unfinished one is under the root that the head states.
            let full = size.checked_shr(u32::from(TILE_HEIGHT) * (u32::from(level) + 1)).unwrap_or(0);
            if full == 0 {
                break;
            }
            for index in 0..full {
                self.step(&rest, move |db| under_parent(db, level, index)).await?;
            }
        }
        for table in TABLES {
            self.step(&rest, move |db| pages(db, table)).await?;
        }
        let mut after = 0;
        while let Some(last) = self.step(&rest, move |db| kept_bytes(db, after)).await? {
            after = last;
        }
        Ok(())
    }

    async fn step<T: Send + 'static, F: Future<Output = ()>>(
        &self,
        rest: &impl Fn(Duration) -> F,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let began = Instant::now();
        let answer = self.read(read).await?;
        rest(began.elapsed()).await;
        Ok(answer)
    }
}

/// The last events as they must be, the tiles over them, and where their streams end. `head` was compared with the tiles.
pub(crate) fn tail(db: &Connection, head: &Head) -> Result<(), ReadError> {
    let from = head.next.saturating_sub(TAIL) / TILE_WIDTH as u64 * TILE_WIDTH as u64;
    let mut ends: HashMap<StreamId, (u64, u64, Hash)> = HashMap::new();
    let mut time = None;
    range(db, from, head.next, &mut |header, leaf| {
        ends.insert(header.stream, (header.seq + 1, header.pos, leaf));
        time = Some(header.time_micros);
    })?;
    let damaged = |pos, what: &str| Err(ReadError::Damaged { pos, what: what.to_owned() });
    if time.is_some_and(|time| time != head.time) {
        return damaged(head.next, "the head has another time than the last event");
    }
    let mut query = db.prepare_cached("SELECT next_seq, last_pos, last_leaf FROM stream WHERE id = ?1")?;
    for (stream, end) in ends {
        let row = query
            .query_row([&stream[..]], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, Hash(blob(row, 2)?))));
        if row.optional()? != Some(end) {
            return damaged(end.1, "the row of its stream says something else than the stream's last event");
        }
    }
    Ok(())
}

/// Events `from..to` with their payloads, and the tiles that they fill. `from` is where a tile begins.
fn range(
    db: &Connection,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(&LeafHeader, Hash),
) -> Result<(), ReadError> {
    let damaged = |pos, what: &str| Err(ReadError::Damaged { pos, what: what.to_owned() });
    let mut query = db.prepare_cached(
        "SELECT e.pos, e.entry, p.salt, p.body FROM event e LEFT JOIN payload p ON p.pos = e.pos
         WHERE e.pos >= ?1 AND e.pos < ?2 ORDER BY e.pos",
    )?;
    let mut rows = query.query([int(from), int(to)])?;
    let (mut next, mut leaves) = (from, Vec::with_capacity(TILE_WIDTH));
    while let Some(row) = rows.next()? {
        if unsigned(row, 0)? != next {
            return damaged(next, "there is no event");
        }
        let entry = row.get_ref(1)?.as_blob().unwrap_or_default();
        let (header, commitment) =
            leaf::decode(entry).map_err(|e| ReadError::Damaged { pos: next, what: e.to_string() })?;
        if header.pos != next {
            return damaged(next, "its entry says another position");
        }
        // None once erased.
        if let rusqlite::types::ValueRef::Blob(body) = row.get_ref(3)?
            && leaf::commit(&blob(row, 2)?, body) != commitment
        {
            return damaged(next, "its payload is not what its entry committed to");
        }
        let leaf = leaf::leaf_hash(entry);
        each(&header, leaf);
        leaves.push(leaf);
        next += 1;
        if leaves.len() == TILE_WIDTH {
            let index = (next - 1) >> TILE_HEIGHT;
            if stored(db, 0, index)? != leaves {
                return damaged(next - TILE_WIDTH as u64, "the tile of hashes over it has another hash");
            }
            under_parent(db, 0, index)?;
            leaves.clear();
        }
    }
    if next == to { Ok(()) } else { damaged(next, "there is no event") }
}

/// A tile as it is stored; nothing where none is. (`SqlTiles` makes up for a missing one of level 0.)
fn stored(db: &Connection, level: u8, index: u64) -> Result<Vec<Hash>, ReadError> {
    let mut query = db.prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND idx = ?2")?;
    let found = query.query_row(params![level, int(index)], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.as_deref().and_then(decode_tile).unwrap_or_default())
}

/// A full tile's root stands in the tile above it.
fn under_parent(db: &Connection, level: u8, index: u64) -> Result<(), ReadError> {
    let mut root = Frontier::new();
    for hash in stored(db, level, index)? {
        root.append(hash);
    }
    let (parent, place) = (index >> TILE_HEIGHT, index % TILE_WIDTH as u64);
    let above = stored(db, level + 1, parent)?;
    let stated = usize::try_from(place).ok().and_then(|place| above.get(place));
    if root.size() == TILE_WIDTH as u64 && stated == Some(&root.root()) {
        return Ok(());
    }
    let pos = index << (u32::from(TILE_HEIGHT) * (u32::from(level) + 1));
    let what = format!("tile {level}/{index} is not the one that the tile above it was made of");
    Err(ReadError::Damaged { pos, what })
}

/// The pages of one table and of its indexes.
fn pages(db: &Connection, table: &'static str) -> Result<(), ReadError> {
    let answer: String = db.query_row(&format!("PRAGMA quick_check({table})"), [], |row| row.get(0))?;
    if answer == "ok" { Ok(()) } else { Err(ReadError::Corrupt(format!("table `{table}`: {answer}"))) }
}

/// Some of the kept bytes lie under their digests; the last row looked at.
fn kept_bytes(db: &Connection, after: i64) -> Result<Option<i64>, ReadError> {
    let mut query =
        db.prepare_cached("SELECT rowid, sha256, body FROM blob WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")?;
    let mut rows = query.query(params![after, BLOBS])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (rowid, digest): (i64, [u8; HASH_LEN]) = (row.get(0)?, blob(row, 1)?);
        if sha256(&[row.get_ref(2)?.as_blob().unwrap_or_default()]).0 != digest {
            return Err(ReadError::Corrupt(format!("kept bytes in row {rowid} have another digest")));
        }
        last = Some(rowid);
    }
    Ok(last)
}
