//! What can be appended, and every answer to it.
//!
//! In scope: requests and answers as values. Out of scope: how they are batched and stored (`writer`).

use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;

use crate::StreamId;

/// Bytes of one request: attestation evidence of 4 MiB with its events. A batch of the writer may hold less, and
/// then ends with this request.
pub const MAX_REQUEST_BYTES: usize = 5 * 1024 * 1024;
/// Events of one request.
pub const MAX_REQUEST_EVENTS: usize = 4096;

/// An event before it has a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Number of the event kind.
    pub kind: u16,
    /// Erasable content; only a salted commitment goes into the log.
    pub payload: Vec<u8>,
    /// Pseudonymous id of who caused it; zeros for the system.
    pub actor: [u8; 16],
    /// Hash of the policy in force.
    pub policy: Hash,
}

/// A key that belongs to one stream for ever, such as an EK digest or a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// What kind of key.
    pub space: u8,
    /// Digest of the key.
    pub key: [u8; 32],
}

/// Work to do after the commit, kept until it is marked done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Which worker.
    pub topic: u8,
    /// What to do.
    pub body: Vec<u8>,
}

/// Events for one stream, recorded together with everything else here or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Stream.
    pub stream: StreamId,
    /// What the stream is about; fixed by its first append.
    pub stream_kind: u8,
    /// Number of events the caller believes the stream has.
    pub expected_seq: u64,
    /// Other streams that the decision rests on, with the number of events each had then: one that has moved on is a conflict
    /// too. Counted as before the request.
    pub steady: Vec<(StreamId, u64)>,
    /// At least one event.
    pub events: Vec<NewEvent>,
    /// Keys the stream takes.
    pub claims: Vec<Claim>,
    /// The same key again is answered with the first answer. Remembered for at least 7 days.
    pub idempotency: Option<[u8; 32]>,
    /// Caller's time; the log never goes back in time, so the recorded time may be later.
    pub now: Timestamp,
    /// Work for after the commit.
    pub outbox: Vec<OutboxItem>,
    /// Positions whose payload and salt are deleted; the caller's event says why.
    pub erase: Vec<u64>,
    /// Bytes kept beside the events under their SHA-256, which the caller's event names (evidence).
    pub blobs: Vec<Vec<u8>>,
    /// Digests under which the first event of this append is found again, see [`crate::Store::labelled`].
    pub labels: Vec<[u8; 32]>,
}

impl Append {
    /// One append with events only.
    pub fn new(
        stream: StreamId,
        stream_kind: u8,
        expected_seq: u64,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Append {
        let (claims, outbox, erase) = (Vec::new(), Vec::new(), Vec::new());
        let (blobs, labels, steady) = (Vec::new(), Vec::new(), Vec::new());
        let idempotency = None;
        Append {
            stream,
            stream_kind,
            expected_seq,
            steady,
            events,
            claims,
            idempotency,
            now,
            outbox,
            erase,
            blobs,
            labels,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        // 64: what a claim, an erasure or an outbox row costs besides its body.
        let rows =
            self.claims.len() + self.outbox.len() + self.erase.len() + self.blobs.len() + self.labels.len();
        let fixed = 64 * rows;
        let bodies: usize =
            self.outbox.iter().map(|o| o.body.len()).chain(self.blobs.iter().map(Vec::len)).sum();
        let events: usize =
            self.events.iter().map(|e| e.payload.len() + lanyard_ledger::leaf::ENTRY_LEN).sum();
        fixed + bodies + events
    }
}

/// Where an append went. When this is returned, the events are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event; the others follow without gap.
    pub first_pos: u64,
    /// Number of events the stream now has.
    pub next_seq: u64,
    /// Leaf hash of each event.
    pub leaves: Vec<Hash>,
    /// Recorded time.
    pub time: Timestamp,
}

/// Why nothing was appended, or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Someone else appended first.
    #[error("stream {} has {found} events, expected {expected}", hex(stream))]
    Conflict {
        /// Stream.
        stream: StreamId,
        /// What the caller expected.
        expected: u64,
        /// What the log has.
        found: u64,
    },
    /// The stream is about something else.
    #[error("stream {} is of kind {found}, not {expected}", hex(stream))]
    StreamKind {
        /// Stream.
        stream: StreamId,
        /// What the caller expected.
        expected: u8,
        /// What the log has.
        found: u8,
    },
    /// Another stream owns the key.
    #[error("a key of space {space} already belongs to stream {}", hex(owner))]
    ClaimTaken {
        /// What kind of key.
        space: u8,
        /// Stream that owns it.
        owner: StreamId,
    },
    /// The idempotency key was used before: this is what was answered then. Nothing was appended now.
    #[error("this request was already recorded at position {}", .0.first_pos)]
    Duplicate(Appended),
    /// Above a limit of this module.
    #[error(
        "request is too large: at most {MAX_REQUEST_EVENTS} events and {MAX_REQUEST_BYTES} bytes; split it"
    )]
    TooLarge,
    /// No events.
    #[error("request has no events")]
    Empty,
    /// Erasure of something that is not recorded.
    #[error("cannot erase position {0}: the log does not have it yet")]
    NoSuchEvent(u64),
    /// The queue is full; nothing was recorded. Retry later.
    #[error("log is busy: the queue of the writer is full")]
    Busy,
    /// Nothing was recorded and the log cannot record now.
    #[error("log is not available: {0}")]
    Unavailable(String),
    /// The storage did not say whether it recorded. Retry with the same idempotency key.
    #[error("not known whether this was recorded: {0}")]
    Unknown(String),
}

fn hex(id: &StreamId) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}
