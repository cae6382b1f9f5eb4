//! The evidence bundle: one file that proves, offline and years later, what a ledger said about a device.
//!
//! [`decode`] reads the file strictly (one encoding for one content), [`verify`] checks that every byte of it
//! stands under a signature, and [`Builder`] writes it. The format is specified in `docs/evidence-bundle.md`;
//! a verifier written from that page alone lives in `tests/interop/bundle/`.
//!
//! The rule behind every other rule: *flipping any one bit makes verification fail and names the failing
//! part*. So nothing redundant exists in the format: no unused key, proof, signature line or attachment.
//!
//! In scope: structure, signatures, proofs, chains, commitments. Out of scope: what an event or a claim means
//! (crate `control` reads [`Verified`]), files and clocks (callers bring bytes).
//!
//! To add a part to the format: a new integer key and a new format text in `format.rs`, its rule as a step of
//! `verify.rs` with a [`Part`], its paragraph in the docs, its case in the vectors and in the Python verifier.

mod builder;
mod decode;
mod encode;
mod flaw;
mod format;
mod keys;
mod leaves;
mod quotes;
mod verified;
mod verify;

#[cfg(test)]
mod tests;

pub use builder::{BuildError, Builder};
pub use decode::decode;
pub use encode::encode;
pub use flaw::{Flaw, Part};
pub use format::{Bundle, FORMAT, Leaf, Log, Opening, limit};
pub use verified::{
    Anchor, Attachment, Cosignature, Level, LogHead, LogKey, OpenedLeaf, Outcome, Segment, TrustPolicy,
    Verified,
};
pub use verify::verify;
