//! Products of bytes against those in f64 of the same weights with tokens that are rounded as the kernel rounds them.

use super::super::super::oracle::{self, Random};
use super::super::super::testing::{Together, levels, run_crew};
use super::super::super::{Level, Product, Queue, Weight, WeightType};
use super::Form;

#[derive(Debug, Clone, Copy)]
struct Case {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    tokens: usize,
    seed: u64,
}

impl Case {
    /// Elements that share a scale of the token's.
    fn group(&self) -> usize {
        use WeightType::*;
        if matches!(self.weight_type, Q2K | Q3K | Q6K) { 16 } else { 32 }
    }

    fn tokens(&self) -> Vec<f32> {
        oracle::random_floats(self.tokens * self.width, self.seed ^ 1)
    }

    /// `y`, computed by so many threads; its rows and those of `x` have gaps.
    fn run(&self, x: &[f32], level: Level, threads: usize) -> Vec<f32> {
        let data = oracle::random_weight(self.weight_type, self.rows, self.width, self.seed);
        let mut apart = vec![f32::NAN; self.tokens * (self.width + 3)];
        for (to, from) in apart.chunks_mut(self.width + 3).zip(x.chunks(self.width)) {
            to[..self.width].copy_from_slice(from);
        }
        let y_stride = self.rows + 2;
        let mut y = vec![-1.5; self.tokens * y_stride];
        let product = Together(Product {
            weight: Weight {
                weight_type: self.weight_type,
                data: data.as_ptr(),
                stride: self.weight_type.bytes_of(self.width),
                rows: self.rows,
                width: self.width,
            },
            x: apart.as_ptr(),
            x_stride: self.width + 3,
            tokens: self.tokens,
            y: y.as_mut_ptr(),
            y_stride,
            to_bytes: true,
        });
        assert!(Form::of(product.get(), level).is_some());
        let need = super::super::need(product.get(), level).expect("a GEMM");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors are as long as the product says.
            unsafe { super::super::run(product.get(), level, crew, scratch, &mut Queue::new(0)) }
        });
        assert!(y.chunks(y_stride).all(|y| y[self.rows..] == [-1.5; 2]), "{self:?}");
        y.chunks(y_stride).flat_map(|y| y[..self.rows].to_vec()).collect()
    }

    fn check(&self, level: Level) {
        let x = self.tokens();
        let rounded: Vec<f32> = x.chunks(self.group()).flat_map(rounded).collect();
        let data = oracle::random_weight(self.weight_type, self.rows, self.width, self.seed);
        let weights = oracle::dequantize(self.weight_type, &data, self.width);
        let expected = oracle::product(&weights, self.rows, self.width, &rounded, self.tokens);
        let y = self.run(&x, level, 1);
        let error = oracle::relative_error(&y, &expected);
        // What summing up in f32 costs, and that an element between two bytes may become the other.
        assert!(error < 1e-4, "{self:?} {level:?}: {error:e}");
        let again = self.run(&x, level, 3);
        let same = y.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{self:?}: threads differ");
    }
}

/// A group as multiples of a 127th of its largest element.
fn rounded(x: &[f32]) -> Vec<f32> {
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let (scale, inverse) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
    x.iter().map(|x| scale * (x * inverse).round_ties_even()).collect()
}

/// Every type that has quants.
fn types() -> impl Iterator<Item = WeightType> {
    WeightType::KNOWN.into_iter().map(|(_, known)| known).filter(|known| known.block() > 1)
}

fn quick_levels() -> impl Iterator<Item = Level> {
    levels().into_iter().filter(|level| *level >= Level::Avx512Vnni)
}

#[test]
fn every_type_and_shape_is_right() {
    let mut random = Random(1);
    for level in quick_levels() {
        for weight_type in types() {
            for _ in 0..6 {
                let block = weight_type.block();
                let case = Case {
                    weight_type,
                    rows: 1 + random.below(70),
                    width: block * (1 + random.below(1 + 640 / block)),
                    tokens: 1 + random.below(40),
                    seed: random.next(),
                };
                case.check(level);
            }
        }
    }
}

#[test]
fn shapes_beyond_every_block_are_right() {
    for level in quick_levels() {
        for weight_type in [WeightType::Q8_0, WeightType::Q6K, WeightType::Q4K] {
            Case { weight_type, rows: 33, width: 2304, tokens: 600, seed: 2 }.check(level);
        }
        // One panel for many tokens: the threads share them.
        let weight_type = WeightType::Q5_0;
        Case { weight_type, rows: 7, width: 1056, tokens: 150, seed: 3 }.check(level);
    }
}

#[test]
fn a_token_that_is_no_number_concerns_no_other_and_zeros_give_zeros() {
    for level in quick_levels() {
        for weight_type in types() {
            let case = Case { weight_type, rows: 37, width: 512, tokens: 14, seed: 4 };
            let mut x = case.tokens();
            x[3 * 512 + 100] = f32::NAN;
            x[5 * 512 + 511] = f32::INFINITY;
            x[7 * 512..8 * 512].fill(0.0);
            for (t, y) in case.run(&x, level, 2).chunks(case.rows).enumerate() {
                let bad = t == 3 || t == 5;
                assert!(y.iter().all(|y| y.is_finite() != bad), "{weight_type:?}, token {t}");
                assert!(t != 7 || y.iter().all(|y| *y == 0.0), "{weight_type:?}");
            }
        }
    }
}

#[test]
fn floats_and_products_that_are_not_to_be_rounded_are_not() {
    let product = |weight_type, to_bytes| {
        let (data, x, y) = (std::ptr::null(), std::ptr::null(), std::ptr::null_mut());
        let weight = Weight { weight_type, data, stride: 0, rows: 1, width: 256 };
        Product { weight, x, x_stride: 256, tokens: 64, y, y_stride: 1, to_bytes }
    };
    for level in quick_levels() {
        assert_eq!(Form::of(&product(WeightType::Bf16, true), level), None);
        assert_eq!(Form::of(&product(WeightType::Q8_0, false), level), None);
        assert_eq!(Form::of(&product(WeightType::Q8_0, true), level), Some(Form::Signed8));
    }
    assert_eq!(Form::of(&product(WeightType::Q8_0, true), Level::Avx512), None);
}
