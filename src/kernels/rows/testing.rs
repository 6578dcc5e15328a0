//! What the tests of these kernels share: rows with gaps between them, and the curves in f64.

use super::Curve;
use crate::kernels::oracle::random_floats;

/// The curve at `x`.
pub(crate) fn apply(curve: Curve, x: f64) -> f64 {
    let c = (2.0 / std::f64::consts::PI).sqrt();
    match curve {
        Curve::Silu => x / (1.0 + (-x).exp()),
        Curve::Gelu => 0.5 * x * (1.0 + (c * (x + 0.044715 * x * x * x)).tanh()),
    }
}

/// What lies between rows, and must stay.
const GAP: f32 = 7.5;

/// Rows of floats, with gaps.
pub(super) struct Rows {
    pub data: Vec<f32>,
    pub width: usize,
    pub stride: usize,
}

impl Rows {
    /// Random ones, up to `size` far from zero.
    pub(super) fn random(rows: usize, [width, stride]: [usize; 2], size: f32, seed: u64) -> Self {
        let mut data = random_floats(rows * stride, seed);
        for row in data.chunks_mut(stride) {
            row[..width].iter_mut().for_each(|x| *x *= size);
            row[width..].fill(GAP);
        }
        Self { data, width, stride }
    }

    /// Those to be written.
    pub(super) fn empty(rows: usize, [width, stride]: [usize; 2]) -> Self {
        Self::random(rows, [width, stride], f32::NAN, 0)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks(self.stride).map(|row| &row[..self.width])
    }

    /// Checks that nothing was written between the rows.
    pub(super) fn assert_gaps(&self) {
        for (row, found) in self.data.chunks(self.stride).enumerate() {
            assert!(found[self.width..].iter().all(|x| *x == GAP), "the gap after row {row}");
        }
    }

    /// Checks every row, to a part of its largest value, and the gaps.
    pub(super) fn assert_close(&self, what: &str, expected: &[Vec<f64>]) {
        assert_eq!(self.data.len() / self.stride, expected.len());
        for (row, (found, expected)) in self.data.chunks(self.stride).zip(expected).enumerate() {
            let largest = expected.iter().fold(0f64, |most, x| most.max(x.abs()));
            for (i, (y, exact)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(*y) - exact).abs();
                assert!(error <= 1e-6 * largest + 1e-30, "{what}, row {row}, {i}: {y} for {exact}");
            }
        }
        self.assert_gaps();
    }
}
