//! How products are cut into pieces: so that what is read again stays in the cache, and every thread has work.

use std::ops::Range;

use super::super::Weight;
use super::kernel::Kernel;
use super::pack::Tokens;

/// Tokens that are packed at a time, at most. Weights are dequantized once for all of them.
pub(super) const TOKENS: usize = 512;

/// `n` things in parts of about the same size.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    first: usize,
    n: usize,
    step: usize,
}

impl Parts {
    /// None above `most`, all but the last a multiple of `unit`, which `most` is as well.
    pub(super) fn new(n: usize, most: usize, unit: usize) -> Self {
        Self::within(&(0..n), most, unit)
    }

    /// The same for those in a range.
    pub(super) fn within(range: &Range<usize>, most: usize, unit: usize) -> Self {
        let n = range.len();
        let count = n.div_ceil(most).max(1);
        Self { first: range.start, n, step: n.div_ceil(count).next_multiple_of(unit).max(1) }
    }

    /// `tokens` in parts that are packed at a time.
    pub(super) fn of_tokens(tokens: usize) -> Self {
        Self::new(tokens, TOKENS, 1)
    }

    /// Things in the largest part.
    pub(super) fn most(self) -> usize {
        self.step.min(self.n)
    }

    /// How many parts there are.
    pub(super) fn count(self) -> usize {
        self.n.div_ceil(self.step)
    }

    /// One of them.
    pub(super) fn at(self, i: usize) -> Range<usize> {
        self.first + i * self.step..self.first + self.n.min((i + 1) * self.step)
    }

    /// All of them.
    pub(super) fn all(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.count()).map(move |i| self.at(i))
    }
}

/// The smallest number of elements that rows are cut at; `None` for a weight that these kernels do not take.
pub(super) fn unit(weight: &Weight) -> Option<usize> {
    let block = weight.weight_type.block();
    let unit = block.next_multiple_of(32);
    let fits = block <= 256 && unit.is_multiple_of(block) && 256_usize.is_multiple_of(unit);
    (fits && weight.rows > 0 && weight.width > 0).then_some(unit)
}

/// In how many parts the tokens of each of `pieces` are taken, so that the threads finish together. Each part
/// dequantizes the piece's weights anew.
pub(super) fn splits<K: Kernel>(pieces: usize, threads: usize, tokens: &Tokens) -> usize {
    let time = |splits: usize| {
        (pieces * splits).div_ceil(threads) * (tokens.count.div_ceil(splits) + K::DEQUANTIZING)
    };
    (1..=tokens.tiles.clamp(1, 8)).min_by_key(|&splits| time(splits)).unwrap_or(1)
}
