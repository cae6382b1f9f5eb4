//! The randomness of one request: 32 bytes from the caller, from which every random value of the answer is derived.
//!
//! So the engine needs no generator and a test can foresee every id. Each value has its own label; a seed is used
//! for one request only.

use aws_lc_rs::hmac;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Fresh random bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From 32 bytes of a cryptographic generator, never used before.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The value of this label and number.
    pub(super) fn derive<const N: usize>(&self, label: &'static str, number: usize) -> [u8; N] {
        const { assert!(N <= 32, "one HMAC-SHA256 tag") }
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        mac.update(label.as_bytes());
        mac.update(&(number as u64).to_be_bytes());
        let tag = mac.sign();
        let mut out = [0; N];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_and_number_has_its_own_value() {
        let seed = Seed::new([7; 32]);
        let values: [[u8; 16]; 4] = [
            seed.derive("a", 0),
            seed.derive("a", 1),
            seed.derive("b", 0),
            Seed::new([8; 32]).derive("a", 0),
        ];
        for (i, value) in values.iter().enumerate() {
            assert!(values.iter().skip(i + 1).all(|other| other != value));
        }
        assert_eq!(seed.derive::<16>("a", 0), values[0]);
    }
}
