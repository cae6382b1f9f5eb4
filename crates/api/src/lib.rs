//! What travels between Lanyard's processes: request and reply types, problems, the HTTP client and the TLS
//! listener that both ends share, request signatures of operators, and the one clock.
//!
//! In scope: shapes and transport. Out of scope: rules (domain, control), pages, storage.
//! To add a call: its types in the file of its audience here, its handler in `lanyard-server`.

#![warn(missing_docs)]

pub mod client;
pub mod clock;
pub mod compromise;
pub mod device;
pub mod exporter;
pub mod gateway;
pub mod listen;
pub mod makers;
pub mod offline;
pub mod operator;
pub mod pki;
pub mod problem;
pub mod signing;

#[cfg(test)]
mod testkit;
