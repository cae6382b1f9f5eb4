//! The tamper-evident log without IO: leaves, Merkle tree, tiles, signed checkpoints, proofs, and the evidence bundle.
//!
//! In scope: bytes in, hashes, proofs and verdicts out; the C2SP formats (signed-note, tlog-checkpoint, tlog-cosignature,
//! tlog-tiles, tlog-proof) and RFC 6962/9162 hashing. Out of scope: storage and order (`lanyard-store`), meaning of events
//! (`lanyard-domain`), clocks and randomness (arguments).
//! To add a format: one module with its parser, a length limit, and the three tests every parser here has (round trip,
//! truncation at each byte, every bit flipped).

#![warn(missing_docs)]

mod base64;
pub mod bundle;
pub mod checkpoint;
pub mod cosign;
pub mod hash;
pub mod leaf;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;
mod tree_proof;

pub use hash::Hash;
