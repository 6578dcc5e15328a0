//! Sums of several rows, each with a weight: what a mixture of experts makes of its experts' results.

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::{Crew, Level, Need, Scratch, Vectors, is_apart};

/// `y = w0 x0 + w1 x1 + ...`, from the left to the right, each product rounded by itself as an operation of its own would.
/// Strides are in floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightedSum {
    pub width: usize,
    pub rows: usize,
    /// How many rows make one of `y`: at least one.
    pub terms: usize,
    pub x: *const f32,
    /// From one term to the next, and from one row's terms to the next row's.
    pub x_strides: [usize; 2],
    /// A weight for each term of each row. They may lie where `y` goes.
    pub weights: *const f32,
    pub weight_strides: [usize; 2],
    pub y: *mut f32,
    pub y_stride: usize,
}

impl WeightedSum {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let own =
            if self.overwrites_weights() { size_of::<f32>() * self.rows * self.terms } else { 0 };
        (level >= Level::Avx2 && self.terms > 0).then_some(Need { shared: 0, own })
    }

    /// Whether weights may lie where results go.
    fn overwrites_weights(&self) -> bool {
        let [of_term, of_row] = self.weight_strides;
        let width = (self.terms - 1) * of_term + 1;
        let weights = Vectors::to_read(self.weights, of_row).span(self.rows, width);
        !is_apart(&weights, &Vectors::new(self.y, self.y_stride).span(self.rows, self.width))
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; the pointers are valid for the shape. `y`
    /// overlaps none of the rows.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let mut sum = *self;
        if self.overwrites_weights() {
            // SAFETY: there is room for them, and they are there until all threads have them.
            unsafe { sum.copy_weights(scratch.own.cast()) };
            crew.wait();
        }
        for row in crew.share(self.rows, 1) {
            // SAFETY: by the contract of this function; shares are disjoint.
            unsafe { lanes::run(level, SumRow { sum: &sum, row }) };
        }
    }

    /// Reads the weights at another place from now on.
    ///
    /// # Safety
    /// They are there, and so is the room.
    unsafe fn copy_weights(&mut self, to: *mut f32) {
        let [of_term, of_row] = std::mem::replace(&mut self.weight_strides, [1, self.terms]);
        let from = std::mem::replace(&mut self.weights, to.cast_const());
        for row in 0..self.rows {
            for term in 0..self.terms {
                // SAFETY: the caller's.
                unsafe {
                    *to.add(row * self.terms + term) = *from.add(row * of_row + term * of_term)
                };
            }
        }
    }
}

struct SumRow<'a> {
    sum: &'a WeightedSum,
    row: usize,
}

impl Kernel for SumRow<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { sum: s, row } = self;
        let x = s.x.wrapping_add(row * s.x_strides[1]);
        let weights = s.weights.wrapping_add(row * s.weight_strides[1]);
        let y = s.y.wrapping_add(row * s.y_stride);
        for i in (0..s.width).step_by(L::N) {
            let n = s.width - i;
            // SAFETY: by the contract of `WeightedSum::run`; within the rows, of which as many lanes are used as are left.
            unsafe {
                let mut sum = weighted::<L>(x.add(i), n, *weights);
                for term in 1..s.terms {
                    let (x, weight) = (
                        x.add(term * s.x_strides[0] + i),
                        *weights.add(term * s.weight_strides[0]),
                    );
                    sum = L::add(sum, weighted::<L>(x, n, weight));
                }
                L::store_first(n, y.add(i), sum);
            }
        }
    }
}

/// At most a vector of `n` elements times a weight.
///
/// # Safety
/// The processor has the instructions; the elements are there.
#[inline(always)]
unsafe fn weighted<L: Lanes>(x: *const f32, n: usize, weight: f32) -> L::V {
    // SAFETY: the caller's.
    unsafe { L::mul(L::load_first(n, x), L::splat(weight)) }
}
