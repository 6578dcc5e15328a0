//! Products of a matrix of weights with the vectors of some tokens: the entry that chooses among the kernels.

use super::{Crew, Level, Need, Scratch, Weight};

/// `y[t * y_stride + r] = sum over k of W[r][k] * x[t * x_stride + k]`, for every row and token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub weight: Weight,
    /// `tokens` rows of the weight's width.
    pub x: *const f32,
    /// Floats from one token of `x` to the next.
    pub x_stride: usize,
    pub tokens: usize,
    /// `tokens` rows of as many values as the weight has rows; overlaps nothing that is read.
    pub y: *mut f32,
    /// Floats from one token of `y` to the next.
    pub y_stride: usize,
}

impl Product {
    /// The memory to work with; `None` if there is no kernel for this product.
    pub(crate) fn need(&self, _level: Level) -> Option<Need> {
        None
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`Product::need`] gave `Some` for this level, which the processor has, and `scratch` holds as much; the pointers
    /// are valid for the rows and strides that they are said to have, and nobody writes what they show meanwhile.
    pub(crate) unsafe fn run(&self, _level: Level, _crew: Crew<'_>, _scratch: Scratch) {}
}
