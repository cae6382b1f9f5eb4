//! Lanyard's use cases: load, decide, record, act, reply. The rules are in `domain`, `attest`, `pki`; here they meet
//! the log (port [`journal::Journal`]) and the signing keys.
//!
//! In scope: who may ask for what, in which order things are recorded and done. Out of scope: HTTP, SQL, sockets.
//! To add a use case: one file, methods on [`plane::Control`], the test that it says no.

pub mod accounts;
mod alarm;
pub mod appraise;
pub mod authority;
pub mod carry_out;
pub mod certify;
pub mod compromise;
pub mod digest;
pub mod enroll;
pub mod evidence;
pub mod gateway;
pub mod generation;
pub mod inventory;
pub mod journal;
pub mod makers;
pub mod names;
pub mod offline;
mod pace;
pub mod plane;
pub mod profiles;
pub mod renewals;
pub mod revocation;
pub mod rotation;
pub mod scep;
pub mod snapshot;
pub mod steering;
pub mod stores;
pub mod token;
pub mod upkeep;
pub mod watch;
pub mod world;
