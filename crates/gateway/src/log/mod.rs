//! The gateway's own log of access decisions, a sub-log of the main one (ADR 0002): `AccessDecided` is on disk before a
//! request leaves, `AccessCompleted` before the device hears of success (I3, I4).
//!
//! In scope: order and durability (`writer`), a bound on what a hostile device can make us write (`denials`), finding the
//! decision behind a resource (`locations`). Out of scope: anchoring (`feed`), the format (`lanyard-ledger`).
//!
//! State and its loss: `log/` holds the log (lost: decisions since the last backup cannot be proven any more, the anchored
//! checkpoints say how many; rolled back: the store refuses to open, see `lanyard-store`; written by an attacker: the
//! checkpoints anchored in the main log no longer match). `locations.idx` is rebuilt from it.

mod denials;
mod locations;
mod writer;

use std::path::Path;

use lanyard_api::gateway::ProvenLeaf;
use lanyard_domain::access::POLICY;
use lanyard_domain::event::{AccessRecord, Event, EventError, StreamKind};
use lanyard_domain::id::{DecisionId, GatewayId, StreamId};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Reason;
use lanyard_ledger::hash::sha256;
use lanyard_ledger::note::NoteSigner;
use lanyard_store::{
    AppendError, NewEvent, OpenError, Options, ReadError, SealError, SealedCheckpoint, Store,
};

use denials::Denials;
use locations::Locations;
use writer::{Entry, Writer};

/// Why something was not recorded or not found.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log did not open.
    #[error("the decision log cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// It did not record.
    #[error("the decision log cannot record: {0}")]
    Append(#[from] AppendError),
    /// It could not be read.
    #[error("the decision log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// It could not be sealed.
    #[error("the decision log cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// A payload is not an event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The index of locations failed.
    #[error("the index of the decision log failed: {0}")]
    Index(#[from] std::io::Error),
}

/// The decision log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DecisionLog {
    store: Store,
    writer: Writer,
    actor: [u8; 16],
    denials: std::sync::Arc<Denials>,
    locations: std::sync::Arc<tokio::sync::Mutex<Locations>>,
}

/// The leaves behind a resource, not yet with proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Positions: decision, completion.
    pub positions: Vec<u64>,
}

impl DecisionLog {
    /// Opens or creates the log in `dir`; its checkpoints are anchored in `anchor_dir` too, best on another disk.
    pub fn open(
        dir: &Path,
        anchor_dir: &Path,
        signer: NoteSigner,
        gateway: GatewayId,
    ) -> Result<DecisionLog, LogError> {
        let store = Store::open(dir, Options::new(signer, anchor_dir.to_owned()))?;
        Ok(DecisionLog {
            writer: Writer::start(store.clone()),
            actor: *gateway.as_bytes(),
            denials: std::sync::Arc::new(Denials::default()),
            locations: std::sync::Arc::new(tokio::sync::Mutex::new(Locations::open(
                &dir.join("locations.idx"),
            )?)),
            store,
        })
    }

    /// Records a decision; returns when it is on disk.
    pub async fn decided(&self, record: AccessRecord, now: Timestamp) -> Result<(), LogError> {
        let entry =
            self.entry(record.device.map(StreamId::from), Event::AccessDecided(Box::new(record)), now)?;
        Ok(self.writer.append(vec![entry]).await?)
    }

    /// Records a refusal, without making the peer wait. Within limits: see `denials`.
    pub fn refused(&self, mut record: AccessRecord, now: Timestamp) {
        let Some(suppressed) = self.denials.admit(record.device, now) else { return };
        if suppressed > 0 {
            record.reasons.push(Reason::new(
                "refusals_not_recorded",
                format!(
                    "Before this one {suppressed} refusals of the same peer were counted but not recorded."
                ),
            ));
        }
        let stream = record.device.map(StreamId::from);
        match self.entry(stream, Event::AccessDecided(Box::new(record)), now) {
            Ok(entry) => self.writer.append_later(entry),
            Err(error) => tracing::error!(%error, "a refusal could not be recorded"),
        }
    }

    /// Records what the EHR did; one completion for each resource written, or one without location.
    pub async fn completed(&self, done: Completion, now: Timestamp) -> Result<(), LogError> {
        let mut locations: Vec<Option<String>> = done.written.into_iter().map(Some).collect();
        if locations.is_empty() {
            locations.push(None);
        }
        let entries = locations
            .into_iter()
            .map(|location| {
                let event = Event::AccessCompleted {
                    decision: done.decision,
                    status: done.status,
                    location,
                    response_sha256: done.response_sha256,
                };
                self.entry(done.stream, event, now)
            })
            .collect::<Result<_, _>>()?;
        Ok(self.writer.append(entries).await?)
    }

    fn entry(&self, stream: Option<StreamId>, event: Event, now: Timestamp) -> Result<Entry, LogError> {
        let (stream, kind) = match stream {
            Some(stream) => (stream, StreamKind::Device),
            None => (StreamId::SYSTEM, StreamKind::System),
        };
        let event = NewEvent {
            kind: event.kind(),
            payload: event.to_payload()?,
            actor: self.actor,
            policy: sha256(&[POLICY.as_bytes()]),
        };
        Ok(Entry { stream: *stream.as_bytes(), stream_kind: kind as u8, event, now })
    }

    /// Seals what is durable; `None` when there is nothing at all.
    pub async fn seal(&self, now: Timestamp) -> Result<Option<SealedCheckpoint>, LogError> {
        Ok(match self.store.seal(now).await? {
            Some(fresh) => Some(fresh),
            None => self.store.latest_checkpoint(),
        })
    }

    /// Size of the first checkpoint over more than `size` events.
    pub async fn sealed_after(&self, size: u64) -> Result<Option<u64>, LogError> {
        let next = self.store.checkpoint_covering(size.saturating_add(1)).await?;
        Ok(next.map(|checkpoint| checkpoint.size))
    }

    /// Proof that the log at `old` is a prefix of the log at `new`.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, LogError> {
        let proof = self.store.consistency_proof(old, new).await?;
        Ok(proof.into_iter().map(|hash| Digest(hash.0)).collect())
    }

    /// The leaves behind the resource that the EHR named `location`; the newest completion counts.
    pub async fn find(&self, location: &str) -> Result<Option<Found>, LogError> {
        let candidates = {
            let mut locations = self.locations.lock().await;
            locations.catch_up(&self.store).await?;
            locations.candidates(location)?
        };
        for pos in candidates.into_iter().rev() {
            let Some((decision, prev)) = self.completion(pos, location).await? else { continue };
            if let Some(decided) = self.decision_before(prev, decision).await? {
                return Ok(Some(Found { positions: vec![decided, pos] }));
            }
        }
        Ok(None)
    }

    /// The leaves with proofs under the checkpoint of `size`.
    pub async fn prove(&self, found: &Found, size: u64) -> Result<Vec<ProvenLeaf>, LogError> {
        let mut leaves = Vec::with_capacity(found.positions.len());
        for pos in &found.positions {
            let Some(event) = self.store.event(*pos).await? else { continue };
            let proof = self.store.inclusion_proof(*pos, size).await?;
            leaves.push(ProvenLeaf {
                entry: Blob(event.entry),
                salt: event.salt.map(|salt| Blob(salt.to_vec())),
                payload: event.payload.map(Blob),
                proof: proof.into_iter().map(|hash| Digest(hash.0)).collect(),
            });
        }
        Ok(leaves)
    }

    /// Keeps the index of locations close to the log, so that a question does not have to wait for a long catch-up.
    pub async fn index(&self) -> Result<(), LogError> {
        self.locations.lock().await.catch_up(&self.store).await
    }

    /// The completion at `pos`, when it is one of `location`: its decision, and where its stream's leaf before lies.
    async fn completion(&self, pos: u64, location: &str) -> Result<Option<(DecisionId, u64)>, LogError> {
        let Some(stored) = self.store.event(pos).await? else { return Ok(None) };
        let (Some(payload), Some(prev)) = (&stored.payload, stored.header.prev) else { return Ok(None) };
        Ok(match Event::from_payload(stored.header.kind, payload)? {
            Event::AccessCompleted { decision, location: Some(found), .. } if found == location => {
                Some((decision, prev.pos))
            }
            _ => None,
        })
    }

    /// Walks the device's chain back from `pos` to the decision. A device has few requests in flight.
    async fn decision_before(&self, mut pos: u64, wanted: DecisionId) -> Result<Option<u64>, LogError> {
        // 4096: above what one device can have decided while its slowest request waited for the EHR.
        for _ in 0..4096 {
            let Some(stored) = self.store.event(pos).await? else { return Ok(None) };
            let decided = match &stored.payload {
                Some(payload) => Event::from_payload(stored.header.kind, payload)?,
                None => return Ok(None),
            };
            if matches!(&decided, Event::AccessDecided(record) if record.decision == wanted) {
                return Ok(Some(pos));
            }
            match stored.header.prev {
                Some(prev) => pos = prev.pos,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Number of decisions and completions on disk.
    pub fn size(&self) -> u64 {
        self.store.head().size
    }

    /// Writes what is queued and closes the log.
    pub async fn close(self) {
        self.writer.drain().await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the decision log did not close cleanly; the next start checks it");
        }
    }
}

/// What the EHR did with an allowed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The decision.
    pub decision: DecisionId,
    /// The device's stream.
    pub stream: Option<StreamId>,
    /// What the device hears.
    pub status: u16,
    /// `Type/id` of what was written.
    pub written: Vec<String>,
    /// SHA-256 of the EHR's answer.
    pub response_sha256: Digest,
}
