//! Random changes to inputs: flips, cuts, repeats, length fields gone wrong, two inputs spliced.
//!
//! Not cryptographic randomness, on purpose: a run is repeated from its seed number.

/// A small generator (xorshift64*), good enough to pick places and bytes.
pub struct Random(u64);

impl Random {
    /// Same seed, same numbers.
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 0 to `limit` - 1; 0 when `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// Bytes at which lengths, counts and text grammars break.
const SHARP: &[u8] =
    &[0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFE, 0xFF, b'\n', b' ', b'"', b'\\', b'[', b'{'];

/// The largest input that is made: above most limits, so that the limits are hit too.
const MAX_LEN: usize = 128 * 1024;

/// Changes `input` in one to four places; `other` gives material for splices.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        once(input, other, random);
    }
    input.truncate(MAX_LEN);
}

fn once(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len());
    match random.below(9) {
        0 => change(input, at, |byte| byte ^ (1 << random.below(8))),
        1 => {
            let new = random.byte();
            change(input, at, |_| new);
        }
        2 => {
            let new = sharp(random);
            change(input, at, |_| new);
        }
        3 => input.truncate(at),
        4 => input.insert(at.min(input.len()), sharp(random)),
        5 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        // A run of bytes once more: repeated lines, repeated elements, deeper nesting.
        6 => {
            let end = (at + 1 + random.below(64)).min(input.len());
            let run: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
            for _ in 0..=random.below(8) {
                input.splice(at..at, run.iter().copied());
            }
        }
        // The head of this and the tail of another.
        7 => {
            input.truncate(at);
            input.extend_from_slice(other.get(random.below(other.len())..).unwrap_or_default());
        }
        // A length field, two bytes, off by a little.
        _ => {
            let step = if random.below(2) == 0 { 1 } else { 255 };
            change(input, at, |byte| byte.wrapping_add(step));
        }
    }
}

fn sharp(random: &mut Random) -> u8 {
    SHARP.get(random.below(SHARP.len())).copied().unwrap_or_default()
}

fn change(input: &mut [u8], at: usize, new: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = new(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let make = |seed| {
            let (mut input, mut random) = (b"some input".to_vec(), Random::new(seed));
            for _ in 0..200 {
                mutate(&mut input, b"other", &mut random);
            }
            input
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn an_empty_input_can_be_changed() {
        let mut random = Random::new(0);
        for _ in 0..1000 {
            mutate(&mut Vec::new(), b"", &mut random);
        }
    }
}
