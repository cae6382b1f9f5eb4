//! Evidence: what a bundle's events *mean*. The structure (signatures, proofs, chains) is `lanyard_ledger::bundle`'s.
//!
//! [`claim`] says what is claimed, [`history`] is the one fold of log lines to a device's state, [`collect`] puts a
//! bundle together from loaded leaves, [`verify`] reads one offline and says what holds. Exporter and verifier share the
//! fold, so they cannot disagree about what a chain means. Rules for other implementers: `docs/evidence-bundle.md`
//! chapter 9 and `docs/event-catalogue.md`. Everything here is pure: no clock, no network, no store.
//!
//! To add a check: a file in `verify/` with one function, a line in `verify::CHECKS`, a test in which it says no, its
//! paragraph in chapter 9 and its lines in `tests/interop/bundle/verify.py`.

mod authorities;
pub mod claim;
pub mod collect;
pub mod history;
pub mod verify;

#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

pub use claim::{CLAIM_FORMAT, Claim, DeviceState, ReadingFacts};
pub use collect::{
    CollectError, GatewayPart, Parts, Related, SYSTEM_KINDS, StoredLeaf, Subject, assemble, make_claim,
    related,
};
pub use history::{History, Horizon, Line, state_at};
pub use verify::{CheckLine, CheckResult, Report, verify};
