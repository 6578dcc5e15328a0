//! A vectorisable exponential, the same bits on every platform.

/// Below this, `exp` is a subnormal number: it counts as zero.
const UNDERFLOW: f32 = -87.0;
/// Adding 1.5 * 2^23 rounds an `f32` to an integer and leaves that integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts: the first has few enough bits that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// e^x for x <= 0, to about 2 units in the last place; 0 below -87.
///
/// Only additions, multiplications and bit operations: the compiler vectorises loops over it, and no platform's
/// mathematical library can change a sampled token. With n = round(x / ln 2) and r = x - n ln 2, e^x = 2^n e^r; the
/// Taylor series of e^r to degree 7 is exact to 5e-9 for |r| <= ln 2 / 2.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let clamped = if x < UNDERFLOW { UNDERFLOW } else { x };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    series = series * r + 1.0 / 720.0;
    series = series * r + 1.0 / 120.0;
    series = series * r + 1.0 / 24.0;
    series = series * r + 1.0 / 6.0;
    series = series * r + 0.5;
    series = series * r + 1.0;
    series = series * r + 1.0;
    let value = f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23));
    if x < UNDERFLOW { 0.0 } else { value }
}

/// The sum of exp((x - max) * scale) over a whole row of logits. `max` is the row's largest value, `scale` >= 0.
pub(super) fn sum_exp(logits: &[f32], max: f32, scale: f32) -> f64 {
    const LANES: usize = 16;
    const BLOCK: usize = 1024;
    let mut total = 0.0;
    for block in logits.chunks(BLOCK) {
        // f32 lanes inside a block, f64 between blocks: fast, and exact to about 1e-7.
        let mut lanes = [0.0f32; LANES];
        let steps = block.chunks_exact(LANES);
        for &x in steps.remainder() {
            total += f64::from(exp((x - max) * scale));
        }
        for step in steps {
            for (lane, &x) in lanes.iter_mut().zip(step) {
                *lane += exp((x - max) * scale);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_whole_range() {
        let mut x = -86.99f32;
        while x <= 0.0 {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
            x += 0.0037;
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
    }

    #[test]
    fn sum_exp_counts_every_element_once() {
        for n in [1usize, 15, 16, 17, 1023, 1024, 1025, 3001] {
            let logits: Vec<f32> = (0..n).map(|i| (i % 37) as f32 / -7.0).collect();
            let exact: f64 = logits.iter().map(|&x| (f64::from(x) * 0.5).exp()).sum();
            let sum = sum_exp(&logits, 0.0, 0.5);
            assert!((sum - exact).abs() < 1e-6 * exact, "{n}: {sum} {exact}");
        }
    }
}
