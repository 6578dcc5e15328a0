//! Functions of vectors that are made of their operations.

use std::f32::consts::{LN_2, LOG2_E};

use super::Lanes;

/// log2 e beyond its f32.
const LOG2_E_REST: f32 = 1.925_963e-8;

/// The hyperbolic tangent: in absolute terms as exact as an f32 near 1.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn tanh<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: the caller's.
    unsafe {
        // Beyond 20 it is 1. The order of the arguments keeps what is not a number.
        let x = L::max(L::splat(-20.0), L::min(L::splat(20.0), x));
        let e = L::exp2(L::mul(L::splat(2.0 * LOG2_E), x));
        L::fma(L::splat(-2.0), L::inverse(L::add(e, L::splat(1.0))), L::splat(1.0))
    }
}

/// e^x to within 4 units in the last place; 0 below -87.3, infinity above 88.4 at the latest. What is not a number stays
/// so.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: the caller's.
    unsafe {
        // 2^128 is infinity already, and the highest that `exp2` makes. The order of the arguments keeps what is not a
        // number.
        let x = L::max(L::splat(-100.0), L::min(L::splat(88.75), x));
        let log2_e = L::splat(LOG2_E);
        let power = L::mul(log2_e, x);
        // What the product lost when it was rounded: without it the error grows with x.
        let lost = L::fma(log2_e, x, L::sub(L::splat(0.0), power));
        let lost = L::fma(L::splat(LOG2_E_REST), x, lost);
        L::mul(L::exp2(power), L::fma(L::splat(LN_2), lost, L::splat(1.0)))
    }
}

/// pi / 2, in three parts: products of the first two with a whole number are subtracted with hardly a loss.
const HALF_PI: [f32; 3] = [1.570_796_4, -4.371_139e-8, -1.715_124_7e-15];
/// Sine: x + x^3 (...), the highest power first. Source: Moshier, Cephes.
const SINE: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
/// Cosine: 1 - x^2 / 2 + x^4 (...), the highest power first. Source: as above.
const COSINE: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];

/// Sine and cosine, to within 1.5e-7 of the exact values for x up to 2^20 in size.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn sin_cos<L: Lanes>(x: L::V) -> (L::V, L::V) {
    // SAFETY: the caller's.
    unsafe {
        let splat = |x: f32| L::splat(x);
        let turns = L::round(L::mul(x, splat(std::f32::consts::FRAC_2_PI)));
        let mut r = x;
        for part in HALF_PI {
            r = L::fma(turns, splat(-part), r);
        }
        let square = L::mul(r, r);
        let along = |terms: [f32; 3]| {
            let p = L::fma(splat(terms[0]), square, splat(terms[1]));
            L::fma(p, square, splat(terms[2]))
        };
        let sine = L::fma(L::mul(along(SINE), square), r, r);
        let cosine = L::fma(splat(-0.5), square, splat(1.0));
        let cosine = L::fma(L::mul(along(COSINE), square), square, cosine);
        // Sine and cosine of the quarter turns that were taken off are 0, 1 or -1: with q of -2 to 2 quarters, and odd
        // being 0 or 1, the cosine is (1 - odd)(1 - q^2 / 2), and the sine is q odd. The sum of angles is exact then.
        let one = splat(1.0);
        let half = L::fma(splat(-2.0), L::round(L::mul(turns, splat(0.5))), turns);
        let odd = L::mul(half, half);
        let q = L::fma(splat(-4.0), L::round(L::mul(turns, splat(0.25))), turns);
        let by_cosine = L::mul(q, odd);
        let by_sine = L::mul(L::sub(one, odd), L::fma(splat(-0.5), L::mul(q, q), one));
        (
            L::fma(by_sine, sine, L::mul(by_cosine, cosine)),
            L::sub(L::mul(by_sine, cosine), L::mul(by_cosine, sine)),
        )
    }
}
