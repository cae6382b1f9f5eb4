//! The virtual hospital: devices that run the real agent on software TPMs, makers, people with keys, a stand-in EHR, and
//! everything that goes wrong. Also the test kit of whoever needs a hospital.
//!
//! In scope: what stands outside of Lanyard. Out of scope: Lanyard's own servers; whoever starts a simulation starts
//! those and says where they are ([`device::Network`]). Nothing of Lanyard's own logic is imitated here.
//! Readings and choices are seeded and repeat; keys, ids and nonces never do ([`rng`]).
//! To add a device class see [`catalogue`], a fault [`faults`], a measurement [`distrust`].

pub mod catalogue;
pub mod clinical;
pub mod device;
pub mod distrust;
pub mod ehr;
pub mod faults;
pub mod firmware;
pub mod fleet;
pub mod maker;
pub mod operators;
pub mod protocols;
pub mod rng;
pub mod tls;
