//! The loss of a model's last states, and its gradient, without the logits of a whole vocabulary.
//!
//! A tile of the vocabulary at a time gives its logits, which become weights of the tile's rows: the gradient's larger
//! part is their weighted mean, as attention's output is one of the values. As there, weights are in parts of the
//! largest so far, and what was summed up is made smaller when a larger one turns up. So each tile is passed once.
//!
//! The target's own row is left out and added at the end, with the difference of its probability from 1: of a
//! prediction that is nearly sure, the difference is what matters.

#[cfg_attr(not(target_arch = "x86_64"), path = "none.rs")]
mod crossing;
#[cfg(target_arch = "x86_64")]
mod row;
#[cfg(target_arch = "x86_64")]
mod target;
#[cfg(test)]
mod tests;

use super::{Crew, Level, Need, Scratch, Weight};

/// For each token: -ln p(target), where p = softmax(z) and z = W h, or c tanh(W h / c).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrossEntropy {
    /// A row for each word of the vocabulary.
    pub weight: Weight,
    /// `[width, tokens]`: the states.
    pub hidden: *const f32,
    pub tokens: usize,
    /// The row that should have been the likeliest, for each token.
    pub targets: *const i32,
    /// What c is; 0 if logits are not capped.
    pub cap: f32,
    /// The loss of each token.
    pub loss: *mut f32,
    /// The row that is the likeliest, the first of several.
    pub best: *mut i32,
    /// `[width, tokens]`: what each token's loss is by its state; null if nobody wants it.
    pub gradient: *mut f32,
}

impl CrossEntropy {
    /// The memory it works with, if there is a kernel for this type of weight at this level.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let sizes = [self.tokens, self.weight.rows, self.weight.width];
        if sizes.contains(&0) {
            return None;
        }
        crossing::need(self, level)
    }

    /// Computes it, with all threads of the crew.
    ///
    /// # Safety
    /// [`Self::need`] offers it at this level of this processor, and gave the size of the scratch; the pointers hold
    /// what the fields say, targets are rows of the weight, and nobody else uses the results.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew, scratch: Scratch) {
        // SAFETY: handed on.
        unsafe { crossing::run(self, level, crew, scratch) }
    }
}
