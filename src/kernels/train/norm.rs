//! The way back through an RMS norm: y = w x' with x' = x / r, r = sqrt(mean(x^2) + e); dx = (d - x' mean(d x')) / r with
//! d = w dy. Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

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
        (level >= Level::Avx512).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; everything is as large as the norm says.
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, _scratch: Scratch) {
        for row in crew.share(self.norm.rows, 1) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: by the contract of this function; shares are disjoint.
            unsafe {
                wide::back(self, row * self.norm.width);
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = row;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::NormBack;
    use crate::kernels::lanes::F32x16;
    use crate::kernels::rows::inverse;
    use crate::kernels::vector::first;

    /// # Safety
    /// As [`NormBack::run`], for the row that begins at `row`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn back(n: &NormBack, row: usize) {
        // SAFETY: the row is there; masked to its end.
        unsafe {
            let (x, dy, dx) = (n.norm.x.add(row), n.dy.add(row), n.dx.add(row));
            let (width, weight) = (n.norm.width, n.norm.weight);
            let inverse = inverse::<F32x16>(x, width, n.norm.eps);
            let mut along = _mm512_setzero_ps();
            for i in (0..width).step_by(16) {
                let mask = first(width - i);
                let d = _mm512_mul_ps(
                    _mm512_maskz_loadu_ps(mask, weight.add(i)),
                    _mm512_maskz_loadu_ps(mask, dy.add(i)),
                );
                along = _mm512_fmadd_ps(d, _mm512_maskz_loadu_ps(mask, x.add(i)), along);
            }
            // x' mean(d x') / r = x (sum(d x) / width) / r^3.
            let along = _mm512_reduce_add_ps(along) / width as f32 * inverse * inverse * inverse;
            let (inverse, along) = (_mm512_set1_ps(inverse), _mm512_set1_ps(along));
            for i in (0..width).step_by(16) {
                let mask = first(width - i);
                let d = _mm512_mul_ps(
                    _mm512_maskz_loadu_ps(mask, weight.add(i)),
                    _mm512_maskz_loadu_ps(mask, dy.add(i)),
                );
                let x = _mm512_maskz_loadu_ps(mask, x.add(i));
                let mut back = _mm512_fnmadd_ps(x, along, _mm512_mul_ps(d, inverse));
                if !n.base.is_null() {
                    let base = _mm512_maskz_loadu_ps(mask, n.base.add(row + i));
                    back = _mm512_add_ps(back, base);
                }
                _mm512_mask_storeu_ps(dx.add(i), mask, back);
            }
        }
    }
}
