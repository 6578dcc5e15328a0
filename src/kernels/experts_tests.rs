//! Against the oracle, for every type, level and way in which tokens choose.

use super::super::WeightType;
use super::super::oracle::{self, Random};
use super::super::testing::{Together, levels, run_crew, with_gaps, without_gaps};
use super::*;

/// A product, and who has chosen whom.
struct Case {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    experts: usize,
    tokens: usize,
    slots: usize,
    x_is_shared: bool,
    chosen: Vec<i32>,
    seed: u64,
}

/// Numbers between the choices, which nobody reads.
const GAP: usize = 3;
/// What lies between vectors: it must have no effect, and stay.
const BETWEEN: f32 = 7.5;

impl Case {
    /// `among` experts of all are chosen, different ones for each token if there are enough.
    fn new(weight_type: WeightType, random: &mut Random, tokens: usize, among: usize) -> Self {
        let block = weight_type.block();
        let width = if block == 1 { 1 + random.below(200) } else { block * (1 + random.below(3)) };
        let (experts, slots) = (among + random.below(3), 1 + random.below(4));
        let chosen = (0..tokens).flat_map(|_| {
            let first = random.below(among);
            (0..slots).map(move |slot| ((first + slot) % among) as i32).collect::<Vec<_>>()
        });
        let chosen = chosen.collect();
        let (rows, x_is_shared) = (1 + random.below(40), random.below(2) == 0);
        let seed = random.next();
        Self { weight_type, rows, width, experts, tokens, slots, x_is_shared, chosen, seed }
    }

    fn vectors(&self) -> usize {
        self.tokens * self.slots
    }

    fn data(&self) -> Vec<u8> {
        let rows = self.rows * self.experts;
        oracle::random_weight(self.weight_type, rows, self.width, self.seed)
    }

    fn x(&self) -> Vec<f32> {
        let count = if self.x_is_shared { self.tokens } else { self.vectors() };
        oracle::random_floats(count * self.width, self.seed ^ 1)
    }

    fn expected(&self) -> Vec<f64> {
        let weights = oracle::dequantize(self.weight_type, &self.data(), self.width);
        let (x, of_expert) = (self.x(), self.rows * self.width);
        let one = |vector: usize| {
            let expert = (self.chosen[vector] as usize).min(self.experts - 1);
            let vector = if self.x_is_shared { vector / self.slots } else { vector };
            let x = &x[vector * self.width..][..self.width];
            oracle::product(&weights[expert * of_expert..], self.rows, self.width, x, 1)
        };
        (0..self.vectors()).flat_map(one).collect()
    }

    /// The values of all vectors, or that there is no kernel.
    fn run(&self, level: Level, threads: usize) -> Option<Vec<f32>> {
        let (data, width, rows) = (self.data(), self.width, self.rows);
        let (x_stride, y_stride) = (width + 5, rows + 2);
        let x = with_gaps(&self.x(), width, &[f32::NAN; 5]);
        let mut y = vec![BETWEEN; self.vectors() * y_stride];
        let chosen = with_gaps(&self.chosen, self.slots, &[-9; GAP]);
        let stride = self.weight_type.bytes_of(width);
        let weight_type = self.weight_type;
        let product = Together(ExpertProduct {
            weight: Weight { weight_type, data: data.as_ptr(), stride, rows, width },
            experts: self.experts,
            expert_stride: rows * stride,
            tokens: self.tokens,
            slots: self.slots,
            chosen: chosen.as_ptr(),
            chosen_strides: [self.slots + GAP, 1],
            x: Vectors::to_read(x.as_ptr(), x_stride),
            x_is_shared: self.x_is_shared,
            y: Vectors::new(y.as_mut_ptr(), y_stride),
        });
        let need = product.get().need(level)?;
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors and choices are as many as the product says.
            unsafe { product.get().run(level, crew, scratch) }
        });
        Some(without_gaps(&y, rows, &[BETWEEN; 2]))
    }

    /// Whether there was a kernel, which was right then.
    fn check(&self, level: Level) -> bool {
        let Some(y) = self.run(level, 1) else { return false };
        let error = oracle::relative_error(&y, &self.expected());
        let Self { weight_type, rows, width, experts, tokens, slots, .. } = self;
        assert!(
            error < 2e-2,
            "{weight_type:?} {level:?} {experts} x {rows} x {width}, {tokens} x {slots}: {error:e}"
        );
        let again = self.run(level, 3).expect("a kernel as before");
        let same = y.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{weight_type:?} {level:?}: threads differ");
        true
    }
}

#[test]
fn every_type_is_right_however_many_vectors_an_expert_has() {
    let mut random = Random(1);
    for (_, weight_type) in WeightType::KNOWN {
        for level in levels() {
            let mut computed = 0;
            for tokens in [1, 2, 7, 30, 90] {
                for among in [1, 2, 9] {
                    let case = Case::new(weight_type, &mut random, tokens, among);
                    computed += usize::from(case.check(level));
                }
            }
            assert!(computed > 0, "{weight_type:?} {level:?}");
        }
    }
}

#[test]
fn one_expert_may_have_more_vectors_than_are_packed_at_a_time() {
    let mut random = Random(2);
    for level in levels() {
        for weight_type in [WeightType::Q8_0, WeightType::F16] {
            let mut case = Case::new(weight_type, &mut random, 400, 3);
            // One token alone has chosen otherwise.
            case.chosen.fill(2);
            case.chosen[case.slots * 5] = 0;
            assert!(case.check(level));
            // As many as are packed at a time, which is more than of all in equal parts.
            (case.tokens, case.slots) = (600, 1);
            case.chosen = (0..600).map(|t| i32::from(t < 512)).collect();
            assert!(case.check(level));
        }
    }
}

#[test]
fn a_choice_beyond_the_experts_reads_nothing_beyond_them() {
    let mut random = Random(3);
    for level in levels() {
        let mut case = Case::new(WeightType::Q4_0, &mut random, 6, 4);
        case.chosen[0] = i32::MAX;
        case.chosen[1] = case.experts as i32;
        assert!(case.check(level));
        case.chosen[0] = -1;
        let last = case.experts as i32 - 1;
        let wrong = case.run(level, 1);
        case.chosen[0] = last;
        assert_eq!(wrong, case.run(level, 1));
    }
}

#[test]
fn without_kernels_or_vectors_nothing_is_offered() {
    let mut case = Case::new(WeightType::Q8_0, &mut Random(4), 5, 3);
    assert!(case.run(Level::None, 1).is_none());
    (case.tokens, case.chosen) = (0, Vec::new());
    for level in levels() {
        assert!(case.run(level, 1).is_none());
    }
}
