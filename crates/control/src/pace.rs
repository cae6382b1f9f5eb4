//! A bound on what one peer can have recorded: each token and each gateway certificate is a durable event, and a peer that
//! asks for them in a loop must not fill the log. What is refused here costs a look-up in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;

use crate::plane::ControlError;

/// What is bounded, and how often a minute it may be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Evidence of an enrolled device, to attest or to renew: two an hour are needed, two a second are a loop.
    Proof,
    /// A device's token: twelve an hour are needed, sixty a minute are a loop.
    Token,
    /// A certificate by a protocol of the field, of a device or an application: some a year are needed, a few when it is set up.
    Certificate,
    /// A gateway's certificate: one a day is needed.
    GatewayCertificate,
    /// A gateway's anchor: one each five seconds is usual, one with each evidence export on top.
    Anchor,
}

impl Act {
    const fn most(self) -> u32 {
        match self {
            Act::Proof => 120,
            Act::Token => 60,
            Act::Certificate => 30,
            Act::GatewayCertificate => 6,
            Act::Anchor => 600,
        }
    }
}

const WINDOW_SECONDS: i64 = 60;
/// Some 6 MiB; beyond it, windows that are over are forgotten.
const MOST: usize = 65_536;

/// What was had lately.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<HashMap<(StreamId, Act), (Timestamp, u32)>>);

impl Paces {
    /// Counts one, or says that it is too many.
    pub(crate) fn admit(&self, who: StreamId, act: Act, now: Timestamp) -> Result<(), ControlError> {
        let running = |began: Timestamp| (0..WINDOW_SECONDS).contains(&now.seconds_since(began));
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST {
            windows.retain(|_, (began, _)| running(*began));
        }
        let (began, count) = windows.entry((who, act)).or_insert((now, 0));
        if !running(*began) {
            (*began, *count) = (now, 0);
        }
        if *count >= act.most() {
            return Err(ControlError::refused(
                "too_often",
                format!(
                    "asked for more than {} times within a minute; wait a minute, and look for a loop",
                    act.most()
                ),
            ));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I12
    #[test]
    fn a_peer_in_a_loop_is_refused_until_the_minute_is_over() {
        let paces = Paces::default();
        let at = |s: i64| Timestamp::from_seconds(1_000_000 + s);
        let (one, other) = (StreamId::from_bytes([1; 16]), StreamId::from_bytes([2; 16]));
        let admitted =
            (0..1_000).filter(|_| paces.admit(one, Act::GatewayCertificate, at(0)).is_ok()).count();
        assert_eq!(admitted, 6);
        assert!(paces.admit(other, Act::GatewayCertificate, at(0)).is_ok(), "another peer");
        assert!(paces.admit(one, Act::Token, at(0)).is_ok(), "another act");
        assert!(paces.admit(one, Act::GatewayCertificate, at(59)).is_err());
        assert!(paces.admit(one, Act::GatewayCertificate, at(60)).is_ok());
    }
}
