//! The control plane as a process: HTTP, workers, keys on disk, and how it starts and stops.
//!
//! In scope: wiring. Out of scope: rules (`domain`, `attest`, `pki`), their order (`control`), SQL (`store`).

pub mod bootstrap;
pub mod config;
mod evidence;
pub mod feed;
mod front;
pub mod hardware;
pub mod http;
pub mod journal;
pub mod keys;
mod snapshot;
mod start;
pub mod state;
pub mod token;
pub mod watch;
mod worker;

pub use start::{Config, ControlPlane, Enroll, KeyPlaces, Running, StartError};
