//! The control plane as its users meet it: over TLS, with the real agent on a software TPM and operators with keys.
//! Nothing here knows the inside of a crate.

#![cfg(test)]

mod authorities;
mod certificates;
mod crash;
mod enrollment;
mod gateways;
mod hospital;
mod operators;
mod restart;
mod snapshot;
