//! The event log on bundled SQLite: one writer, group commit, gap-free order, signed checkpoints, proofs.
//!
//! In scope: opaque events (kind, payload bytes, header fields) appended to streams under an expected version; claims on
//! keys, idempotency and outbox rows in the same transaction; the Merkle tree over the entries; sealing; erasing
//! payloads; checking a whole log. Out of scope: what events mean (`lanyard-domain`), clocks (times are arguments), who
//! may append. The control plane and each gateway use the same store for their own log.
//!
//! Words: an event is *durable* when its transaction is on disk, *sealed* when a signed checkpoint over it lies in the
//! anchor directory, *witnessed* when enough others cosigned such a checkpoint.
//!
//! State and its loss: `log.db` is the record (lost: restore, then the anchor refuses to continue a fork; rolled back:
//! open answers [`OpenError::Behind`]; written by an attacker: [`check`] names the first difference, unless the signing
//! key is theirs too). The anchor directory holds the newest signed checkpoint (lost: open refuses until told to write
//! it back; rolled back: treated as lost; written by an attacker: its signature fails and open refuses).
//!
//! To add a table: a new migration in `schema`, its rows in `writer::persist`, its check in `check`. To add another
//! engine: the contract in `tests/it/contract.rs` is written over [`Store`] and runs against it.

pub mod anchor;
pub mod append;
mod audit;
pub mod check;
mod codec;
pub mod event;
#[doc(hidden)]
pub mod fault;
mod lock;
pub mod open;
mod outbox;
mod pool;
pub mod read;
mod schema;
pub mod seal;
mod snapshot;
mod store;
mod tiles;
mod writer;

pub use append::{Append, AppendError, Appended, Claim, NewEvent, OutboxItem};
pub use audit::AuditError;
pub use check::{CheckError, CheckReport, FirstDifference, Trust, check, check_each};
pub use event::{Level, StoredEvent};
pub use open::{LostAnchor, OpenError, Options, Unclean};
pub use outbox::OutboxRow;
pub use read::ReadError;
pub use seal::{SealError, SealedCheckpoint};
pub use snapshot::Snapshot;
pub use store::{DurableHead, Store};

/// What an append is about; the domain gives the numbers their meaning.
pub type StreamId = [u8; 16];
