//! Opening a log: lock, check, compare with the anchor, start the writer.
//!
//! INVARIANT: nothing is signed unless the log contains what the anchor holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::note::{NoteSigner, NoteVerifier};
use lanyard_ledger::tile::TreeWriter;
use lanyard_ledger::tree::root_at;
use lanyard_ledger::{Hash, tree};
use rusqlite::{Connection, params};
use tokio::sync::{Mutex, mpsc, watch};

use crate::anchor::{Anchor, AnchorError};
use crate::audit::Audit;
use crate::codec::{blob, unsigned};
use crate::fault::Hook;
use crate::lock::{DirLock, LastClose, LockError};
use crate::pool::Pool;
use crate::seal::{self, SealedCheckpoint};
use crate::store::{DurableHead, Published, QUEUE, Shared, Store};
use crate::tiles::SqlTiles;
use crate::writer::{Head, Writer};
use crate::{audit, check, schema};

/// What a log is opened with.
#[derive(Debug)]
pub struct Options {
    /// Name of the log, also the name of its key.
    pub origin: String,
    /// The log's key.
    pub signer: NoteSigner,
    /// Where the newest signed checkpoint is kept, best on another disk.
    pub anchor_dir: PathBuf,
    /// What to do when the anchor knows less than the log's own table of checkpoints.
    pub lost_anchor: LostAnchor,
    /// How many witnesses make a checkpoint witnessed.
    pub witness_quorum: u32,
    /// What to check before opening when the last stop was not clean.
    pub unclean: Unclean,
    /// For tests only.
    #[doc(hidden)]
    pub faults: Hook,
}

/// What to check before a log is opened whose last user did not close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclean {
    /// All pages of the database: as long as it takes to read them.
    All,
    /// What can have been written at the time of the crash; the opener runs [`Store::audit`] beside its work, and until that
    /// has passed the next stop does not count as clean either.
    Tail,
}

impl Options {
    /// The strict defaults: one witness suffices, a lost anchor is refused, an unclean stop has all pages checked.
    pub fn new(signer: NoteSigner, anchor_dir: PathBuf) -> Options {
        let origin = signer.verifier().name().to_owned();
        let (lost_anchor, unclean, faults) = (LostAnchor::Refuse, Unclean::All, Hook::default());
        Options { origin, signer, anchor_dir, lost_anchor, witness_quorum: 1, unclean, faults }
    }
}

/// What to do when the anchor knows less than the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostAnchor {
    /// Do not open: someone may have rolled back both.
    Refuse,
    /// An operator says that the anchor was lost and the log is the newest copy: write the newest checkpoint back.
    WriteBack,
}

/// Why a log was not opened. In each case nothing was or will be signed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite with a known corruption bug.
    #[error("sqlite {0} is too old: versions before 3.51.3 can corrupt the log")]
    OldSqlite(&'static str),
    /// Another process uses the directory.
    #[error("log `{0}` is used by another process")]
    Held(PathBuf),
    /// The database is damaged.
    #[error("log is damaged: {0}; restore it from a backup and open it again")]
    Damaged(String),
    /// The directory holds another log.
    #[error("log `{found}` is in this directory, not `{expected}`")]
    OtherLog {
        /// Key in the directory.
        found: String,
        /// Key given.
        expected: String,
    },
    /// The key's name is not the origin.
    #[error("key `{key}` does not belong to log `{origin}`: the key's name must be the origin")]
    OtherKey {
        /// Key name.
        key: String,
        /// Origin.
        origin: String,
    },
    /// The log is shorter than a checkpoint it signed: an old copy was restored.
    #[error(
        "log has {size} events, but it signed a checkpoint over {anchored}: this is an old copy, nothing will be \
         signed; restore the newer events or close this origin"
    )]
    Behind {
        /// Events here.
        size: u64,
        /// Size of the anchored checkpoint.
        anchored: u64,
    },
    /// The log holds other events than a checkpoint it signed.
    #[error(
        "log has root {found} at size {size}, but it signed {anchored} there: this is a fork, nothing will be \
         signed; find out which copy is the true one"
    )]
    Fork {
        /// Size of the anchored checkpoint.
        size: u64,
        /// Root here.
        found: Hash,
        /// Root that was signed.
        anchored: Hash,
    },
    /// The anchor knows less than the log's own table of checkpoints.
    #[error(
        "anchor knows {anchored} events, but the log recorded a checkpoint over {recorded}: the anchor was lost or \
         rolled back; if this log is the newest copy, write the anchor back with `lanyard ledger restore-anchor`"
    )]
    AnchorLost {
        /// Size in the anchor.
        anchored: u64,
        /// Size in the log.
        recorded: u64,
    },
    /// The anchor cannot be used.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The database failed.
    #[error("cannot open the log database")]
    Sqlite(#[from] rusqlite::Error),
    /// The directory failed.
    #[error("cannot use log directory `{path}`")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error.
        #[source]
        source: std::io::Error,
    },
}

impl Store {
    /// Opens the log in `dir`, making it if it is not there. Blocks; call it before serving.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        if let Some(version) = schema::sqlite_too_old() {
            return Err(OpenError::OldSqlite(version));
        }
        let log = options.signer.verifier().clone();
        if log.name() != options.origin {
            return Err(OpenError::OtherKey { key: log.name().to_owned(), origin: options.origin });
        }
        let (lock, last_close) = lock(dir)?;
        once_damaged(dir, &log, &options.anchor_dir)?;
        let mut db = schema::open_writer(dir)?;
        let unclean = (last_close == LastClose::Unclean).then_some(options.unclean);
        if unclean == Some(Unclean::All)
            && let Some(complaint) = schema::quick_check(&db)?
        {
            return Err(OpenError::Damaged(complaint));
        }
        schema::migrate(&mut db)?;
        belongs_to(&db, &log.vkey())?;
        let (head, tree) = load(&mut db)?;
        if unclean == Some(Unclean::Tail) {
            audit::tail(&db, &head).map_err(|e| OpenError::Damaged(e.to_string()))?;
        }
        let mut anchor = Anchor::open(&options.anchor_dir, log, options.faults.clone())?;
        let sealed = compare(&db, &head, &mut anchor, options.lost_anchor)?;
        let witnessed = seal::largest_witnessed(&db, options.witness_quorum)?;
        let published = Arc::new(Published {
            durable: watch::Sender::new(DurableHead { size: head.next, root: head.root }),
            sealed: watch::Sender::new(sealed),
            witnessed: watch::Sender::new(witnessed),
        });
        let pool = Arc::new(Pool::new(dir));
        let (queue, requests) = mpsc::channel(QUEUE);
        let audit = Arc::new(Audit::new(dir, unclean == Some(Unclean::Tail)));
        let writer =
            Writer::new(dir, db, head, tree, lock, &pool, &published, &audit, options.faults.clone());
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(requests))
            .map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let anchor = Arc::new(Mutex::new(Some(anchor)));
        let (signer, witness_quorum, faults) = (options.signer, options.witness_quorum, options.faults);
        let shared = Shared { queue, pool, published, signer, anchor, witness_quorum, audit, faults };
        Ok(Store { shared: Arc::new(shared) })
    }
}

fn lock(dir: &Path) -> Result<(DirLock, LastClose), OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let fresh = !dir.join(schema::FILE).exists();
    fs::create_dir_all(dir).map_err(io)?;
    if fresh && let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        // The directory's own name must survive a power cut too; SQLite syncs what is in it.
        fs::File::open(parent).and_then(|p| p.sync_all()).map_err(io)?;
    }
    match DirLock::take(dir) {
        Ok((lock, _)) if fresh => Ok((lock, LastClose::Clean)),
        Ok(taken) => Ok(taken),
        Err(LockError::Held) => Err(OpenError::Held(dir.to_owned())),
        Err(LockError::Io(source)) => Err(io(source)),
    }
}

/// A log that an audit complained of is opened only once all of it has been checked, be it repaired or restored.
fn once_damaged(dir: &Path, log: &NoteVerifier, anchor_dir: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let Some(complaint) = audit::complaint(dir).map_err(io)? else { return Ok(()) };
    let trust = check::Trust { log: Some(log.clone()), anchor_dir: Some(anchor_dir.to_owned()) };
    tracing::warn!(%complaint, "an audit found this log damaged; all of it is checked before it is opened, which takes minutes");
    match check(dir, &trust) {
        Ok(_) => audit::settle(dir).map_err(io),
        Err(error) => Err(OpenError::Damaged(error.to_string())),
    }
}

/// The directory remembers whose log it is; a fresh one learns it.
fn belongs_to(db: &Connection, vkey: &str) -> Result<(), OpenError> {
    db.execute(
        "INSERT INTO meta(name, value) VALUES ('log', ?1) ON CONFLICT(name) DO NOTHING",
        [vkey.as_bytes()],
    )?;
    let found = check::stored_vkey(db)?;
    if found == vkey { Ok(()) } else { Err(OpenError::OtherLog { found, expected: vkey.to_owned() }) }
}

/// Head and tree, with the epoch taken over: a writer that still believes in the old one hits no row any more.
fn load(db: &mut Connection) -> Result<(Head, TreeWriter), OpenError> {
    let tx = db.transaction()?;
    tx.execute(
        "INSERT INTO head(shard, epoch, batch, next, root, time) VALUES (?1, 0, 0, 0, ?2, 0)
         ON CONFLICT(shard) DO NOTHING",
        params![schema::SHARD, tree::empty_root().as_bytes()],
    )?;
    tx.execute("UPDATE head SET epoch = epoch + 1 WHERE shard = ?1", [schema::SHARD])?;
    let head = read_head(&tx)?;
    tx.commit()?;
    let tree = TreeWriter::open(head.next, &SqlTiles(db)).map_err(|e| OpenError::Damaged(e.to_string()))?;
    if tree.root() != head.root {
        let complaint = format!("tiles give root {}, head says {}", tree.root(), head.root);
        return Err(OpenError::Damaged(complaint));
    }
    Ok((head, tree))
}

pub(crate) fn read_head(db: &Connection) -> Result<Head, rusqlite::Error> {
    let next_stream_no =
        db.query_row("SELECT coalesce(max(no), -1) + 1 FROM stream", [], |row| row.get(0))?;
    let sql = "SELECT epoch, batch, next, root, time FROM head WHERE shard = ?1";
    db.query_row(sql, [schema::SHARD], |row| {
        let (epoch, batch, next, root) = (row.get(0)?, row.get(1)?, unsigned(row, 2)?, Hash(blob(row, 3)?));
        Ok(Head { epoch, batch, next, root, time: row.get(4)?, next_stream_no })
    })
}

/// Compares log, anchor and table of checkpoints; returns the newest checkpoint.
fn compare(
    db: &Connection,
    head: &Head,
    anchor: &mut Anchor,
    lost: LostAnchor,
) -> Result<Option<SealedCheckpoint>, OpenError> {
    let recorded = seal::latest(db)?;
    if let Some(recorded) = &recorded {
        contains(db, head, recorded.size, recorded.root)?;
    }
    if let Some(anchored) = anchor.current().cloned() {
        contains(db, head, anchored.size, anchored.root)?;
    }
    let anchored = anchor.current().map_or(0, |c| c.size);
    let Some(recorded) = recorded else { return Ok(None) };
    if anchored < recorded.size {
        if lost == LostAnchor::Refuse {
            return Err(OpenError::AnchorLost { anchored, recorded: recorded.size });
        }
        let origin = check::stored_vkey(db)?.split('+').next().unwrap_or_default().to_owned();
        let checkpoint = Checkpoint { origin, size: recorded.size, root: recorded.root };
        anchor.advance(&checkpoint, &recorded.note)?;
    }
    Ok(Some(recorded))
}

fn contains(db: &Connection, head: &Head, size: u64, signed: Hash) -> Result<(), OpenError> {
    if size > head.next {
        return Err(OpenError::Behind { size: head.next, anchored: size });
    }
    let found = root_at(&SqlTiles(db), size).map_err(|e| OpenError::Damaged(e.to_string()))?;
    if found == signed { Ok(()) } else { Err(OpenError::Fork { size, found, anchored: signed }) }
}
