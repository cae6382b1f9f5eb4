//! The control plane's log: `control`'s [`Journal`] over the store, folding into the world in log order.
//!
//! A caller that goes away does not take its append with it: the append runs in a task of its own, so that every
//! position that was recorded is also folded. If it is not known whether the store took something, the journal stops
//! for good and the process must restart: only the log itself can say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use lanyard_control::journal::{Appended, Entry, Journal, JournalError, SealedAt, Space};
use lanyard_control::world::{Origin, Touched, World};
use lanyard_domain::event::Event;
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_ledger::hash::Hash;
use lanyard_store::{Append, AppendError, Level, NewEvent, ReadError, SealedCheckpoint, Store, StoredEvent};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a checkpoint is remembered after it was superseded: the longest window of any tier, doubled.
const REMEMBER_SECONDS: i64 = 600;

/// The log as the control plane uses it.
#[derive(Clone)]
pub struct LedgerJournal {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    world: Arc<RwLock<World>>,
    gate: Mutex<Gate>,
    /// Next position to fold; moves as the world does.
    folded: watch::Sender<u64>,
    recent: Mutex<VecDeque<SealedAt>>,
    listener: Box<dyn Fn(u64, Touched) + Send + Sync>,
    /// Hears that payloads were erased, before whoever asked for it does.
    erased: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Cancelled when the journal cannot go on.
    broken: CancellationToken,
}

/// Batches that were recorded but wait for an earlier position to be folded first.
#[derive(Default)]
struct Gate {
    waiting: BTreeMap<u64, Vec<(Origin, Event)>>,
}

/// Why the log could not be folded at start.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A payload is not what its header says.
    #[error("event at position {pos} cannot be folded: {source}; run `lanyard ledger check`")]
    Event {
        /// Where.
        pos: u64,
        /// Why.
        #[source]
        source: lanyard_domain::event::EventError,
    },
}

/// What a stored event says; `None` once its payload was erased.
pub(crate) fn decoded(stored: &StoredEvent) -> Result<Option<Event>, ReplayError> {
    stored
        .payload
        .as_deref()
        .map(|payload| Event::from_payload(stored.header.kind, payload))
        .transpose()
        .map_err(|source| ReplayError::Event { pos: stored.header.pos, source })
}

pub(crate) fn origin(header: &lanyard_ledger::leaf::LeafHeader) -> Origin {
    Origin {
        stream: StreamId::from_bytes(header.stream),
        stream_kind: header.stream_kind,
        pos: header.pos,
        time: Timestamp::from_micros(header.time_micros),
        actor: OperatorId::from_bytes(header.actor),
    }
}

impl LedgerJournal {
    /// A journal over a store whose events the world has folded. `listener` hears of every fold, in log order.
    pub fn new(
        store: Store,
        world: Arc<RwLock<World>>,
        listener: impl Fn(u64, Touched) + Send + Sync + 'static,
    ) -> Self {
        let next = world.read().unwrap_or_else(PoisonError::into_inner).next_pos;
        let recent = store.latest_checkpoint().map(sealed_at).into_iter().collect();
        Self {
            inner: Arc::new(Inner {
                store,
                world,
                gate: Mutex::default(),
                folded: watch::Sender::new(next),
                recent: Mutex::new(recent),
                listener: Box::new(listener),
                erased: OnceLock::new(),
                broken: CancellationToken::new(),
            }),
        }
    }

    /// Whom to tell that payloads were erased: whoever keeps copies of what they said.
    pub fn on_erasure(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _first = self.inner.erased.set(Box::new(tell));
    }

    /// The store beneath.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Cancelled when the journal cannot go on and the process must restart.
    pub fn broken(&self) -> CancellationToken {
        self.inner.broken.clone()
    }

    /// The world's next position.
    pub fn folded(&self) -> watch::Receiver<u64> {
        self.inner.folded.subscribe()
    }

    /// Remembers a checkpoint that has just been published.
    pub fn published(&self, checkpoint: SealedCheckpoint) {
        let mut recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let time = checkpoint.time;
        if recent.back().is_some_and(|last| last.size == checkpoint.size) {
            return;
        }
        if let Some(last) = recent.back_mut() {
            last.superseded = Some(time);
        }
        recent.push_back(sealed_at(checkpoint));
        while recent
            .front()
            .is_some_and(|old| old.superseded.is_some_and(|end| time.seconds_since(end) > REMEMBER_SECONDS))
        {
            recent.pop_front();
        }
    }
}

impl Inner {
    async fn append(self: Arc<Self>, entries: Vec<Entry>, now: Timestamp) -> Result<Appended, JournalError> {
        if self.broken.is_cancelled() {
            return Err(JournalError::Unavailable(
                "the log stopped after a fault; restart the process".to_owned(),
            ));
        }
        let appends: Vec<Append> = entries.iter().map(|e| to_append(e, now)).collect::<Result<_, _>>()?;
        let done = match self.store.append_many(appends).await {
            Ok(done) => done,
            Err(error) => return Err(self.failed(error).await),
        };
        if entries.iter().any(|entry| !entry.erase.is_empty())
            && let Some(tell) = self.erased.get()
        {
            tell();
        }
        let first = done.first().map(|d| Appended { pos: d.first_pos, time: d.time });
        let mut last = 0;
        for (entry, done) in entries.into_iter().zip(done) {
            last = done.first_pos + entry.events.len() as u64;
            self.fold(entry, done.first_pos, done.time);
        }
        // Whoever waits for this answer finds the world moved on; the positions before ours are on their way.
        self.caught_up(last).await?;
        first.ok_or_else(|| JournalError::Unavailable("nothing to append".to_owned()))
    }

    /// Waits until the world has everything before `pos`. It never will when a fold died: then nobody waits for it.
    async fn caught_up(&self, pos: u64) -> Result<(), JournalError> {
        let mut folded = self.folded.subscribe();
        tokio::select! {
            _ = folded.wait_for(|next| *next >= pos) => Ok(()),
            () = self.broken.cancelled() => Err(JournalError::Unknown(
                "the log stopped after a fault; restart the process".to_owned(),
            )),
        }
    }

    fn fold(&self, entry: Entry, first_pos: u64, time: Timestamp) {
        let batch: Vec<(Origin, Event)> = (first_pos..)
            .zip(entry.events)
            .map(|(pos, event)| {
                let origin = Origin {
                    stream: entry.stream,
                    stream_kind: entry.stream_kind as u8,
                    pos,
                    time,
                    actor: entry.actor,
                };
                (origin, event)
            })
            .collect();
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.waiting.insert(first_pos, batch);
        let mut next = *self.folded.borrow();
        while let Some(batch) = gate.waiting.remove(&next) {
            let mut touched = Vec::with_capacity(batch.len());
            {
                let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
                for (origin, event) in &batch {
                    touched.push(world.apply(*origin, Some(event)));
                }
            }
            next += batch.len() as u64;
            touched.dedup();
            for touched in touched {
                // The last position that is folded, not the next: what a gateway has heard counts up to and with it.
                (self.listener)(next.saturating_sub(1), touched);
            }
        }
        self.folded.send_replace(next);
    }

    async fn failed(&self, error: AppendError) -> JournalError {
        match error {
            AppendError::Conflict { .. } => {
                // Somebody was faster: decide again on a world that has their events.
                let head = self.store.head().size;
                match self.caught_up(head).await {
                    Ok(()) => JournalError::Conflict,
                    Err(error) => error,
                }
            }
            AppendError::ClaimTaken { space, owner } => {
                JournalError::ClaimTaken { space: space_of(space), owner: StreamId::from_bytes(owner) }
            }
            AppendError::Duplicate(first) => JournalError::Repeated(first.first_pos),
            AppendError::Busy => JournalError::Unavailable("the log is busy; try again".to_owned()),
            AppendError::Unknown(what) => {
                tracing::error!(%what, "it is not known whether the log took a batch; stopping, a restart will read what is there");
                self.broken.cancel();
                JournalError::Unknown(what)
            }
            AppendError::Unavailable(what) => {
                tracing::error!(%what, "the log is not available; stopping");
                self.broken.cancel();
                JournalError::Unavailable(what)
            }
            other => JournalError::Unavailable(other.to_string()),
        }
    }
}

impl Journal for LedgerJournal {
    async fn append(&self, entries: Vec<Entry>, now: Timestamp) -> Result<Appended, JournalError> {
        let task = tokio::spawn(Arc::clone(&self.inner).append(entries, now));
        task.await.unwrap_or_else(|error| {
            // A panic between record and fold: what was recorded is missing in the world, and everything after waits.
            tracing::error!(%error, "a fold died; stopping, a restart will read what is there");
            self.inner.broken.cancel();
            Err(JournalError::Unknown(error.to_string()))
        })
    }

    fn recent_checkpoint(&self, size: u64) -> Option<SealedAt> {
        let recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|c| c.size == size).cloned()
    }

    fn newest_checkpoint(&self) -> Option<SealedAt> {
        self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    fn level(&self, pos: u64) -> &'static str {
        match self.inner.store.level_of(pos) {
            Some(Level::Witnessed) => "witnessed",
            Some(Level::Sealed) => "sealed",
            _ => "durable",
        }
    }

    async fn certificate_at(&self, pos: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let stored =
            self.inner.store.event(pos).await.map_err(|e| JournalError::Unavailable(e.to_string()))?;
        let Some((kind, payload)) = stored.and_then(|s| Some((s.header.kind, s.payload?))) else {
            return Ok(None);
        };
        match Event::from_payload(kind, &payload) {
            Ok(
                Event::CertificateIssued { certificate, .. }
                | Event::GatewayCertified { certificate, .. }
                | Event::ServerCertified { certificate, .. },
            ) => Ok(Some(certificate.0)),
            _ => Ok(None),
        }
    }

    async fn event_at(&self, pos: u64) -> Result<Option<(StreamId, u8, u16)>, JournalError> {
        let found =
            self.inner.store.event(pos).await.map_err(|e| JournalError::Unavailable(e.to_string()))?;
        Ok(found.map(|e| (StreamId::from_bytes(e.header.stream), e.header.stream_kind, e.header.kind)))
    }
}

fn to_append(entry: &Entry, now: Timestamp) -> Result<Append, JournalError> {
    let policy = Hash(World::policy_digest().0);
    let events = entry
        .events
        .iter()
        .map(|event| {
            let payload = event.to_payload().map_err(|e| JournalError::Unavailable(e.to_string()))?;
            Ok(NewEvent { kind: event.kind(), payload, actor: *entry.actor.as_bytes(), policy })
        })
        .collect::<Result<Vec<_>, JournalError>>()?;
    let mut append =
        Append::new(*entry.stream.as_bytes(), entry.stream_kind as u8, entry.expected_seq, events, now);
    append.claims =
        entry.claims.iter().map(|c| lanyard_store::Claim { space: c.space as u8, key: c.key.0 }).collect();
    append.steady = entry.steady.iter().map(|(stream, seq)| (*stream.as_bytes(), *seq)).collect();
    append.idempotency = entry.once.map(|digest| digest.0);
    append.erase = entry.erase.clone();
    append.blobs = entry.blobs.clone();
    Ok(append)
}

fn space_of(code: u8) -> Space {
    match code {
        1 => Space::Label,
        2 => Space::EndorsementKey,
        3 => Space::AttestationKey,
        _ => Space::TlsKey,
    }
}

fn sealed_at(checkpoint: SealedCheckpoint) -> SealedAt {
    SealedAt {
        size: checkpoint.size,
        root: Digest(checkpoint.root.0),
        note: checkpoint.note,
        superseded: None,
    }
}
