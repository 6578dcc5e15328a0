//! An adapter in memory, of either format: its pairs with the names and the order of rows of GGUF.

use std::collections::BTreeMap;

use crate::error::{Result, bail};

/// The pairs of an adapter by the weights that they change.
#[derive(Debug, Clone, Default)]
pub(super) struct Lora {
    pub architecture: String,
    pub name: String,
    /// What the base model is called, where that is known.
    pub base_model: String,
    /// Its scale was alpha / sqrt(rank) where it was trained.
    pub rs_lora: bool,
    pub pairs: BTreeMap<String, Pair>,
}

/// W becomes W + scale * B A.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub scale: f64,
    /// Rank x inputs.
    pub a: Matrix,
    /// Outputs x rank.
    pub b: Matrix,
}

/// Numbers row by row, as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub number: Number,
    pub bytes: Vec<u8>,
}

/// The types that both formats have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    F32,
    F16,
    BF16,
}

impl Number {
    pub(super) fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }
}

impl Pair {
    pub(super) fn rank(&self) -> usize {
        self.b.columns
    }

    pub(super) fn n_parameters(&self) -> u64 {
        (self.a.rows * self.a.columns + self.b.rows * self.b.columns) as u64
    }

    /// The Frobenius norm of scale * B A, without making the product: the sum over (A A^T) * (B^T B).
    pub(super) fn norm(&self) -> f64 {
        let (a, b) = (self.a.to_f32(), self.b.to_f32());
        let rank = self.rank();
        let mut of_b = vec![0f64; rank * rank];
        for row in b.chunks_exact(rank.max(1)) {
            for (sums, x) in of_b.chunks_exact_mut(rank.max(1)).zip(row) {
                sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += f64::from(*x) * f64::from(*y));
            }
        }
        let mut total = 0.0;
        let rows: Vec<&[f32]> = a.chunks_exact(self.a.columns.max(1)).collect();
        for (x, sums) in rows.iter().zip(of_b.chunks_exact(rank.max(1))) {
            for (y, sum) in rows.iter().zip(sums) {
                let dot: f64 = x.iter().zip(*y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                total += dot * sum;
            }
        }
        self.scale.abs() * total.max(0.0).sqrt()
    }

    /// # Errors
    /// `AdapterRank` for matrices that do not belong together, `TensorValue` for a number that is none.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        if self.a.rows != self.b.columns || self.rank() == 0 {
            bail!(
                AdapterRank,
                "the pair of {what} has the shapes [{}, {}] and [{}, {}] with different ranks; save the adapter again",
                self.a.rows,
                self.a.columns,
                self.b.rows,
                self.b.columns
            )
        }
        if !self.scale.is_finite() || !(self.scale as f32).is_finite() {
            bail!(TensorValue, "the scale of {what} is {}; the adapter is damaged", self.scale)
        }
        for (half, matrix) in [("A", &self.a), ("B", &self.b)] {
            if let Some(bad) = matrix.to_f32().into_iter().find(|v| !v.is_finite()) {
                bail!(
                    TensorValue,
                    "{half} of {what} holds {bad}; the adapter is damaged or its training failed: get it again"
                )
            }
        }
        Ok(())
    }
}

impl Matrix {
    pub(super) fn from_f32(rows: usize, columns: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { rows, columns, number: Number::F32, bytes }
    }

    pub(super) fn to_f32(&self) -> Vec<f32> {
        let halves = || self.bytes.as_chunks::<2>().0.iter();
        match self.number {
            Number::F32 => {
                self.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            Number::F16 => halves().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Number::BF16 => halves().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        }
    }

    /// The same numbers times a factor, as 32-bit floats.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let values: Vec<f32> =
            self.to_f32().into_iter().map(|v| (f64::from(v) * factor) as f32).collect();
        Self::from_f32(self.rows, self.columns, &values)
    }

    /// Rows become columns.
    pub(super) fn transposed(&self) -> Self {
        let n = self.number.bytes();
        let at = |i: usize, j: usize| (i * self.columns + j) * n;
        let cells = (0..self.columns).flat_map(|j| (0..self.rows).map(move |i| at(i, j)));
        let bytes = cells.flat_map(|at| self.bytes.get(at..at + n).unwrap_or_default());
        let bytes = bytes.copied().collect();
        Self { rows: self.columns, columns: self.rows, number: self.number, bytes }
    }

    /// The rows in another order: row `i` of the result is row `from(i)`.
    pub(super) fn reordered(&self, from: impl Fn(usize) -> usize) -> Self {
        let row = self.columns * self.number.bytes();
        let rows = (0..self.rows).map(|i| self.bytes.get(from(i) * row..(from(i) + 1) * row));
        let bytes = rows.flat_map(Option::unwrap_or_default).copied().collect();
        Self { bytes, ..*self }
    }
}

/// Where a row of GGUF's queries and keys comes from in transformers' order. GGUF keeps the two halves of a rotated pair
/// side by side; transformers keeps one half of a head after the other.
pub(super) fn halves(row: usize, head: usize) -> usize {
    let (first, at) = (row / head * head, row % head);
    first + at % 2 * (head / 2) + at / 2
}

/// The other way round.
pub(super) fn side_by_side(row: usize, head: usize) -> usize {
    let (first, at) = (row / head * head, row % head);
    first + at % (head / 2) * 2 + at / (head / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_orders_of_rows_are_each_others_inverse() {
        let order: Vec<_> = (0..8).map(|i| halves(i, 8)).collect();
        assert_eq!(order, [0, 4, 1, 5, 2, 6, 3, 7]);
        for head in [2, 4, 64] {
            assert!((0..4 * head).all(|i| side_by_side(halves(i, head), head) == i));
        }
        let matrix = Matrix::from_f32(4, 2, &[0., 1., 2., 3., 4., 5., 6., 7.]);
        let moved = matrix.reordered(|i| halves(i, 4));
        assert_eq!(moved.to_f32(), [0., 1., 4., 5., 2., 3., 6., 7.]);
        assert_eq!(moved.reordered(|i| side_by_side(i, 4)), matrix);
    }

    #[test]
    fn the_norm_is_that_of_the_product() {
        let a = Matrix::from_f32(2, 3, &[1., -2., 0.5, 0., 3., 1.]);
        let b = Matrix::from_f32(2, 2, &[2., 1., -1., 4.]);
        let product = [2., -1., 2., -1., 14., 3.5f64];
        let norm = product.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!((Pair { scale: -2.0, a, b }.norm() - 2.0 * norm).abs() < 1e-9);
    }
}
