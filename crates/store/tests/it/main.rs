//! Tests of the event log over its public interface.

mod check_finds;
mod concurrency;
mod contract;
mod crash;
mod faults;
mod fork;
mod proofs;
mod support;
