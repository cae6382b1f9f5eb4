//! Enrollment protocols as sans-IO engines: bytes and `now` in, replies out; server sides and client sides.
//!
//! Whatever a client speaks, a server engine ends in one [`EnrollmentRequest`] and begins again with one [`Outcome`]:
//! the rules in between are `control`'s and know no protocol.
//!
//! In scope: wire formats, their limits, proof that the sender holds a key or a secret. Out of scope: sockets, TLS,
//! storage, who may have a certificate.
//!
//! To add a protocol: a folder with `server.rs` (and `client.rs`), a variant of [`Protocol`], its routes in
//! `server::http`, a suite in `tests/interop`.
#![warn(missing_docs)]

pub mod acme;
pub mod cmp;
pub mod est;
pub mod offline;
mod reply;
mod request;
pub mod scep;
pub mod secret;

pub use reply::Reply;
pub use request::{Authentication, EnrollmentRequest, Outcome, Protocol};
