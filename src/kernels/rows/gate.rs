//! Activations, alone or gating a second value: SwiGLU and GeGLU. Source: Shazeer, GLU Variants Improve Transformer, 2020.
//!
//! Both curves are x s(z): SiLU with z = x, GELU in its tanh form with z = 2 c (x + 0.044715 x^3), c = sqrt(2 / pi), as
//! (1 + tanh(u)) / 2 = s(2 u).

use std::ops::Range;

use crate::kernels::lanes::{self, Kernel, Lanes, exp};
use crate::kernels::{Crew, Level, Need, Scratch};

const C: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// x s(x).
    Silu,
    /// The tanh form.
    Gelu,
}

/// `y = f(x) * up`, element by element. Strides are in floats, from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateForward {
    pub curve: Curve,
    pub width: usize,
    pub rows: usize,
    pub x: *const f32,
    pub x_stride: usize,
    /// Null for f(x) alone.
    pub up: *const f32,
    pub up_stride: usize,
    pub y: *mut f32,
    pub y_stride: usize,
}

impl GateForward {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx2).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; the pointers are valid for the shape.
    /// Each row of `y` is where a row of the same number of `x` or `up` is, or where no other row is.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe { self.run_rows(level, crew.share(self.rows, 1)) };
    }

    /// Computes some rows.
    ///
    /// # Safety
    /// As for [`run`](Self::run); nobody else computes these rows.
    pub(crate) unsafe fn run_rows(&self, level: Level, rows: Range<usize>) {
        // SAFETY: by the contract of this function.
        unsafe { lanes::run(level, GateRows { gate: self, rows }) };
    }
}

struct GateRows<'a> {
    gate: &'a GateForward,
    rows: Range<usize>,
}

impl Kernel for GateRows<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for row in self.rows.clone() {
            // SAFETY: by the contract of `GateForward::run_rows`.
            unsafe {
                match self.gate.curve {
                    Curve::Silu => self.along::<L, false>(row),
                    Curve::Gelu => self.along::<L, true>(row),
                }
            }
        }
    }
}

impl GateRows<'_> {
    /// # Safety
    /// As [`GateForward::run_rows`], for one of the rows.
    #[inline(always)]
    unsafe fn along<L: Lanes, const GELU: bool>(&self, row: usize) {
        let (g, curve) = (self.gate, if GELU { Curve::Gelu } else { Curve::Silu });
        let (x, up) = (g.x.wrapping_add(row * g.x_stride), g.up.wrapping_add(row * g.up_stride));
        let y = g.y.wrapping_add(row * g.y_stride);
        for i in (0..g.width).step_by(L::N) {
            let n = g.width - i;
            // SAFETY: within the row, of which as many lanes are used as are left; all is read before it is written.
            unsafe {
                let value = L::load_first(n, x.add(i));
                let mut out = L::mul(value, sigmoid_part::<L>(curve, value).0);
                if !g.up.is_null() {
                    out = L::mul(out, L::load_first(n, up.add(i)));
                }
                L::store_first(n, y.add(i), out);
            }
        }
    }
}

/// s(z), and z' for the way back.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn sigmoid_part<L: Lanes>(curve: Curve, x: L::V) -> (L::V, L::V) {
    // SAFETY: the caller's.
    unsafe {
        let one = L::splat(1.0);
        let (z, slope) = match curve {
            Curve::Silu => (x, one),
            Curve::Gelu => {
                let (square, c) = (L::mul(x, x), L::splat(2.0 * C));
                let z = L::fma(square, L::splat(2.0 * C * CUBIC), c);
                (L::mul(x, z), L::fma(square, L::splat(6.0 * C * CUBIC), c))
            }
        };
        // Beyond 87 the inverse is hardly above 0. The order of the arguments keeps what is not a number.
        let e = exp::<L>(L::min(L::splat(87.0), L::sub(L::splat(0.0), z)));
        (L::inverse(L::add(one, e)), slope)
    }
}
