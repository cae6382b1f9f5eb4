//! The Attester: what runs on a medical device. It earns an identity that is bound to the device's root of trust,
//! keeps proving the device's state, renews before anything expires, and never gives up.
//!
//! In scope: [`tpm`] (where keys live), [`measure`] (what was measured), the four calls to the control plane
//! ([`enroll`], [`attest`], [`renew`], [`token`]), the standard protocols in place of them ([`protocol`]), the loop that paces them ([`run`]), and the device's own way to the
//! gateway ([`fhir`]). Out of scope: appraising evidence (`lanyard_attest`), deciding trust (the control plane).
//!
//! Everything shown to people is in [`status::Status`]; everything kept is listed in [`state`].
//! To add a call: a file beside `attest.rs` with one method of [`Agent`], and its place in [`run`]'s plan.

pub mod agent;
pub mod attest;
pub mod config;
pub mod enroll;
pub mod error;
pub mod fhir;
pub mod identity;
pub mod measure;
pub mod offline;
mod pace;
mod proof;
pub mod protocol;
pub mod renew;
pub mod run;
pub mod state;
pub mod status;
pub mod token;
pub mod tpm;

#[cfg(test)]
mod testkit;

pub use agent::Agent;
pub use config::AgentConfig;
pub use error::AgentError;
