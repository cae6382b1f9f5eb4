//! Tests of the event log over its public interface.

// `cfg(test)` tells clippy that helpers in here are test code too.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod check_finds;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fork;
#[cfg(test)]
mod model;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod support;
