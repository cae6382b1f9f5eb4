//! lanyard-agent

pub mod tpm;
