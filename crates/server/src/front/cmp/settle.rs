//! What became of certificates that were given out (RFC 9810 5.3.18): what the client rejected, or never confirmed, is
//! revoked. In the log, and before anything is answered.

use lanyard_control::certify::NotTaken;
use lanyard_control::plane::ControlError;
use lanyard_enroll::cmp::{Settled, Settlement, TransactionId};

use crate::state::State;

/// Records it. What the log does not take now is kept and tried again; its transactions come back.
pub(crate) async fn record(state: &State, settled: Vec<Settled>) -> Vec<TransactionId> {
    let mut unrecorded = Vec::new();
    for one in settled {
        let (not_taken, words) = match &one.how {
            Settlement::Confirmed => continue,
            Settlement::Rejected(words) => (NotTaken::Rejected, words.as_str()),
            Settlement::OtherCertificate => (NotTaken::Rejected, "it confirmed the hash of another one"),
            Settlement::TimedOut | Settlement::Displaced => (NotTaken::Silent, "it never confirmed it"),
        };
        let serial = one.certificate.serial();
        match state.control.take_back(&one.certificate, not_taken, state.clock.now()).await {
            Ok(true) => {
                tracing::warn!(cert.serial = %serial, client = ?words, "a certificate was revoked that its client did not take");
            }
            Ok(false) => {}
            Err(ControlError::Unavailable(why)) => {
                tracing::warn!(cert.serial = %serial, %why, "a certificate that its client did not take is not revoked yet; trying again");
                unrecorded.push(one.transaction.clone());
                state.cmp.keep(one);
            }
            Err(error) => {
                tracing::error!(cert.serial = %serial, %error, "a certificate that its client did not take could not be revoked; revoke it with `lanyard cert revoke`");
            }
        }
    }
    unrecorded
}
