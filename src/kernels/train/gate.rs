//! Activations, alone or gating a second value, and the way back.
//!
//! Both curves are x s(z): SiLU with z = x, GELU in its tanh form with z = 2 c (x + 0.044715 x^3), c = sqrt(2 / pi), as
//! (1 + tanh(u)) / 2 = s(2 u). Their slope is s + x s (1 - s) z'.

use crate::kernels::{Crew, Level, Need, Scratch};

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// x s(x).
    Silu,
    /// The tanh form.
    Gelu,
}

/// `y = f(x) * up`, element by element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateForward {
    pub curve: Curve,
    /// Elements of each.
    pub n: usize,
    pub x: *const f32,
    /// Null for f(x) alone.
    pub up: *const f32,
    pub y: *mut f32,
}

/// What goes back through [`GateForward`]: `dx = dy * up * f'(x)`, `dup = dy * f(x)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateBack {
    pub curve: Curve,
    /// Elements of each.
    pub n: usize,
    pub x: *const f32,
    /// Null for f(x) alone; there is no `dup` then.
    pub up: *const f32,
    pub dy: *const f32,
    pub dx: *mut f32,
    pub dup: *mut f32,
}

/// Elements that a thread takes together.
const STEP: usize = 64;

impl GateForward {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx512).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; everything has `n` elements.
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let share = crew.share(self.n, STEP);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe {
            wide::forward(self, share);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = share;
    }
}

impl GateBack {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx512).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// As for [`GateForward::run`].
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let share = crew.share(self.n, STEP);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe {
            wide::back(self, share);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = share;
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::{Curve, GateBack, GateForward};
    use crate::kernels::vector::{exp, first};

    const C: f32 = 0.797_884_6;
    const CUBIC: f32 = 0.044_715;

    /// s(z) and z'.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn parts(curve: Curve, x: __m512) -> (__m512, __m512) {
        let one = _mm512_set1_ps(1.0);
        let (z, slope) = match curve {
            Curve::Silu => (x, one),
            Curve::Gelu => {
                let (square, c) = (_mm512_mul_ps(x, x), _mm512_set1_ps(2.0 * C));
                let z = _mm512_fmadd_ps(square, _mm512_set1_ps(2.0 * C * CUBIC), c);
                let slope = _mm512_fmadd_ps(square, _mm512_set1_ps(6.0 * C * CUBIC), c);
                (_mm512_mul_ps(x, z), slope)
            }
        };
        let e = exp(_mm512_sub_ps(_mm512_setzero_ps(), z));
        (_mm512_div_ps(one, _mm512_add_ps(one, e)), slope)
    }

    /// # Safety
    /// As [`GateForward::run`], for some of its elements.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn forward(g: &GateForward, elements: Range<usize>) {
        for i in elements.clone().step_by(16) {
            let mask = first(elements.end - i);
            // SAFETY: masked to the end.
            unsafe {
                let x = _mm512_maskz_loadu_ps(mask, g.x.add(i));
                let mut y = _mm512_mul_ps(x, parts(g.curve, x).0);
                if !g.up.is_null() {
                    y = _mm512_mul_ps(y, _mm512_maskz_loadu_ps(mask, g.up.add(i)));
                }
                _mm512_mask_storeu_ps(g.y.add(i), mask, y);
            }
        }
    }

    /// # Safety
    /// As [`GateBack::run`], for some of its elements.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn back(g: &GateBack, elements: Range<usize>) {
        for i in elements.clone().step_by(16) {
            let mask = first(elements.end - i);
            // SAFETY: masked to the end; all is read before it is written, so that results may take its place.
            unsafe {
                let x = _mm512_maskz_loadu_ps(mask, g.x.add(i));
                let mut dy = _mm512_maskz_loadu_ps(mask, g.dy.add(i));
                let (s, slope) = parts(g.curve, x);
                let y = _mm512_mul_ps(x, s);
                // s + x s (1 - s) z' = s + (y - y s) z'.
                let bend = _mm512_fnmadd_ps(y, s, y);
                let slope = _mm512_fmadd_ps(bend, slope, s);
                if !g.up.is_null() {
                    let up = _mm512_maskz_loadu_ps(mask, g.up.add(i));
                    _mm512_mask_storeu_ps(g.dup.add(i), mask, _mm512_mul_ps(dy, y));
                    dy = _mm512_mul_ps(dy, up);
                }
                _mm512_mask_storeu_ps(g.dx.add(i), mask, _mm512_mul_ps(dy, slope));
            }
        }
    }
}
