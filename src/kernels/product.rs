//! Products of a matrix of weights with the vectors of some tokens, and what goes back through them: the entries that
//! choose among the kernels.

use super::{Crew, Level, Need, Queue, Scratch, Vectors, Weight, WeightType, gemm, gemv};

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;

/// `y[t][r] = sum over k of W[r][k] * x[t][k]`, for every row and token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub weight: Weight,
    /// `tokens` vectors of the weight's width, which are only read.
    pub x: Vectors,
    pub tokens: usize,
    /// `tokens` vectors of as many values as the weight has rows; they overlap nothing that is read.
    pub y: Vectors,
    /// Whether the vectors of many tokens may be rounded to 8 bits, as those of a few are and as the engine does.
    pub to_bytes: bool,
    /// Whether the memory to work with holds the vectors as a product before has left them: the shared one, if that
    /// [packs them alike](Product::packs_for).
    pub is_packed: bool,
}

/// Which kernels compute a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Those for a few tokens, several times: weights are multiplied as they are, with the tokens rounded to 8 bits.
    Few,
    /// Those for many: weights are dequantized first.
    Many,
}

/// Tokens that the kernels for a few are given at a time, at most.
pub(super) const GROUP: usize = 8;

impl Product {
    /// The memory to work with; `None` if there is no kernel for this product, or the engine's own is quicker.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.offered(level).map(|(_, need)| need)
    }

    /// The memory to work with any number of tokens up to this product's, even where the engine is quicker.
    pub(super) fn need_up_to(&self, level: Level) -> Option<Need> {
        // In between and beyond, more tokens need more memory, or as much.
        let ends = gemm::ENDS.iter().copied().chain([self.most_of_few(level), self.tokens]);
        ends.map(|end| end.min(self.tokens)).try_fold(Need::default(), |most, tokens| {
            let (_, need) = Self { tokens, ..*self }.way(level)?;
            Some(most.max(need))
        })
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// A need was given for this level, which the processor has, and `scratch` holds as much; the weight and the vectors
    /// are there, and nobody writes what is read meanwhile. The crew has just been formed.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        // SAFETY: the caller's.
        unsafe { self.run_in(level, crew, scratch, &mut Queue::new(0)) }
    }

    /// As [`Product::run`], as one of several products of a crew. Some threads return before all values are there.
    ///
    /// # Safety
    /// As for [`Product::run`], but for the crew: this thread passes the same `queue` every time.
    pub(crate) unsafe fn run_in(
        &self,
        level: Level,
        crew: Crew<'_>,
        scratch: Scratch,
        queue: &mut Queue,
    ) {
        // SAFETY: the caller's; groups are products with some of the tokens.
        unsafe {
            match self.way(level).map(|(way, _)| way) {
                Some(Way::Few) => {
                    for first in (0..self.tokens).step_by(GROUP) {
                        gemv::run(&self.group(first), level, crew, scratch, queue);
                    }
                }
                Some(Way::Many) => gemm::run(self, level, crew, scratch, queue),
                None => {}
            }
        }
    }

    /// Whether this product leaves the vectors in the shared memory as another one, of the same vectors, would put them there.
    pub(crate) fn packs_for(&self, next: &Self, level: Level) -> bool {
        let are_many = [self, next].iter().all(|product| product.way_of(level) == Some(Way::Many));
        let are_same = self.x == next.x && self.x.distance().is_some();
        are_same && are_many && gemm::pack_alike(self, next, level)
    }

    /// The kernels that compute it; `None` where [`Product::need`] is.
    pub(super) fn way_of(&self, level: Level) -> Option<Way> {
        self.offered(level).map(|(way, _)| way)
    }

    /// The kernels that compute it and their memory, unless the engine's own are quicker.
    fn offered(&self, level: Level) -> Option<(Way, Need)> {
        self.way(level).filter(|(way, _)| !self.is_quicker_without(*way, level))
    }

    /// The product with a few of the tokens.
    pub(super) fn group(&self, first: usize) -> Self {
        Self {
            x: self.x.from(first),
            y: self.y.from(first),
            tokens: GROUP.min(self.tokens - first),
            ..*self
        }
    }

    /// The kernels that are the quickest of ours, and the memory that they need.
    fn way(&self, level: Level) -> Option<(Way, Need)> {
        let few = self.tokens <= self.most_of_few(level);
        let few = few.then(|| gemv::need(&self.group(0), level)).flatten();
        few.map(|need| (Way::Few, need))
            .or_else(|| gemm::need(self, level).map(|need| (Way::Many, need)))
    }

    /// Up to how many tokens the kernels for a few are quicker, where there are any.
    fn most_of_few(&self, level: Level) -> usize {
        most_of_few(self.weight.weight_type, gemm::level(&self.weight, level))
    }

    /// Whether the engine's own kernels are quicker than ours.
    fn is_quicker_without(&self, way: Way, level: Level) -> bool {
        match way {
            // With AVX2 and one token, the engine's own kernel for this type is.
            Way::Few => {
                let is_q6k = matches!(self.weight.weight_type, WeightType::Q6K);
                level == Level::Avx2 && self.tokens == 1 && is_q6k
            }
            Way::Many => {
                let least = least_of_many(self, gemm::level(&self.weight, level));
                least.is_none_or(|least| self.tokens < least)
            }
        }
    }
}

/// Up to how many tokens the kernels for a few are quicker, where there are any.
fn most_of_few(weight_type: WeightType, level: Level) -> usize {
    use WeightType::*;
    match (level, weight_type) {
        (Level::Avx512Bf16 | Level::Amx, F32 | F16 | Bf16) => 8,
        (Level::Avx512Vnni, F32 | F16 | Bf16) => 32,
        // Its kernel is that for AVX2.
        (Level::Avx512Vnni | Level::Avx512Bf16 | Level::Amx, Mxfp4) => 8,
        (Level::Avx512Vnni | Level::Avx512Bf16 | Level::Amx, _) => 16,
        (Level::Avx2, Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q4K | Q5K | Q6K | Mxfp4) => 8,
        _ => 32,
    }
}

/// From how many tokens on the kernels for many are quicker than the engine's; `None`: they never are.
fn least_of_many(product: &Product, level: Level) -> Option<usize> {
    match (level, product.weight.weight_type) {
        (Level::None, _) => None,
        (Level::Avx2, _) if gemm::is_of_bytes(product, level) => Some(4),
        (Level::Avx2, _) | (_, WeightType::Other(..)) => Some(32),
        // Where the kernels for a few end, at the latest.
        (Level::Avx512 | Level::Avx512Vnni, kind) => Some(16.min(most_of_few(kind, level) + 1)),
        (Level::Avx512Bf16 | Level::Amx, _) => Some(8),
    }
}

/// `dx[t][k] = sum over r of W[r][k] * dy[t][r]`, or so much more, for every column and token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductBack {
    pub weight: Weight,
    /// `tokens` vectors of as many values as the weight has rows, which are only read.
    pub dy: Vectors,
    pub tokens: usize,
    /// `tokens` vectors of the weight's width, at even distances; they overlap nothing that is read.
    pub dx: Vectors,
    /// Whether the result is added to what `dx` holds.
    pub accumulate: bool,
}

impl ProductBack {
    /// The memory to work with; `None` if there is no kernel for it.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        gemm::need_back(self, level)
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// As for [`Product::run`].
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        // SAFETY: the caller's.
        unsafe { self.run_in(level, crew, scratch, &mut Queue::new(0)) }
    }

    /// As [`ProductBack::run`], as one of several products of a crew.
    ///
    /// # Safety
    /// As for [`Product::run_in`].
    pub(crate) unsafe fn run_in(
        &self,
        level: Level,
        crew: Crew<'_>,
        scratch: Scratch,
        queue: &mut Queue,
    ) {
        // SAFETY: the caller's.
        unsafe { gemm::run_back(self, level, crew, scratch, queue) }
    }
}
