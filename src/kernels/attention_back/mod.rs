//! Attention for training: the forward pass that also says what its backward pass needs, and that backward pass.
//!
//! Scores are computed tile by tile and never kept: the forward pass leaves each row's log-sum-exp, from which the
//! backward pass makes the same probabilities again. All is f32; tiles that the mask excludes are not computed.

mod backward;
mod forward;
mod keys;
mod panel;
mod queries;
#[cfg(test)]
mod tests;
mod visible;

use backward::Backward;
use forward::Forward;

use super::{Crew, Level, Need, Scratch, lanes};

/// What an attention is computed from. Matrices lie without gaps, the first dimension fastest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    /// Queries of each head, and as many keys of each group.
    pub tokens: usize,
    /// Heads of queries: a multiple of `groups`; those that share keys follow each other.
    pub heads: usize,
    /// Heads of keys and values.
    pub groups: usize,
    /// Width of a query and of a key.
    pub head_k: usize,
    /// Width of a value.
    pub head_v: usize,
    /// What scores are multiplied with, before the mask is added.
    pub scale: f32,
}

impl AttentionShape {
    /// Heads that share their keys.
    fn share(&self) -> usize {
        self.heads / self.groups
    }

    /// Whether there is anything to compute, and a level that can.
    fn is_offered(&self, level: Level) -> bool {
        let sizes = [self.tokens, self.heads, self.groups, self.head_k, self.head_v];
        level >= Level::Avx2 && !sizes.contains(&0) && self.heads.is_multiple_of(self.groups)
    }
}

/// softmax(scale * K^T q + mask) over V, with each row's log-sum-exp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainAttention {
    pub shape: AttentionShape,
    /// `[head_k, tokens, heads]`.
    pub q: *const f32,
    /// `[head_k, tokens, groups]`.
    pub k: *const f32,
    /// `[head_v, tokens, groups]`.
    pub v: *const f32,
    /// `[tokens, tokens]`, a row for each query: added to its scores, mostly 0 or minus infinity.
    pub mask: *const f32,
    /// `[head_v, tokens, heads]`; 0 for a row that sees nothing.
    pub out: *mut f32,
    /// `[tokens, heads]`; minus infinity for a row that sees nothing.
    pub lse: *mut f32,
}

/// The gradients of q, k and v for that of the output, `dy`, after [`TrainAttention`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionBack {
    pub shape: AttentionShape,
    pub q: *const f32,
    pub k: *const f32,
    pub v: *const f32,
    pub mask: *const f32,
    /// What the forward pass gave.
    pub out: *const f32,
    /// What the forward pass gave.
    pub lse: *const f32,
    /// `[head_v, tokens, heads]`.
    pub dy: *const f32,
    /// The shape of `q`.
    pub dq: *mut f32,
    /// The shape of `k`.
    pub dk: *mut f32,
    /// The shape of `v`.
    pub dv: *mut f32,
}

impl TrainAttention {
    /// The memory it works with, if this level has a kernel for it.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.shape.is_offered(level).then(|| forward::need(&self.shape))
    }

    /// Computes `out` and `lse`, with all threads of the crew.
    ///
    /// # Safety
    /// [`Self::need`] offers it at this level of this processor, and gave the size of the scratch; the pointers hold
    /// what the fields say, and nobody else uses the results.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew, scratch: Scratch) {
        debug_assert!(self.shape.is_offered(level));
        // SAFETY: handed on.
        unsafe { lanes::run(level, Forward { a: self, crew, scratch }) }
    }
}

impl AttentionBack {
    /// The memory it works with, if this level has a kernel for it.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.shape.is_offered(level).then(|| backward::need(&self.shape))
    }

    /// Computes `dq`, `dk` and `dv`, with all threads of the crew.
    ///
    /// # Safety
    /// [`Self::need`] offers it at this level of this processor, and gave the size of the scratch; the pointers hold
    /// what the fields say, and nobody else uses the results.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew, scratch: Scratch) {
        debug_assert!(self.shape.is_offered(level));
        // SAFETY: handed on.
        unsafe { lanes::run(level, Backward { a: self, crew, scratch }) }
    }
}
