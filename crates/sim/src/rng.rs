//! Two sources of numbers, kept apart: [`SeededRng`] for what should happen again when a run is repeated (readings,
//! choices of victims, which byte is flipped), and [`fresh`] for what must never repeat (ids, nonces).
//!
//! The seed is printed by whoever starts a simulation. Out of scope: keys; those are made where they live.

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, equidistributed, good enough for clinical numbers.
#[derive(Debug, Clone)]
pub struct SeededRng(u64);

impl SeededRng {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent sequence for one part of the simulation, so that more devices do not change the first one's.
    pub fn fork(&self, name: &str) -> Self {
        let mixed = name.bytes().fold(self.0, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut child = Self(mixed);
        child.next_u64();
        child
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`; `low` when the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.checked_sub(low).and_then(|width| width.checked_add(1)) {
            // The bias of the remainder is below 2^-40 for the small ranges of a simulation.
            Some(width) if low <= high => low.saturating_add(self.next_u64() % width),
            _ => low,
        }
    }

    /// An index below `length`; 0 when there is none.
    pub fn index(&mut self, length: usize) -> usize {
        let last = u64::try_from(length.saturating_sub(1)).unwrap_or(0);
        usize::try_from(self.between(0, last)).unwrap_or(0)
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness: the operating system's random source failed")]
pub struct NoRandomness;

/// Bytes that never repeat.
pub fn fresh<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run_and_forks_differ() {
        let draw = |mut rng: SeededRng| (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>();
        assert_eq!(draw(SeededRng::new(7)), draw(SeededRng::new(7)));
        assert_ne!(draw(SeededRng::new(7)), draw(SeededRng::new(8)));
        let root = SeededRng::new(7);
        assert_eq!(draw(root.fork("pump-1")), draw(root.fork("pump-1")));
        assert_ne!(draw(root.fork("pump-1")), draw(root.fork("pump-2")));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = SeededRng::new(1);
        for _ in 0..1000 {
            assert!((5..=9).contains(&rng.between(5, 9)));
            assert!(rng.index(3) < 3);
        }
        assert_eq!((rng.between(9, 5), rng.between(4, 4), rng.index(0)), (9, 4, 0));
    }
}
