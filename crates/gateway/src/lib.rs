//! The enforcement gateway: the one way from a site's devices to its EHR.
//!
//! In scope: mutual TLS, the FHIR guard, the site's devices in memory, the decision log, cutting connections.
//! Out of scope: verdicts (they come from the control plane and only age here), patients (the EHR is authoritative).
//! To add a protocol: a folder beside `fhir/` with a sans-IO guard that ends in `access::decide`, its socket in `relay/`.

mod certificate;
pub mod config;
pub mod cut;
pub mod feed;
pub mod fhir;
pub mod gate;
pub mod log;
pub mod relay;
mod running;
pub mod state;
pub mod token;

pub use config::{GatewayConfig, GatewayKeys};
pub use running::{Gateway, RunningGateway, StartError, Status};
