//! The control plane as its users meet it: over TLS, with the real agent on a software TPM and operators with keys.
//! Nothing here knows the inside of a crate.

#![cfg(test)]

mod authorities;
mod certificates;
mod clocks;
mod compromise;
mod compromise_crash;
mod crash;
mod deltas;
mod enrollment;
mod felt;
mod gateways;
mod generations;
mod hardware;
mod hardware_protocols;
mod hospital;
mod keys_away;
mod late;
mod maintenance;
mod maker;
mod makers;
mod offline;
mod operators;
mod outage;
mod protocols;
mod restart;
mod rotation;
mod snapshot;
mod storage;
mod watch;
