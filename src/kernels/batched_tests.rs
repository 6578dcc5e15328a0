//! Against the oracle, for every type and level, and vectors that lie between others.

use super::super::WeightType;
use super::super::oracle::{self, Random};
use super::super::testing::{Together, levels, run_crew, with_gaps, without_gaps};
use super::*;

/// What lies between vectors: it must have no effect, and stay.
const BETWEEN: f32 = 7.5;

struct Case {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    tokens: usize,
    count: usize,
    seed: u64,
}

impl Case {
    fn new(weight_type: WeightType, tokens: usize, count: usize, random: &mut Random) -> Self {
        let block = weight_type.block();
        let width = if block == 1 { 1 + random.below(200) } else { block * (1 + random.below(3)) };
        Self { weight_type, rows: 1 + random.below(90), width, tokens, count, seed: random.next() }
    }

    fn data(&self) -> Vec<u8> {
        oracle::random_weight(self.weight_type, self.rows * self.count, self.width, self.seed)
    }

    /// Token after token, the vectors of all products.
    fn x(&self) -> Vec<f32> {
        oracle::random_floats(self.tokens * self.count * self.width, self.seed ^ 1)
    }

    /// Token after token, the values of all products.
    fn expected(&self) -> Vec<f64> {
        let Self { rows, width, tokens, count, .. } = *self;
        let weights = oracle::dequantize(self.weight_type, &self.data(), width);
        let x = self.x();
        let one = |token: usize, i: usize| {
            let x = &x[(token * count + i) * width..][..width];
            oracle::product(&weights[i * rows * width..], rows, width, x, 1)
        };
        (0..tokens).flat_map(|token| (0..count).flat_map(move |i| one(token, i))).collect()
    }

    /// The values as [`Case::expected`] has them, or that there is no kernel.
    fn run(&self, level: Level, threads: usize) -> Option<Vec<f32>> {
        let Self { weight_type, rows, width, tokens, count, .. } = *self;
        let (data, stride) = (self.data(), weight_type.bytes_of(width));
        let x = with_gaps(&self.x(), width, &[f32::NAN; 3]);
        let (x_stride, y_stride) = (width + 3, rows + 2);
        let mut y = vec![BETWEEN; tokens * count * y_stride];
        let product = Together(BatchedProduct {
            first: Product {
                weight: Weight { weight_type, data: data.as_ptr(), stride, rows, width },
                x: Vectors::to_read(x.as_ptr(), count * x_stride),
                tokens,
                y: Vectors::new(y.as_mut_ptr(), count * y_stride),
                to_bytes: true,
                is_packed: false,
            },
            count,
            weight_stride: rows * stride,
            x_stride,
            y_stride,
        });
        let need = product.get().need(level)?;
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the weights and vectors are as many as the products say.
            unsafe { product.get().run(level, crew, scratch) }
        });
        Some(without_gaps(&y, rows, &[BETWEEN; 2]))
    }

    /// Whether there was a kernel, which was right then.
    fn check(&self, level: Level) -> bool {
        let Some(y) = self.run(level, 1) else { return false };
        let Self { weight_type, rows, width, tokens, count, .. } = self;
        let error = oracle::relative_error(&y, &self.expected());
        assert!(
            error < 2e-2,
            "{weight_type:?} {level:?} {count} x {rows} x {width}, {tokens}: {error:e}"
        );
        let again = self.run(level, 3).expect("a kernel as before");
        let same = y.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{weight_type:?} {level:?}: threads differ");
        true
    }
}

#[test]
fn every_type_is_right_for_any_number_of_matrices_and_tokens() {
    let mut random = Random(1);
    for (_, weight_type) in WeightType::KNOWN {
        for level in levels() {
            let mut computed = 0;
            for tokens in [1, 2, 9, 40, 600] {
                let count = if tokens > 100 { 2 } else { 1 + random.below(7) };
                let case = Case::new(weight_type, tokens, count, &mut random);
                computed += usize::from(case.check(level));
            }
            assert!(computed > 0, "{weight_type:?} {level:?}");
        }
    }
}

#[test]
fn without_kernels_nothing_is_offered() {
    let case = Case::new(WeightType::Q8_0, 5, 3, &mut Random(2));
    assert!(case.run(Level::None, 1).is_none());
}
