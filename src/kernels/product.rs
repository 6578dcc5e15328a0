//! Products of a matrix of weights with the vectors of some tokens, and what goes back through them: the entries that
//! choose among the kernels.

use super::{Crew, Level, Need, Queue, Scratch, Weight, gemm, gemv};

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
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        gemv::need(self, level).or_else(|| gemm::need(self, level))
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`Product::need`] gave `Some` for this level, which the processor has, and `scratch` holds as much; the pointers
    /// are valid for the rows and strides that they are said to have, and nobody writes what they show meanwhile. The
    /// crew has just been formed.
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
        // SAFETY: the caller's.
        unsafe {
            if gemv::need(self, level).is_some() {
                gemv::run(self, level, crew, scratch, queue);
            } else {
                gemm::run(self, level, crew, scratch, queue);
            }
        }
    }
}

/// `dx[t * dx_stride + k] = sum over r of W[r][k] * dy[t * dy_stride + r]`, or so much more, for every column and token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductBack {
    pub weight: Weight,
    /// `tokens` rows of as many values as the weight has rows.
    pub dy: *const f32,
    /// Floats from one token of `dy` to the next.
    pub dy_stride: usize,
    pub tokens: usize,
    /// `tokens` rows of the weight's width; overlaps nothing that is read.
    pub dx: *mut f32,
    /// Floats from one token of `dx` to the next.
    pub dx_stride: usize,
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
