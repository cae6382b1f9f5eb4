//! Evidence formats, their parsers, and the appraisal that turns evidence into an attestation result.
//!
//! In scope: TPM 2.0 structures, credential activation, quote and certify checks, endorsement chains, the
//! TCG event log, the freshness nonce, the wire form of evidence, and the appraisal against releases.
//! Out of scope: sockets, clocks, stores, TPM devices. Bytes and `now` come in, results come out (RFC 9334:
//! this is the Verifier's core; the Attester is `lanyard-agent`).
//!
//! Foreign bytes are parsed once, with a limit on every length, into types that later code can trust.
//! To add an evidence format: a folder beside `tpm/`, its own parser, checks that name themselves in
//! [`appraise`], vectors and a truncation test.

#![warn(missing_docs)]

pub mod appraise;
pub mod check;
pub mod evidence;
pub mod freshness;
pub mod tcg;
pub mod tpm;
pub mod webauthn;
pub mod wire;

#[cfg(test)]
mod testkit;
