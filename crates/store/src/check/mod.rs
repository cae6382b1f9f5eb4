//! Recomputes everything that can be recomputed and reports the first difference.
//!
//! In scope: leaf hashes, payload commitments, stream chains, tiles, roots, head, checkpoints with their signatures,
//! stream heads, marks, claims, the anchor. Out of scope: what payloads mean; projections are checked by those who fold
//! them, from the events that [`check_each`] shows once each is known to be good. It only reads, in one snapshot, and may run beside the writer.
//! To check one more table: a function in `tables` and a line in [`check`].

mod events;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};

use lanyard_ledger::Hash;
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::leaf::LeafHeader;
use lanyard_ledger::note::NoteVerifier;
use rusqlite::Connection;

use crate::anchor::{self, AnchorError};
use crate::schema;

/// What the check trusts besides the directory itself.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The log's key as the caller knows it. Without it the key stored in the directory is used, which proves only that
    /// the log agrees with itself.
    pub log: Option<NoteVerifier>,
    /// The anchor directory.
    pub anchor_dir: Option<PathBuf>,
}

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Key of the log.
    pub log: String,
    /// Events.
    pub events: u64,
    /// Events whose payload was erased.
    pub erased: u64,
    /// Streams.
    pub streams: u64,
    /// Claims.
    pub claims: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Root over all events.
    pub root: Hash,
    /// Size of the anchored checkpoint, if an anchor was given and has one.
    pub anchored: Option<u64>,
}

/// The first place where the log is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FirstDifference {
    /// What was compared.
    pub what: &'static str,
    /// Position of the event, size of the checkpoint, or number of the row.
    pub at: u64,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for FirstDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: expected {}, found {}", self.what, self.at, self.expected, self.found)
    }
}

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The log is not what it must be.
    #[error(transparent)]
    Difference(#[from] FirstDifference),
    /// There is no log in this directory.
    #[error("there is no log in `{0}`")]
    NoLog(PathBuf),
    /// The database cannot be read.
    #[error("cannot read the log database")]
    Sqlite(#[from] rusqlite::Error),
    /// The anchor cannot be read or is of another log.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// Checks the log in a directory.
pub fn check(dir: &Path, trust: &Trust) -> Result<CheckReport, CheckError> {
    check_each(dir, trust, &mut |_, _| {})
}

/// As [`check`], and shows each event in log order with its payload (none once erased), after its entry, commitment and
/// chain were found good. What was shown is proven only when the whole check has passed.
pub fn check_each(
    dir: &Path,
    trust: &Trust,
    each: &mut dyn FnMut(&LeafHeader, Option<&[u8]>),
) -> Result<CheckReport, CheckError> {
    if !dir.join(schema::FILE).exists() {
        return Err(CheckError::NoLog(dir.to_owned()));
    }
    let mut db = schema::open_reader(dir)?;
    // Before the snapshot: a server that runs beside this may seal in between, and its anchor would be ahead of what we see.
    let anchor = match (&trust.anchor_dir, key(&db, trust)) {
        (Some(anchor_dir), Ok(log)) => anchor::read(anchor_dir, &log)?,
        // What is wrong with the key is said below, after what is wrong with the pages.
        _ => None,
    };
    let snapshot = db.transaction()?;
    if let Some(complaint) = schema::quick_check(&snapshot)? {
        return differs("database pages", 0, "no complaint", complaint);
    }
    let log = key(&snapshot, trust)?;
    let walked = events::walk(&snapshot, &log, each)?;
    tables::head(&snapshot, &walked)?;
    tables::tiles(&snapshot, &walked)?;
    let streams = tables::streams(&snapshot, &walked)?;
    let claims = tables::claims(&snapshot, &walked)?;
    tables::blobs(&snapshot)?;
    tables::no_strays(&snapshot, &walked)?;
    let anchored = match anchor {
        Some(checkpoint) => Some(anchored(&snapshot, &checkpoint, &walked)?),
        None => None,
    };
    Ok(CheckReport {
        log: log.vkey(),
        events: walked.size,
        erased: walked.erased,
        streams,
        claims,
        checkpoints: walked.checkpoints,
        root: walked.tree.root(),
        anchored,
    })
}

fn key(db: &Connection, trust: &Trust) -> Result<NoteVerifier, CheckError> {
    let stored = stored_vkey(db)?;
    let parsed = NoteVerifier::parse(&stored);
    match (&trust.log, parsed) {
        (Some(trusted), _) if trusted.vkey() != stored => differs("log key", 0, trusted.vkey(), stored),
        (_, Ok(log)) => Ok(log),
        (_, Err(error)) => differs("log key", 0, "a verifier key", error),
    }
}

fn anchored(db: &Connection, checkpoint: &Checkpoint, walked: &events::Walked) -> Result<u64, CheckError> {
    let (size, root) = (checkpoint.size, checkpoint.root);
    if size > walked.size {
        let expected = format!("at least {size} events, as the anchor holds");
        return differs("size of the log", walked.size, expected, walked.size);
    }
    // Every tile agreed with the events, so the tiles give the root at any size.
    match lanyard_ledger::tree::root_at(&crate::tiles::SqlTiles(db), size) {
        Ok(found) if found == root => Ok(size),
        Ok(found) => differs("root under the anchored checkpoint", size, root, found),
        Err(error) => differs("root under the anchored checkpoint", size, root, error),
    }
}

/// The key that the directory was made with.
pub(crate) fn stored_vkey(db: &Connection) -> Result<String, rusqlite::Error> {
    let bytes: Vec<u8> = db.query_row("SELECT value FROM meta WHERE name = 'log'", [], |row| row.get(0))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn differs<T>(
    what: &'static str,
    at: u64,
    expected: impl fmt::Display,
    found: impl fmt::Display,
) -> Result<T, CheckError> {
    let (expected, found) = (expected.to_string(), found.to_string());
    Err(FirstDifference { what, at, expected, found }.into())
}
