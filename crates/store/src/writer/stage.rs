//! The rules of a request, applied in memory before anything is written: expected version, claims, idempotency; then
//! positions, times, salts and leaf hashes.
//!
//! A request is checked as a whole first and only then staged, so one that is refused leaves no trace in the batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;
use lanyard_ledger::leaf::{self, ENTRY_LEN, LeafHeader, Prev, SALT_LEN};
use rusqlite::{Connection, Error, OptionalExtension, params};

use super::{Head, StreamHead};
use crate::StreamId;
use crate::append::{Append, AppendError, Appended, NewEvent};
use crate::codec::{blob, int, unsigned};
use crate::read::MARK_EVERY;
use crate::seal::SealedCheckpoint;
use crate::snapshot::Snapshot;

type Owners = HashMap<(u8, [u8; 32]), StreamId>;

/// Everything one transaction will write.
pub(super) struct Staged {
    pub(super) next: u64,
    pub(super) time: i64,
    pub(super) next_stream_no: i64,
    pub(super) leaves: Vec<Hash>,
    pub(super) events: Vec<EventRow>,
    /// Heads that change.
    pub(super) streams: HashMap<StreamId, StreamHead>,
    /// Stream number, block, position.
    pub(super) marks: Vec<(i64, u64, u64)>,
    /// With the position that made the claim.
    pub(super) claims: Vec<(u8, [u8; 32], StreamId, u64)>,
    pub(super) idempotency: Vec<([u8; 32], Appended)>,
    pub(super) outbox: Vec<(u8, u64, Vec<u8>)>,
    pub(super) blobs: Vec<Vec<u8>>,
    pub(super) labels: Vec<([u8; 32], u64)>,
    pub(super) erase: Vec<u64>,
    pub(super) checkpoints: Vec<SealedCheckpoint>,
    pub(super) outbox_done: Vec<(u8, u64)>,
    pub(super) snapshots: Vec<(String, Snapshot)>,
    owners: Owners,
    answered: HashMap<[u8; 32], Appended>,
}

pub(super) struct EventRow {
    pub(super) pos: u64,
    pub(super) entry: [u8; ENTRY_LEN],
    pub(super) salt: [u8; SALT_LEN],
    pub(super) payload: Vec<u8>,
}

pub(super) enum StageError {
    Refused(AppendError),
    Storage(String),
}

impl From<Error> for StageError {
    fn from(error: Error) -> Self {
        StageError::Storage(error.to_string())
    }
}

impl From<AppendError> for StageError {
    fn from(refused: AppendError) -> Self {
        StageError::Refused(refused)
    }
}

/// What was committed before this batch.
struct Base<'a> {
    db: &'a Connection,
    streams: &'a HashMap<StreamId, StreamHead>,
}

impl Staged {
    pub(super) fn new(head: &Head) -> Staged {
        Staged {
            next: head.next,
            time: head.time,
            next_stream_no: head.next_stream_no,
            leaves: Vec::new(),
            events: Vec::new(),
            streams: HashMap::new(),
            marks: Vec::new(),
            claims: Vec::new(),
            idempotency: Vec::new(),
            outbox: Vec::new(),
            blobs: Vec::new(),
            labels: Vec::new(),
            erase: Vec::new(),
            checkpoints: Vec::new(),
            outbox_done: Vec::new(),
            snapshots: Vec::new(),
            owners: HashMap::new(),
            answered: HashMap::new(),
        }
    }

    /// Nothing to write: every request was refused.
    pub(super) fn is_empty(&self) -> bool {
        let others = self.checkpoints.len() + self.outbox_done.len() + self.snapshots.len();
        self.events.is_empty() && others == 0
    }

    /// All appends of one request or none.
    pub(super) fn appends(
        &mut self,
        db: &Connection,
        streams: &HashMap<StreamId, StreamHead>,
        appends: Vec<Append>,
    ) -> Result<Vec<Appended>, StageError> {
        let base = Base { db, streams };
        let mut heads = self.check(&base, &appends)?;
        let count = appends.iter().map(|a| a.events.len()).sum();
        let mut salts = random_salts(count)?.into_iter();
        Ok(appends.into_iter().map(|append| self.stage(&mut heads, append, &mut salts)).collect())
    }

    /// Heads of the streams as they are before the request, if it may pass.
    fn check(
        &self,
        base: &Base<'_>,
        appends: &[Append],
    ) -> Result<HashMap<StreamId, Option<StreamHead>>, StageError> {
        let mut heads = HashMap::new();
        let mut added = HashMap::new();
        let mut taken = Owners::new();
        let mut keys = Vec::new();
        for append in appends {
            if let Some(key) = append.idempotency {
                if let Some(first) = self.answered(base, &key)? {
                    return Err(AppendError::Duplicate(first).into());
                }
                if keys.contains(&key) {
                    let why = "two appends of one request have the same idempotency key";
                    return Err(AppendError::Unavailable(why.to_owned()).into());
                }
                keys.push(key);
            }
            let head = match heads.entry(append.stream) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(slot) => *slot.insert(self.stream_head(base, &append.stream)?),
            };
            check_version(append, head, &mut added)?;
            for (stream, expected) in &append.steady {
                let head = match heads.entry(*stream) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(slot) => *slot.insert(self.stream_head(base, stream)?),
                };
                let found = head.map_or(0, |h| h.next_seq);
                if found != *expected {
                    return Err(AppendError::Conflict { stream: *stream, expected: *expected, found }.into());
                }
            }
            for claim in &append.claims {
                let key = (claim.space, claim.key);
                let owner = match taken.get(&key) {
                    Some(owner) => Some(*owner),
                    None => self.owner(base, key)?,
                };
                match owner {
                    Some(owner) if owner != append.stream => {
                        return Err(AppendError::ClaimTaken { space: claim.space, owner }.into());
                    }
                    _ => taken.insert(key, append.stream),
                };
            }
            if let Some(pos) = append.erase.iter().find(|pos| **pos >= self.next) {
                return Err(AppendError::NoSuchEvent(*pos).into());
            }
        }
        Ok(heads)
    }

    fn stage(
        &mut self,
        heads: &mut HashMap<StreamId, Option<StreamHead>>,
        append: Append,
        salts: &mut impl Iterator<Item = [u8; SALT_LEN]>,
    ) -> Appended {
        self.time = self.time.max(append.now.as_micros());
        let first_pos = self.next;
        let mut head = heads.get(&append.stream).copied().flatten().unwrap_or_else(|| {
            let no = self.next_stream_no;
            self.next_stream_no += 1;
            StreamHead { no, kind: append.stream_kind, next_seq: 0, last: None }
        });
        let mut leaves = Vec::with_capacity(append.events.len());
        for (event, salt) in append.events.into_iter().zip(salts) {
            leaves.push(self.event(append.stream, &mut head, event, salt));
        }
        heads.insert(append.stream, Some(head));
        self.streams.insert(append.stream, head);
        for claim in append.claims {
            let key = (claim.space, claim.key);
            if self.owners.insert(key, append.stream).is_none() {
                self.claims.push((claim.space, claim.key, append.stream, first_pos));
            }
        }
        // `pos` is in one append only, so `pos` and a number within it are unique and grow with the log.
        let ids = (first_pos << 16 | 1)..;
        self.outbox.extend(ids.zip(append.outbox).map(|(id, item)| (item.topic, id, item.body)));
        self.erase.extend(append.erase);
        self.blobs.extend(append.blobs);
        self.labels.extend(append.labels.into_iter().map(|key| (key, first_pos)));
        let time = Timestamp::from_micros(self.time);
        let appended = Appended { first_pos, next_seq: head.next_seq, leaves, time };
        if let Some(key) = append.idempotency {
            self.answered.insert(key, appended.clone());
            self.idempotency.push((key, appended.clone()));
        }
        appended
    }

    fn event(
        &mut self,
        stream: StreamId,
        head: &mut StreamHead,
        event: NewEvent,
        salt: [u8; SALT_LEN],
    ) -> Hash {
        let pos = self.next;
        let header = LeafHeader {
            kind: event.kind,
            pos,
            time_micros: self.time,
            stream_kind: head.kind,
            stream,
            seq: head.next_seq,
            prev: head.last,
            actor: event.actor,
            policy: event.policy,
        };
        let entry = leaf::encode(&header, &leaf::commit(&salt, &event.payload));
        let leaf = leaf::leaf_hash(&entry);
        if head.next_seq > 0 && head.next_seq.is_multiple_of(MARK_EVERY) {
            self.marks.push((head.no, head.next_seq / MARK_EVERY, pos));
        }
        head.next_seq += 1;
        head.last = Some(Prev { pos, leaf });
        self.next += 1;
        self.leaves.push(leaf);
        self.events.push(EventRow { pos, entry, salt, payload: event.payload });
        leaf
    }

    fn stream_head(&self, base: &Base<'_>, id: &StreamId) -> Result<Option<StreamHead>, Error> {
        if let Some(head) = self.streams.get(id).or_else(|| base.streams.get(id)) {
            return Ok(Some(*head));
        }
        let sql = "SELECT no, kind, next_seq, last_pos, last_leaf FROM stream WHERE id = ?1";
        let mut query = base.db.prepare_cached(sql)?;
        let found = query.query_row([&id[..]], |row| {
            let last = Some(Prev { pos: unsigned(row, 3)?, leaf: Hash(blob(row, 4)?) });
            Ok(StreamHead { no: row.get(0)?, kind: row.get(1)?, next_seq: unsigned(row, 2)?, last })
        });
        found.optional()
    }

    fn owner(&self, base: &Base<'_>, key: (u8, [u8; 32])) -> Result<Option<StreamId>, Error> {
        if let Some(owner) = self.owners.get(&key) {
            return Ok(Some(*owner));
        }
        let mut query = base.db.prepare_cached("SELECT stream FROM claim WHERE space = ?1 AND key = ?2")?;
        query.query_row(params![key.0, &key.1[..]], |row| blob(row, 0)).optional()
    }

    fn answered(&self, base: &Base<'_>, key: &[u8; 32]) -> Result<Option<Appended>, Error> {
        if let Some(first) = self.answered.get(key) {
            return Ok(Some(first.clone()));
        }
        let sql = "SELECT pos, events, next_seq, time FROM idem WHERE key = ?1";
        let mut query = base.db.prepare_cached(sql)?;
        let found = query.query_row([&key[..]], |row| {
            Ok((unsigned(row, 0)?, unsigned(row, 1)?, unsigned(row, 2)?, row.get(3)?))
        });
        let Some((first_pos, events, next_seq, time)) = found.optional()? else { return Ok(None) };
        let sql = "SELECT entry FROM event WHERE pos >= ?1 AND pos < ?2 ORDER BY pos";
        let mut query = base.db.prepare_cached(sql)?;
        let rows = query.query_map([int(first_pos), int(first_pos + events)], |row| {
            Ok(leaf::leaf_hash(row.get_ref(0)?.as_blob()?))
        })?;
        let (leaves, time) = (rows.collect::<Result<_, _>>()?, Timestamp::from_micros(time));
        Ok(Some(Appended { first_pos, next_seq, leaves, time }))
    }
}

/// Appends of the same request to the same stream count on each other: `added` is their number and the kind.
fn check_version(
    append: &Append,
    head: Option<StreamHead>,
    added: &mut HashMap<StreamId, (u64, u8)>,
) -> Result<(), AppendError> {
    let (stream, expected) = (append.stream, append.expected_seq);
    let fixed_kind = head.map_or(append.stream_kind, |h| h.kind);
    let (before, kind) = added.entry(stream).or_insert((0, fixed_kind));
    let found = head.map_or(0, |h| h.next_seq) + *before;
    if found != expected {
        return Err(AppendError::Conflict { stream, expected, found });
    }
    if *kind != append.stream_kind {
        return Err(AppendError::StreamKind { stream, expected: append.stream_kind, found: *kind });
    }
    *before += append.events.len() as u64;
    Ok(())
}

fn random_salts(count: usize) -> Result<Vec<[u8; SALT_LEN]>, StageError> {
    let mut bytes = vec![0u8; count * SALT_LEN];
    let failed = |_| StageError::Storage("the system gave no random bytes".to_owned());
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes.as_chunks::<SALT_LEN>().0.to_vec())
}
