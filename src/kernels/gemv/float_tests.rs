//! Against the oracle, in all shapes.

use super::super::super::oracle::{Random, dequantize, product, random_floats, random_weight};
use super::super::super::testing::{Together, levels, run_crew};
use super::super::super::{Need, Queue};
use super::super::run;
use super::*;

/// What lies between rows: it must have no effect.
const GAP: f32 = f32::NAN;

struct Shape {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    tokens: usize,
}

impl Shape {
    /// The values of all tokens, from `threads` threads; and what they should be.
    fn run(&self, level: Level, threads: usize, seed: u64) -> (Vec<f32>, Vec<f64>) {
        let Self { weight_type, rows, width, tokens } = *self;
        let data = random_weight(weight_type, rows, width, seed);
        let w = dequantize(weight_type, &data, width);
        let x = random_floats(tokens * width, seed + 1);
        let bytes = weight_type.bytes_of(width);
        // At an odd address, with gaps full of NaNs.
        let stride = bytes + 6;
        let mut spread = vec![0xffu8; rows * stride + 2];
        let odd = 1 - spread.as_ptr().addr() % 2;
        for (row, from) in data.chunks_exact(bytes).enumerate() {
            spread[odd + row * stride..][..bytes].copy_from_slice(from);
        }
        let (x_stride, y_stride) = (width + 3, rows + 2);
        let mut x_spread = vec![GAP; tokens * x_stride];
        for (t, from) in x.chunks_exact(width).enumerate() {
            x_spread[t * x_stride..][..width].copy_from_slice(from);
        }
        let mut y = vec![7.0f32; tokens * y_stride];
        let weight = Weight { weight_type, data: spread[odd..].as_ptr(), stride, rows, width };
        let x_at = Vectors::to_read(x_spread.as_ptr(), x_stride);
        let y_at = Vectors::new(y.as_mut_ptr(), y_stride);
        let p = Together(Product {
            weight,
            x: x_at,
            tokens,
            y: y_at,
            to_bytes: true,
            is_packed: false,
        });
        assert!(offers(&p.0, level));
        let p = &p;
        // SAFETY: the vectors have the rows; the level is one of the processor's.
        run_crew(threads, Need::default(), |crew, scratch| unsafe {
            run(&p.0, level, crew, scratch, &mut Queue::new(0))
        });
        let (values, between): (Vec<_>, Vec<_>) =
            y.iter().enumerate().partition(|(i, _)| i % y_stride < rows);
        assert!(between.iter().all(|(_, y)| **y == 7.0), "written between the rows");
        let values = values.into_iter().map(|(_, y)| *y).collect();
        (values, product(&w, rows, width, &x, tokens))
    }
}

/// The largest error of a sum of `width` products of numbers up to 1.
fn allowed(width: usize) -> f64 {
    1e-7 * (width as f64).sqrt() * 4.0
}

fn check(shape: &Shape, seed: u64) {
    for level in levels() {
        let (got, expected) = shape.run(level, 1, seed);
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let error = (f64::from(*got) - expected).abs();
            let Shape { weight_type, rows, width, tokens } = shape;
            assert!(
                error <= allowed(*width),
                "{weight_type:?} {level:?} {rows} x {width}, {tokens} tokens, {i}: {got} {expected}"
            );
        }
    }
}

const FLOATS: [WeightType; 3] = [WeightType::F32, WeightType::F16, WeightType::Bf16];

#[test]
fn every_width_of_a_row_is_summed_up_whole() {
    for weight_type in FLOATS {
        for width in (1..=70).chain([127, 576, 1001]) {
            let tokens = 1 + width % 5;
            check(&Shape { weight_type, rows: 3, width, tokens }, width as u64);
        }
    }
}

#[test]
fn every_number_of_rows_and_tokens_is_computed() {
    let mut random = Random(11);
    for weight_type in FLOATS {
        for tokens in 1..=TOKENS {
            for rows in 1..=9 {
                let width = 1 + random.below(90);
                check(&Shape { weight_type, rows, width, tokens }, random.next());
            }
        }
    }
}

#[test]
fn threads_share_the_rows_and_change_nothing() {
    for weight_type in FLOATS {
        // Rows of 3 to 6 KiB: several chunks for each thread.
        let shape = Shape { weight_type, rows: 203, width: 1537, tokens: 2 };
        for level in levels() {
            let one = shape.run(level, 1, 5).0;
            assert_eq!(shape.run(level, 2, 5).0, one, "{weight_type:?} {level:?}");
            assert_eq!(shape.run(level, 3, 5).0, one, "{weight_type:?} {level:?}");
        }
        check(&shape, 6);
    }
}

#[test]
fn other_types_and_levels_are_not_offered() {
    let weight = Weight {
        weight_type: WeightType::F16,
        data: std::ptr::null(),
        stride: 64,
        rows: 4,
        width: 32,
    };
    let nowhere = Vectors::to_read(std::ptr::null(), 0);
    let p = Product { weight, x: nowhere, tokens: 8, y: nowhere, to_bytes: true, is_packed: false };
    assert!(offers(&p, Level::Avx2) && offers(&p, Level::Avx512Bf16));
    assert!(!offers(&p, Level::None));
    let weight = Weight { weight_type: WeightType::Q8_0, ..weight };
    assert!(!offers(&Product { weight, ..p }, Level::Avx512));
}
