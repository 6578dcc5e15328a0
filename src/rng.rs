//! Seeded random numbers: those of a sampler, of a shuffle, of an augmentation.
//!
//! Xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), seeded from 64 bits
//! through SplitMix64. Its whole state is four words, so it can be saved and continued bit by bit.

use std::hash::{BuildHasher, Hasher, RandomState};

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// A seedable, serialisable source of uniform numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The generator that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The generator that belongs to several numbers together, such as a seed, an epoch and an example.
    pub fn keyed(keys: &[u64]) -> Self {
        let state = keys.iter().fold(0u64, |state, &key| {
            // The finalizer of SplitMix64, so that neighbouring keys give unrelated generators.
            let z = (state ^ key).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self::new(state)
    }

    /// A uniform number in [0, 1), with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * SCALE
    }

    /// A uniform integer below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let Some(n) = u64::try_from(n).ok().filter(|&n| n > 0) else { return 0 };
        // Numbers of the last, incomplete run of `n` would make small results more likely.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let word = self.0.next_u64();
            if word < limit {
                return (word % n) as usize;
            }
        }
    }

    /// Puts the items in a uniformly random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// False for the all-zero state, from which the generator only ever returns zero.
    pub fn is_sound(&self) -> bool {
        let mut copy = self.0.clone();
        (0..4).any(|_| copy.next_u64() != 0)
    }
}

/// A seed from the operating system's randomness, for a sampler that was given none.
pub(crate) fn random_seed() -> u64 {
    // `RandomState` is the standard library's door to the system's random source.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // The published algorithm, written out: SplitMix64 for the state, then one step of Xoshiro256++.
        let mut x = 42u64;
        let mut word = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut s = [word(), word(), word(), word()];
        let mut rng = Rng::new(42);
        for _ in 0..100 {
            let next = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
            let t = s[1] << 17;
            s[2] ^= s[0];
            s[3] ^= s[1];
            s[1] ^= s[2];
            s[0] ^= s[3];
            s[2] ^= t;
            s[3] = s[3].rotate_left(45);
            assert_eq!(rng.unit(), (next >> 11) as f64 / (1u64 << 53) as f64);
        }
    }

    #[test]
    fn a_shuffle_reaches_every_order_about_equally_often() {
        let mut rng = Rng::keyed(&[7, 0, 3]);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            rng.shuffle(&mut items);
            *seen.entry(items).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn every_key_counts_and_so_does_their_order() {
        let first = |keys: &[u64]| Rng::keyed(keys).unit().to_bits();
        let all = [&[1, 2][..], &[2, 1], &[1, 3], &[1], &[1, 2, 0], &[]].map(first);
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn unseeded_samplers_differ() {
        assert_ne!(random_seed(), random_seed());
    }

    #[test]
    fn the_dead_state_is_recognised() {
        assert!(Rng::new(0).is_sound());
        let dead: Rng = serde_json::from_str(r#"{"s":[0,0,0,0]}"#).unwrap();
        assert!(!dead.is_sound());
    }
}
