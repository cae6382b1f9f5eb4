//! The folded world on disk, so that a start folds what came after it and not the whole log (docs/adr/0006).
//!
//! A cache that is believed only if all of this holds, and is else left aside with a line in the log: it is authenticated
//! with a sealed key of ours; this very program wrote it (what events mean is code: another build folds anew); the log has
//! the root that it names at the size that it names; and nothing was erased since from what it was folded from. It is never
//! what anybody else is shown, and losing it costs time only.
//!
//! In scope: where it lies, whether to believe it, when to write it. Out of scope: its encoding (`control::snapshot`).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use aws_lc_rs::hmac;
use lanyard_control::world::World;
use lanyard_domain::event::Event;
use lanyard_ledger::hash::Hash;
use lanyard_store::{ReadError, Store};

use crate::journal::{ReplayError, decoded, origin};

const MAGIC: &[u8; 16] = b"lanyard world 1\n";
const DIGEST: usize = SHA256_OUTPUT_LEN;
/// Magic, program, size, root.
const HEAD: usize = MAGIC.len() + DIGEST + 8 + DIGEST;
/// A hundred times what 100,000 devices take; beyond it something else lies there.
const MOST_BYTES: u64 = 16 << 30;
/// Events of one read.
const BATCH: usize = 4_096;
/// A start folds at least 100,000 events in a second.
pub(crate) const MOST_BEHIND: u64 = 131_072;

/// The snapshot's file and the key that it is authenticated with.
pub(crate) struct Cache {
    file: PathBuf,
    key: hmac::Key,
    program: OnceLock<[u8; DIGEST]>,
    /// Grows with each erasure of this run.
    erasures: AtomicU64,
}

/// Why a snapshot is left aside.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is cut short, or something else lies there")]
    NotOne,
    #[error("it was changed, or written under other keys")]
    NotOurs,
    #[error("another build of this program wrote it")]
    OtherProgram,
    #[error("it was made of another log, or of more events than there are")]
    OtherLog,
    #[error("{0}")]
    Malformed(#[from] lanyard_control::snapshot::BadSnapshot),
    #[error("it ends at {found}, its head says {said}")]
    OtherSize { found: u64, said: u64 },
}

/// Why none was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Encode(#[from] lanyard_control::snapshot::BadSnapshot),
    #[error("cannot write `{file}`: {source}")]
    Io { file: PathBuf, source: io::Error },
}

/// A folded world, and from where on events were folded.
pub(crate) struct Restored {
    pub(crate) world: World,
    pub(crate) resumed_at: u64,
}

impl Cache {
    /// Below the data directory; nothing is read yet.
    pub(crate) fn new(data_dir: &Path, key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self {
            file: data_dir.join("world.snapshot"),
            key,
            program: OnceLock::new(),
            erasures: AtomicU64::new(0),
        }
    }

    /// Folds the whole log: from the snapshot on, if there is one to believe, else from its beginning.
    pub(crate) async fn restore(&self, store: &Store) -> Result<Restored, ReplayError> {
        if self.file.exists() {
            match self.read(store).await {
                Ok(world) => {
                    let resumed_at = world.next_pos;
                    match follow(store, world, resumed_at).await? {
                        Followed::All(world) => return Ok(Restored { world: *world, resumed_at }),
                        Followed::Erased { pos } => {
                            tracing::info!(
                                pos,
                                "the snapshot of the folded log has what was erased since; the log is folded anew"
                            );
                            self.remove();
                        }
                    }
                }
                Err(unfit) => {
                    tracing::warn!(file = %self.file.display(), %unfit, "the snapshot of the folded log is not used; the whole log is folded");
                }
            }
        }
        match follow(store, World::default(), 0).await? {
            Followed::All(world) => Ok(Restored { world: *world, resumed_at: 0 }),
            Followed::Erased { pos } => {
                let what = "an event before the first was erased".to_owned();
                Err(ReadError::Damaged { pos, what }.into())
            }
        }
    }

    /// Writes what the log folds to now, without touching the world in use: that one is never held up for it.
    pub(crate) async fn keep(&self, store: &Store) -> Result<u64, KeepError> {
        let erasures = self.erasures.load(Ordering::SeqCst);
        let Restored { world, .. } = self.restore(store).await?;
        let size = world.next_pos;
        let root = store.root_at(size).await.map_err(ReplayError::from)?;
        let body = world.to_snapshot()?;
        drop(world);
        let io = |source| KeepError::Io { file: self.file.clone(), source };
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(self.program().map_err(io)?);
        head.extend_from_slice(&size.to_be_bytes());
        head.extend_from_slice(root.as_bytes());
        self.write(&head, &body).map_err(io)?;
        // What was erased while it was folded may be in it.
        if self.erasures.load(Ordering::SeqCst) != erasures {
            self.remove();
        }
        Ok(size)
    }

    /// Something was erased from the log: it must not lie here any longer.
    pub(crate) fn forget(&self) {
        self.erasures.fetch_add(1, Ordering::SeqCst);
        self.remove();
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(file = %self.file.display(), %error, "a snapshot that has erased data cannot be removed; remove the file");
        }
    }

    async fn read(&self, store: &Store) -> Result<World, Unfit> {
        let file = File::open(&self.file)?;
        if !(HEAD as u64..MOST_BYTES).contains(&file.metadata()?.len()) {
            return Err(Unfit::NotOne);
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        let (signed, tag) = bytes.split_last_chunk::<DIGEST>().ok_or(Unfit::NotOne)?;
        let (head, body) = signed.split_at_checked(HEAD).ok_or(Unfit::NotOne)?;
        let rest = head.strip_prefix(MAGIC).ok_or(Unfit::NotOne)?;
        hmac::verify(&self.key, signed, tag).map_err(|_| Unfit::NotOurs)?;
        let (program, rest) = rest.split_first_chunk::<DIGEST>().ok_or(Unfit::NotOne)?;
        if program != self.program()? {
            return Err(Unfit::OtherProgram);
        }
        let (said, root) = rest.split_first_chunk::<8>().ok_or(Unfit::NotOne)?;
        let said = u64::from_be_bytes(*said);
        let root: [u8; DIGEST] = root.try_into().map_err(|_| Unfit::NotOne)?;
        if said > store.head().size || store.root_at(said).await.ok() != Some(Hash(root)) {
            return Err(Unfit::OtherLog);
        }
        let world = World::from_snapshot(body)?;
        if world.next_pos != said {
            return Err(Unfit::OtherSize { found: world.next_pos, said });
        }
        Ok(world)
    }

    /// A file that is there is whole: kill -9 at any line leaves the one before, or the new one.
    fn write(&self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let mut tag = hmac::Context::with_key(&self.key);
        tag.update(head);
        tag.update(body);
        let unfinished = self.file.with_extension("unfinished");
        {
            let mut file = private(&unfinished)?;
            file.write_all(head)?;
            file.write_all(body)?;
            file.write_all(tag.sign().as_ref())?;
            file.sync_all()?;
        }
        fs::rename(&unfinished, &self.file)?;
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// SHA-256 of this program's file: the one that runs, also where an upgrade has put another in its place.
    fn program(&self) -> io::Result<&[u8; DIGEST]> {
        if let Some(known) = self.program.get() {
            return Ok(known);
        }
        let mut file = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))?;
        let (mut digest, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
        loop {
            let read = file.read(&mut buffer)?;
            match buffer.get(..read) {
                None | Some([]) => break,
                Some(bytes) => digest.update(bytes),
            }
        }
        let digest = digest.finish();
        let bytes = digest.as_ref().try_into().map_err(io::Error::other)?;
        Ok(self.program.get_or_init(|| bytes))
    }
}

/// Readable by us alone: names of people are in it, as in the log.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

enum Followed {
    All(Box<World>),
    /// An event before the snapshot was erased after it.
    Erased {
        pos: u64,
    },
}

/// Folds on to the end of the log. `resumed_at`: what lies before it is in the world already.
async fn follow(store: &Store, mut world: World, resumed_at: u64) -> Result<Followed, ReplayError> {
    loop {
        let batch = store.range(world.next_pos, BATCH).await?;
        if batch.is_empty() {
            return Ok(Followed::All(Box::new(world)));
        }
        for stored in batch {
            let event = decoded(&stored)?;
            if let Some(Event::PayloadErased { pos, .. }) = &event
                && *pos < resumed_at
            {
                return Ok(Followed::Erased { pos: *pos });
            }
            world.apply(origin(&stored.header), event.as_ref());
        }
    }
}
