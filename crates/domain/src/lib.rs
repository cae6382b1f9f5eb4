//! Lanyard's vocabulary and rules: ids, time, devices and their lifecycle, tiers, trust, releases,
//! operators, events and the signed statements behind them.
//!
//! In scope: what a hospital would recognise as a rule, written as pure functions over values.
//! Out of scope: IO, clocks, randomness, SQL, HTTP, cryptography (signatures are checked by callers).
//!
//! To add an event: a variant in [`event::Event`], its code in [`event::Event::kind`], and its effect in
//! the `apply` of the object that it changes. Codes are never reused.

pub mod access;
pub mod application;
pub mod authority;
pub mod compromise;
pub mod credential;
pub mod device;
pub mod endorsement;
pub mod event;
pub mod id;
pub mod maintenance;
pub mod maker;
pub mod operator;
pub mod record;
pub mod release;
pub mod rights;
pub mod statement;
pub mod text;
pub mod tier;
pub mod time;
pub mod trust;
pub mod watched;
