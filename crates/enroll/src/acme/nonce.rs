//! Replay nonces (RFC 8555 6.5) that are not stored until they are used: time and random bytes under a MAC.
//!
//! Whoever asks for nonces costs no memory; only a nonce that came back under a good signature is kept, until its
//! window ends. When that set is full, the oldest part of the window is given up: what was issued then is refused,
//! and its owners get a fresh one with the refusal and try again by themselves. Never is a nonce taken twice.
//! In scope: one process. With several, each must keep to its own clients or share the set.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use lanyard_domain::time::Timestamp;

use super::base64url;

/// Micros (8), random (8), MAC (16).
const BYTES: usize = 32;

/// Why a nonce is not taken. The client gets a fresh one with the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNonce {
    /// Not one of ours.
    #[error("the nonce is not one of this server's: take the one of this reply")]
    Foreign,
    /// Older than the window.
    #[error("the nonce is too old: take the one of this reply")]
    Old,
    /// Used before.
    #[error("the nonce was used before: take the one of this reply")]
    Used,
}

type Stamp = (i64, [u8; 8]);

/// Issues nonces and takes each once.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    window_seconds: u32,
    capacity: usize,
    used: BTreeSet<Stamp>,
    /// What was issued up to here is refused.
    floor: i64,
}

impl Nonces {
    /// With a key that only this process has (fresh at each start: old nonces are then foreign), a window, and the
    /// number of used nonces that are kept: 32 bytes each, so 200 000 are some 10 MB.
    pub fn new(key: &[u8; 32], window_seconds: u32, capacity: usize) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            window_seconds,
            capacity: capacity.max(1),
            used: BTreeSet::new(),
            floor: i64::MIN,
        }
    }

    /// A nonce for one request.
    pub fn issue(&self, random: [u8; 8], now: Timestamp) -> String {
        let stamp = (now.as_micros(), random);
        let text = [&stamp.0.to_be_bytes()[..], &stamp.1, &self.mac(&stamp)].concat();
        base64url::encode(&text)
    }

    /// Takes a nonce; it is used up then.
    pub fn take(&mut self, text: &str, now: Timestamp) -> Result<(), BadNonce> {
        let stamp = self.open(text)?;
        let oldest = now.plus_seconds(-i64::from(self.window_seconds)).as_micros();
        if stamp.0 < oldest || stamp.0 <= self.floor {
            return Err(BadNonce::Old);
        }
        // What fell out of the window cannot come back.
        self.used = self.used.split_off(&(oldest, [0; 8]));
        if !self.used.insert(stamp) {
            return Err(BadNonce::Used);
        }
        while self.used.len() > self.capacity {
            if let Some((issued, _)) = self.used.pop_first() {
                self.floor = self.floor.max(issued);
            }
        }
        Ok(())
    }

    fn open(&self, text: &str) -> Result<Stamp, BadNonce> {
        // 32 bytes are 43 characters.
        let bytes = if text.len() == 43 { base64url::decode("nonce", text).ok() } else { None };
        let bytes: [u8; BYTES] = bytes.and_then(|b| b.try_into().ok()).ok_or(BadNonce::Foreign)?;
        let (issued, rest) = bytes.split_first_chunk::<8>().ok_or(BadNonce::Foreign)?;
        let (random, tag) = rest.split_first_chunk::<8>().ok_or(BadNonce::Foreign)?;
        let stamp = (i64::from_be_bytes(*issued), *random);
        let good = aws_lc_rs::constant_time::verify_slices_are_equal(&self.mac(&stamp), tag).is_ok();
        if good { Ok(stamp) } else { Err(BadNonce::Foreign) }
    }

    /// 128 bits: a guess costs a request each.
    fn mac(&self, (issued, random): &Stamp) -> [u8; 16] {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(b"lanyard acme nonce v1\0");
        mac.update(&issued.to_be_bytes());
        mac.update(random);
        let tag = mac.sign();
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_753_000);

    fn nonces(capacity: usize) -> Nonces {
        Nonces::new(&[7; 32], 600, capacity)
    }

    #[test]
    fn a_nonce_is_taken_once_and_within_its_window() {
        let mut nonces = nonces(10);
        let nonce = nonces.issue([1; 8], NOW);
        assert_eq!(nonce.len(), 43);
        assert_eq!(nonces.take(&nonce, NOW.plus_seconds(600)), Ok(()));
        assert_eq!(nonces.take(&nonce, NOW.plus_seconds(600)), Err(BadNonce::Used));
        assert_eq!(nonces.take(&nonce, NOW.plus_seconds(601)), Err(BadNonce::Old));
        let other = nonces.issue([2; 8], NOW);
        assert_eq!(nonces.take(&other, NOW.plus_seconds(601)), Err(BadNonce::Old));
    }

    // I12
    #[test]
    fn a_forged_nonce_is_refused() {
        let mut nonces = nonces(10);
        let nonce = nonces.issue([1; 8], NOW);
        for at in 0..nonce.len() {
            let mut bad = nonce.clone().into_bytes();
            bad[at] ^= 1;
            assert!(nonces.take(&String::from_utf8(bad).unwrap(), NOW).is_err(), "{at}");
            assert!(nonces.take(nonce.get(..at).unwrap(), NOW).is_err(), "{at}");
        }
        let other = Nonces::new(&[8; 32], 600, 10).issue([1; 8], NOW);
        assert_eq!(nonces.take(&other, NOW), Err(BadNonce::Foreign));
        assert_eq!(nonces.take(&nonce, NOW), Ok(()));
    }

    #[test]
    fn a_full_set_gives_up_old_nonces_and_takes_none_twice() {
        let mut nonces = nonces(3);
        let issued: Vec<String> =
            (0..10).map(|n| nonces.issue([n; 8], NOW.plus_seconds(i64::from(n)))).collect();
        let now = NOW.plus_seconds(20);
        for nonce in issued.iter().skip(1) {
            assert_eq!(nonces.take(nonce, now), Ok(()));
            assert!(nonces.used.len() <= 3);
        }
        for nonce in &issued {
            assert!(nonces.take(nonce, now).is_err());
        }
    }
}
