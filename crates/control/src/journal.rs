//! The port to the log: what a use case records, and how that can go wrong. The server implements it over the store.

use std::future::Future;

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use crate::world::World;

/// Things that may belong to one stream only, for ever (I2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Space {
    /// Vendor, model and serial number of a device.
    Label = 1,
    /// Endorsement key.
    EndorsementKey = 2,
    /// Attestation key.
    AttestationKey = 3,
    /// TLS key of a device or gateway.
    TlsKey = 5,
}

/// A claim on one such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// What kind of thing.
    pub space: Space,
    /// Which, by digest.
    pub key: Digest,
}

/// Events to append to one stream.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Stream.
    pub stream: StreamId,
    /// Its kind.
    pub stream_kind: StreamKind,
    /// Events that the decision was made on; another number is a conflict.
    pub expected_seq: u64,
    /// Other streams that the decision rests on, with the events that each had; one that has moved on is a conflict.
    pub steady: Vec<(StreamId, u64)>,
    /// Who decided or spoke.
    pub actor: OperatorId,
    /// What.
    pub events: Vec<Event>,
    /// Claims, taken in the same transaction.
    pub claims: Vec<Claim>,
    /// Digest of a statement that may be carried out once; a second time is [`JournalError::Repeated`].
    pub once: Option<Digest>,
    /// Bytes kept beside the events by their SHA-256 (evidence).
    pub blobs: Vec<Vec<u8>>,
    /// Positions whose payload is deleted in the same transaction.
    pub erase: Vec<u64>,
}

impl Entry {
    /// Events and nothing else.
    pub fn new(
        (stream, stream_kind): (StreamId, StreamKind),
        expected_seq: u64,
        actor: OperatorId,
        events: Vec<Event>,
    ) -> Self {
        Self {
            stream,
            stream_kind,
            expected_seq,
            steady: Vec::new(),
            actor,
            events,
            claims: Vec::new(),
            once: None,
            blobs: Vec::new(),
            erase: Vec::new(),
        }
    }

    /// Events of the system stream, decided on `world`.
    pub fn system(world: &World, actor: OperatorId, events: Vec<Event>) -> Self {
        Self::new((StreamId::SYSTEM, StreamKind::System), world.system_seq, actor, events)
    }
}

/// Where the first entry's events lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event.
    pub pos: u64,
    /// Sequencer's time.
    pub time: Timestamp,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The stream moved on since the decision; decide again.
    #[error("the stream has moved on since the decision")]
    Conflict,
    /// Someone else's.
    #[error("claim in {space:?} is held by stream {owner}")]
    ClaimTaken {
        /// What kind of thing.
        space: Space,
        /// Whose it is.
        owner: StreamId,
    },
    /// The same statement was carried out before.
    #[error("this statement was carried out before, at position {0}")]
    Repeated(u64),
    /// The log cannot take it now; nothing was recorded.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// It is not known whether it was recorded; ask again, the answer will tell.
    #[error("it is not known whether the log took it: {0}")]
    Unknown(String),
}

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAt {
    /// Tree size.
    pub size: u64,
    /// Root hash.
    pub root: Digest,
    /// Signed note.
    pub note: String,
    /// When it stopped being the newest; `None` while it is.
    pub superseded: Option<Timestamp>,
}

/// The log, as a use case sees it.
pub trait Journal: Send + Sync {
    /// Appends all entries in one transaction, or none. On return the world has folded them in.
    fn append(
        &self,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Appended, JournalError>> + Send;

    /// The checkpoint of that size, if it was published within the last minutes.
    fn recent_checkpoint(&self, size: u64) -> Option<SealedAt>;

    /// The newest checkpoint.
    fn newest_checkpoint(&self) -> Option<SealedAt>;

    /// `durable`, `sealed` or `witnessed`.
    fn level(&self, pos: u64) -> &'static str;

    /// The certificate that the event at a position recorded; `None` when there is none, or its payload was erased.
    fn certificate_at(&self, pos: u64) -> impl Future<Output = Result<Option<Vec<u8>>, JournalError>> + Send;

    /// Whose event stands at a position: stream, its kind code, the event's kind code.
    fn event_at(
        &self,
        pos: u64,
    ) -> impl Future<Output = Result<Option<(StreamId, u8, u16)>, JournalError>> + Send;
}
