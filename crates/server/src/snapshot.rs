//! The folded world on disk, so that a start folds what came after it and not the whole log (docs/adr/0006).
//!
//! A cache that is believed only if all of this holds, and is else left aside with a line in the log: it is authenticated
//! with a sealed key of ours; this very program wrote it (what events mean is code: another build folds anew); the log has
//! the root that it names at the size that it names; and nothing was erased since from what it was folded from. It is never
//! what anybody else is shown, and losing it costs time only.
//!
//! In scope: where it lies, whether to believe it, when to write it. Out of scope: its encoding (`control::snapshot`).

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::hmac;
use lanyard_control::snapshot::{Assembly, BadSnapshot, Cut, Part};
use lanyard_control::world::{Origin, World};
use lanyard_domain::event::Event;
use lanyard_ledger::hash::Hash;
use lanyard_store::{ReadError, Store, StoredEvent};

use crate::journal::{ReplayError, decoded, origin};

const MAGIC: &[u8; 16] = b"lanyard world 3\n";
const DIGEST: usize = SHA256_OUTPUT_LEN;
/// Magic, program, size, root, number of parts. Then length and digest of each part, the MAC over all of that, the parts.
const HEAD: usize = MAGIC.len() + DIGEST + 8 + DIGEST + 4;
/// Length and digest.
const LINE: usize = 8 + DIGEST;
/// Some gigabytes have a few hundred.
const MOST_PARTS: usize = 1 << 16;
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
    /// One at a time writes.
    keeping: tokio::sync::Mutex<()>,
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
    Malformed(#[from] BadSnapshot),
    #[error("it ends at {found}, its head says {said}")]
    OtherSize { found: u64, said: u64 },
}

/// Why none was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Encode(#[from] BadSnapshot),
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
            keeping: tokio::sync::Mutex::default(),
            erasures: AtomicU64::new(0),
        }
    }

    /// Folds the whole log: from the snapshot on, if there is one to believe, else from its beginning.
    pub(crate) async fn restore(&self, store: &Store) -> Result<Restored, ReplayError> {
        self.restore_to(store, store.head().size).await
    }

    /// The same up to a position that the log has.
    async fn restore_to(&self, store: &Store, end: u64) -> Result<Restored, ReplayError> {
        if self.file.exists() {
            match self.read(store).await {
                Ok(world) => {
                    let resumed_at = world.next_pos;
                    match follow(store, world, end).await? {
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
        match follow(store, World::default(), end).await? {
            Followed::All(world) => Ok(Restored { world: *world, resumed_at: 0 }),
            Followed::Erased { pos } => {
                let what = "an event before the first was erased".to_owned();
                Err(ReadError::Damaged { pos, what }.into())
            }
        }
    }

    /// Writes what the log folds to now, without touching the world in use: that one is never held up for it.
    pub(crate) async fn keep(&self, store: &Store) -> Result<u64, KeepError> {
        let _one = self.keeping.lock().await;
        let erasures = self.erasures.load(Ordering::SeqCst);
        // Not what comes while it is folded: an erasure among that may be of a payload that was read before it, and the next start
        // looks for erasures behind the snapshot's end only.
        let Restored { world, .. } = self.restore_to(store, store.head().size).await?;
        let size = self.keep_this(store, &world).await?;
        // What was erased while it was folded may be in it. Should this process be killed right here, the next start sees it.
        if self.erasures.load(Ordering::SeqCst) != erasures {
            self.remove();
        }
        Ok(size)
    }

    /// A start that had to fold a long log from its beginning writes what it came to before anybody uses it: a second fold beside
    /// the work would take minutes again. Says up to where a snapshot goes.
    pub(crate) async fn keep_first(&self, store: &Store, restored: &Restored) -> u64 {
        if restored.resumed_at > 0 || restored.world.next_pos < MOST_BEHIND {
            return restored.resumed_at;
        }
        match self.keep_this(store, &restored.world).await {
            Ok(size) => size,
            Err(error) => {
                tracing::warn!(%error, "no snapshot of the folded log was written; the next start takes longer");
                0
            }
        }
    }

    async fn keep_this(&self, store: &Store, world: &World) -> Result<u64, KeepError> {
        let size = world.next_pos;
        let root = store.root_at(size).await.map_err(ReplayError::from)?;
        let io = |source| KeepError::Io { file: self.file.clone(), source };
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(self.program().map_err(io)?);
        head.extend_from_slice(&size.to_be_bytes());
        head.extend_from_slice(root.as_bytes());
        self.write(head, &Cut::new(world))?;
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
        let length = file.metadata()?.len();
        if !(HEAD as u64..MOST_BYTES).contains(&length) {
            return Err(Unfit::NotOne);
        }
        let mut start = BufReader::new(&file);
        let mut signed = vec![0; HEAD];
        start.read_exact(&mut signed)?;
        let count = signed.last_chunk::<4>().map_or(0, |count| u32::from_be_bytes(*count) as usize);
        if !signed.starts_with(MAGIC) || count > MOST_PARTS {
            return Err(Unfit::NotOne);
        }
        let mut tag = [0; DIGEST];
        signed.resize(HEAD + count * LINE, 0);
        let table = signed.get_mut(HEAD..).unwrap_or_default();
        start.read_exact(table).and_then(|()| start.read_exact(&mut tag)).map_err(|_| Unfit::NotOne)?;
        hmac::verify(&self.key, &signed, &tag).map_err(|_| Unfit::NotOurs)?;
        let (head, table) = signed.split_at_checked(HEAD).ok_or(Unfit::NotOne)?;
        let rest = head.get(MAGIC.len()..).unwrap_or_default();
        let (program, rest) = rest.split_first_chunk::<DIGEST>().ok_or(Unfit::NotOne)?;
        if program != self.program()? {
            return Err(Unfit::OtherProgram);
        }
        let (said, rest) = rest.split_first_chunk::<8>().ok_or(Unfit::NotOne)?;
        let said = u64::from_be_bytes(*said);
        let root = *rest.first_chunk::<DIGEST>().ok_or(Unfit::NotOne)?;
        if said > store.head().size || store.root_at(said).await.ok() != Some(Hash(root)) {
            return Err(Unfit::OtherLog);
        }
        let places = places(table, (signed.len() + DIGEST) as u64);
        if places.last().map(|last| last.at + last.length as u64) != Some(length) {
            return Err(Unfit::NotOne);
        }
        let read = tokio::task::spawn_blocking(move || assembled(&file, &places)).await;
        let world = read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        if world.next_pos != said {
            return Err(Unfit::OtherSize { found: world.next_pos, said });
        }
        Ok(world)
    }

    /// A file that is there is whole: kill -9 at any line leaves the one before, or the new one. The parts come first, their
    /// table is written over what was left free for it.
    fn write(&self, mut signed: Vec<u8>, world: &Cut<'_>) -> Result<(), KeepError> {
        let io = |source| KeepError::Io { file: self.file.clone(), source };
        let count = u32::try_from(world.count()).map_err(|e| io(io::Error::other(e)))?;
        signed.extend_from_slice(&count.to_be_bytes());
        let unfinished = self.file.with_extension("unfinished");
        let mut file = private(&unfinished).map_err(io)?;
        file.seek(SeekFrom::Start((HEAD + world.count() * LINE + DIGEST) as u64)).map_err(io)?;
        for part in world.parts() {
            let part = part?;
            signed.extend_from_slice(&(part.len() as u64).to_be_bytes());
            signed.extend_from_slice(digest(&SHA256, &part).as_ref());
            file.write_all(&part).map_err(io)?;
        }
        let tag = hmac::sign(&self.key, &signed);
        signed.extend_from_slice(tag.as_ref());
        let finish = || -> io::Result<()> {
            file.write_all_at(&signed, 0)?;
            file.sync_all()?;
            fs::rename(&unfinished, &self.file)?;
            match self.file.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        };
        finish().map_err(io)
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

/// Where a part lies, and what it must be.
struct Place {
    at: u64,
    length: usize,
    digest: [u8; DIGEST],
}

fn places(table: &[u8], first: u64) -> Vec<Place> {
    let mut at = first;
    let lines = table.as_chunks::<LINE>().0.iter();
    let place = lines.filter_map(|line| {
        let (length, digest) = line.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let place = Place { at, length, digest: digest.try_into().ok()? };
        at = at.checked_add(length as u64)?;
        Some(place)
    });
    place.collect()
}

/// Reads the parts on all cores; none is decoded before its digest, which is under the MAC, was found right.
fn assembled(file: &File, places: &[Place]) -> Result<World, Unfit> {
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    // A few parts ahead of whoever puts them together: memory is bounded.
    let (send, receive) = mpsc::sync_channel(readers);
    std::thread::scope(|scope| {
        for _ in 0..readers {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Nobody listens any more once one was bad.
                    if send.send(part(file, place)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut assembly = Assembly::default();
        for part in receive {
            assembly.add(part?)?;
        }
        Ok(assembly.world()?)
    })
}

fn part(file: &File, place: &Place) -> Result<Part, Unfit> {
    let mut bytes = vec![0; place.length];
    file.read_exact_at(&mut bytes, place.at)?;
    if digest(&SHA256, &bytes).as_ref() != place.digest {
        return Err(Unfit::NotOurs);
    }
    Ok(Part::read(&bytes)?)
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

/// Folds on up to `end`, a position that the log has. What lies before the world's own next position is in it already.
async fn follow(store: &Store, mut world: World, end: u64) -> Result<Followed, ReplayError> {
    let resumed_at = world.next_pos;
    // Two batches ahead of the fold: reading and decoding is the longer part of it, and runs on another core.
    let (send, mut batches) = tokio::sync::mpsc::channel(2);
    tokio::spawn(read_on(store.clone(), resumed_at, send));
    while world.next_pos < end
        && let Some(batch) = batches.recv().await
    {
        for (origin, event) in batch?.into_iter().take_while(|(origin, _)| origin.pos < end) {
            if let Some(Event::PayloadErased { pos, .. }) = &event
                && *pos < resumed_at
            {
                return Ok(Followed::Erased { pos: *pos });
            }
            world.apply(origin, event.as_ref());
        }
    }
    // A reader that died is no end of the log.
    if world.next_pos < end {
        return Err(ReadError::Unavailable(format!("reading ended at {} of {end}", world.next_pos)).into());
    }
    Ok(Followed::All(Box::new(world)))
}

type Batch = Result<Vec<(Origin, Option<Event>)>, ReplayError>;

/// Reads from `next` on to the end, or until nobody listens any more.
async fn read_on(store: Store, mut next: u64, send: tokio::sync::mpsc::Sender<Batch>) {
    loop {
        let batch = match store.range(next, BATCH).await {
            Ok(stored) if stored.is_empty() => return,
            Ok(stored) => {
                next += stored.len() as u64;
                let read = |stored: &StoredEvent| Ok((origin(&stored.header), decoded(stored)?));
                stored.iter().map(read).collect()
            }
            Err(error) => Err(error.into()),
        };
        let failed = batch.is_err();
        if send.send(batch).await.is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use lanyard_domain::id::StreamId;
    use lanyard_domain::time::Timestamp;
    use lanyard_ledger::note::NoteSigner;
    use lanyard_store::{Append, NewEvent, Options};

    use super::*;

    // R51: what is erased while a snapshot is being folded lies behind the snapshot's end, where a start after a kill finds it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_snapshot_ends_where_the_log_ended_when_it_was_begun() {
        let dir = tempfile::tempdir().unwrap();
        let signer = NoteSigner::from_seed("snapshot.test/log", &[7; 32]).unwrap();
        let options = Options::new(signer, dir.path().join("anchor"));
        let store = Store::open(&dir.path().join("log"), options).unwrap();
        let now = Timestamp::from_seconds(1_795_348_800);
        for seq in 0..3 {
            let event = Event::LogIdle {};
            let payload = event.to_payload().unwrap();
            let event = NewEvent { kind: event.kind(), payload, actor: [0; 16], policy: Hash([0; 32]) };
            store.append(Append::new(*StreamId::SYSTEM.as_bytes(), 0, seq, vec![event], now)).await.unwrap();
        }
        let cache = Cache::new(dir.path(), b"key");
        let restored = cache.restore_to(&store, 2).await.unwrap();
        assert_eq!((restored.world.next_pos, restored.resumed_at), (2, 0));
        assert_eq!(cache.keep_this(&store, &restored.world).await.unwrap(), 2);
        let restored = cache.restore(&store).await.unwrap();
        assert_eq!((restored.world.next_pos, restored.resumed_at), (3, 2));
    }
}
