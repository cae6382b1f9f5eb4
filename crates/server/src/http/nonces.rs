//! Nonces of operators' signed requests, remembered while a replay could still be fresh.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lanyard_domain::time::Timestamp;

/// Twice the freshness window of a signed request, so that clocks may differ by a window.
const REMEMBER_SECONDS: i64 = 120;
/// Some 3 MiB; a flood beyond it is refused, not forgotten.
const MOST: usize = 65_536;

/// Seen nonces.
#[derive(Default)]
pub struct Nonces(Mutex<HashMap<[u8; 16], Timestamp>>);

impl Nonces {
    /// Remembers a nonce; false when it was seen before or too many are remembered.
    pub fn first_use(&self, nonce: [u8; 16], now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, at| now.seconds_since(*at) <= REMEMBER_SECONDS);
        }
        seen.len() < MOST && seen.insert(nonce, now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_accepted_once() {
        let nonces = Nonces::default();
        let now = Timestamp::from_seconds(1_000);
        assert!(nonces.first_use([1; 16], now));
        assert!(!nonces.first_use([1; 16], now));
        assert!(nonces.first_use([2; 16], now));
    }
}
