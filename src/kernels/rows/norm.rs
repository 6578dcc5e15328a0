//! RMS norm: y = w x / r, r = sqrt(mean(x^2) + e). Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

use std::ops::Range;

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::{Crew, Level, Need, Scratch};

/// Sums that are added up side by side: the chain of each is short, and so is its error.
const SUMS: usize = 4;

/// The normed rows. Strides are in floats, from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormForward {
    /// `width` factors; null: none.
    pub weight: *const f32,
    pub eps: f32,
    pub width: usize,
    pub rows: usize,
    pub x: *const f32,
    pub x_stride: usize,
    pub y: *mut f32,
    pub y_stride: usize,
}

impl NormForward {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx2).then_some(Need::default())
    }

    /// The same from row `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        let (x, y) = (first * self.x_stride, first * self.y_stride);
        let rows = self.rows.saturating_sub(first);
        Self { rows, x: self.x.wrapping_add(x), y: self.y.wrapping_add(y), ..self }
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; the pointers are valid for the shape.
    /// Each row of `y` is where the row of the same number of `x` is, or where no row is.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe { self.run_rows(level, crew.share(self.rows, 1)) };
    }

    /// Computes some rows.
    ///
    /// # Safety
    /// As for [`run`](Self::run); nobody else computes these rows.
    pub(crate) unsafe fn run_rows(&self, level: Level, rows: Range<usize>) {
        for row in rows {
            // SAFETY: by the contract of this function.
            unsafe { lanes::run(level, NormRow { norm: self, row }) };
        }
    }
}

struct NormRow<'a> {
    norm: &'a NormForward,
    row: usize,
}

impl Kernel for NormRow<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (n, row) = (self.norm, self.row);
        let x = n.x.wrapping_add(row * n.x_stride);
        let y = n.y.wrapping_add(row * n.y_stride);
        // SAFETY: by the contract of `NormForward::run`; within the row, of which as many lanes are used as are left.
        unsafe {
            let inverse = L::splat(inverse::<L>(x, n.width, n.eps));
            for i in (0..n.width).step_by(L::N) {
                let left = n.width - i;
                let mut out = L::mul(L::load_first(left, x.add(i)), inverse);
                if !n.weight.is_null() {
                    out = L::mul(out, L::load_first(left, n.weight.add(i)));
                }
                L::store_first(left, y.add(i), out);
            }
        }
    }
}

/// 1 / r of a row.
///
/// # Safety
/// The processor has the instructions, and `x` is a row.
#[inline(always)]
pub(crate) unsafe fn inverse<L: Lanes>(x: *const f32, width: usize, eps: f32) -> f32 {
    // SAFETY: the caller's; whole steps are inside the row, and of the last one as many lanes as are left.
    unsafe {
        let mut sums = [L::splat(0.0); SUMS];
        let step = SUMS * L::N;
        let whole = width - width % step;
        for i in (0..whole).step_by(step) {
            for (j, sum) in sums.iter_mut().enumerate() {
                let x = L::load(x.add(i + j * L::N));
                *sum = L::fma(x, x, *sum);
            }
        }
        for (i, sum) in (whole..width).step_by(L::N).zip(&mut sums) {
            let x = L::load_first(width - i, x.add(i));
            *sum = L::fma(x, x, *sum);
        }
        let [a, b, c, d] = sums;
        let sum = L::sum(L::add(L::add(a, b), L::add(c, d)));
        1.0 / (sum / width as f32 + eps).sqrt()
    }
}
