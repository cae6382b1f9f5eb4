//! TPM 2.0 evidence: structures, keys, credential activation, quotes, certified keys, endorsement.
//!
//! One file per check. Structures are parsed here and encoded here too, because the software TPM of the
//! agent and the simulator speak the same bytes as a real one. TPM command and session handling is the
//! agent's.

pub mod certify;
pub mod credential;
pub mod endorsement;
pub mod keys;
pub mod quote;
pub mod signature;
pub mod structures;
