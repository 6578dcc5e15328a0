//! The end of a token's loss: what the target's own row adds.

use super::CrossEntropy;
use super::row::State;
use crate::kernels::{Level, dequant};

/// Writes the results of token `i`, whose gradient has the weighted sum of all other rows.
///
/// # Safety
/// As for [`CrossEntropy::run`]; only this thread uses the token's results. `row` has room for the weight's width.
pub(super) unsafe fn finish(
    op: &CrossEntropy,
    level: Level,
    i: usize,
    state: &State,
    row: *mut f32,
) {
    // SAFETY: the caller's.
    let target = unsafe { *op.targets.add(i) };
    // How much less likely than the likeliest other, as a logarithm; p(target) = 1 / (1 + sum e^behind).
    let behind = f64::from(state.most) - f64::from(state.target);
    let loss = if state.sum == 0.0 {
        0.0
    } else if behind > 600.0 {
        behind + state.sum.ln()
    } else {
        (state.sum * behind.exp()).ln_1p()
    };
    let is_best = state.sum == 0.0 || behind < 0.0 || (behind == 0.0 && target < state.best);
    // SAFETY: the caller's.
    unsafe {
        *op.loss.add(i) = loss as f32;
        *op.best.add(i) = if is_best { target } else { state.best };
    }
    if op.gradient.is_null() {
        return;
    }
    // The sums are in parts of e^most.
    let others = (behind - loss).exp() as f32;
    let squeezed = if op.cap != 0.0 { f64::from(state.target) / f64::from(op.cap) } else { 0.0 };
    let own = ((-loss).exp_m1() * (1.0 - squeezed * squeezed)) as f32;
    let width = op.weight.width;
    // SAFETY: the target is a row of the weight; the caller's.
    unsafe {
        let data = op.weight.data.add(target as usize * op.weight.stride);
        dequant::to_f32(level, op.weight.weight_type, data, 0, width, row);
        for j in 0..width {
            let sum = op.gradient.add(i * width + j);
            *sum = *sum * others + *row.add(j) * own;
        }
    }
}
