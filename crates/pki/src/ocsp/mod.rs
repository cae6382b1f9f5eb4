//! OCSP (RFC 6960), in the lightweight profile (RFC 9919, which replaces 5019), with nonces of RFC 9654.
//!
//! The way of an answer: [`http`] cuts the request out of GET or POST -> [`Request::parse`] -> [`Responder::plan`] says
//! whether it can come from the [`ResponseCache`] -> else [`Responder::respond`] signs one -> [`http`] dresses it.
//! The way back: [`Ask`] makes a request, [`verify`] judges the answer.
//!
//! In scope: one issuer's certificates per [`Responder`], signed by a delegated key; unsigned requests (a signature on
//! one is passed over: it would give the asker no right that others lack). Out of scope: sockets, where the standing of a
//! certificate is stored (a function given to [`Responder::respond`]), other responders' answers relayed.
//!
//! What stands in memory only: the cache. Lost: answers are signed again.

mod cache;
mod cert_id;
mod data;
mod delegate;
pub mod http;
mod nonce;
mod read;
mod request;
mod responder;
mod response;

pub use cache::{CacheKey, Kept, ResponseCache, Ticket};
pub use cert_id::{CertId, HashKind, IssuerId};
pub use nonce::Nonce;
pub use read::{Answer, AnsweredBy, Ask, MAX_RESPONSE_BYTES, OcspError, verify};
pub use request::{BadRequest, MAX_ASKED, MAX_REQUEST_BYTES, Request};
pub use responder::{
    NeverIssued, Plan, Policy, PrepareResponderError, RespondError, Responder, ResponderError, Standing,
    prepare_responder,
};
pub use response::{ErrorStatus, Response};

#[cfg(test)]
mod tests;
