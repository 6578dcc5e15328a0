//! The way back through an RMS norm: y = w x' with x' = x / r, r = sqrt(mean(x^2) + e); dx = (d - x' mean(d x')) / r with
//! d = w dy. Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::rows::inverse;
use crate::kernels::{Crew, Level, Need, Scratch};

/// A norm of rows that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RmsNorm {
    /// `width` factors.
    pub weight: *const f32,
    pub eps: f32,
    pub width: usize,
    pub rows: usize,
    pub x: *const f32,
}

/// What goes back through [`NormForward`](crate::kernels::rows::NormForward).
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormBack {
    pub norm: RmsNorm,
    pub dy: *const f32,
    /// What the result is added to; may be null, or `dx` itself.
    pub base: *const f32,
    pub dx: *mut f32,
}

impl NormBack {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx2).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; everything is as large as the norm says.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let rows = crew.share(self.norm.rows, 1);
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe { lanes::run(level, Share { norm: self, rows }) };
    }
}

struct Share<'a> {
    norm: &'a NormBack,
    rows: std::ops::Range<usize>,
}

impl Kernel for Share<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let n = self.norm;
        let width = n.norm.width;
        for row in self.rows.map(|row| row * width) {
            // SAFETY: the row is there; as many lanes as are left.
            unsafe {
                let inverse = inverse::<L>(n.norm.x.add(row), width, n.norm.eps);
                let mut along = L::splat(0.0);
                for i in (0..width).step_by(L::N) {
                    let (d, x) = both::<L>(n, row, i);
                    along = L::fma(d, x, along);
                }
                // x' mean(d x') / r = x (sum(d x) / width) / r^3.
                let along = L::sum(along) / width as f32 * inverse * inverse * inverse;
                let (inverse, along) = (L::splat(inverse), L::splat(-along));
                for i in (0..width).step_by(L::N) {
                    let (d, x) = both::<L>(n, row, i);
                    let mut back = L::fma(x, along, L::mul(d, inverse));
                    if !n.base.is_null() {
                        back = L::add(back, L::load_first(width - i, n.base.add(row + i)));
                    }
                    L::store_first(width - i, n.dx.add(row + i), back);
                }
            }
        }
    }
}

/// d and x of the row that begins at `row`, from element `i` on: as many lanes as are left.
///
/// # Safety
/// The processor has the instructions; the row is there.
#[inline(always)]
unsafe fn both<L: Lanes>(n: &NormBack, row: usize, i: usize) -> (L::V, L::V) {
    let left = n.norm.width - i;
    // SAFETY: by the contract of this function.
    unsafe {
        let d = L::mul(
            L::load_first(left, n.norm.weight.add(i)),
            L::load_first(left, n.dy.add(row + i)),
        );
        (d, L::load_first(left, n.norm.x.add(row + i)))
    }
}
