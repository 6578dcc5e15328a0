//! Products of whole numbers, which are exact, against the same in integers.

use super::{COLUMNS, MOST, STEP, TileProduct, prepare, release};
use crate::kernels::Level;
use crate::kernels::oracle::Random;
use crate::kernels::testing::levels;

/// Whole numbers, two of which are a word of brain floats.
fn words(random: &mut Random, n: usize) -> Vec<[i32; 2]> {
    let mut number = || random.below(17) as i32 - 8;
    (0..n).map(|_| [number(), number()]).collect()
}

fn packed(words: &[[i32; 2]]) -> Vec<u32> {
    let brain = |x: i32| (x as f32).to_bits() >> 16;
    words.iter().map(|[low, high]| brain(*low) | brain(*high) << 16).collect()
}

/// Rows of so many numbers, with others between them.
fn floats(random: &mut Random, rows: usize, stride: usize) -> Vec<f32> {
    (0..rows * stride).map(|_| random.below(100) as f32).collect()
}

#[test]
fn every_number_of_rows_and_steps_is_right() {
    if !levels().contains(&Level::Amx) {
        return;
    }
    let random = &mut Random(1);
    for rows in (1..=MOST).flat_map(|rows| [rows; 4]) {
        let [begins, passes] = [(); 2].map(|()| random.below(2) == 1);
        let steps = random.below(5);
        let row = steps * STEP + random.below(20);
        let strides = [COLUMNS + random.below(20), COLUMNS + random.below(20)];
        let left = words(random, rows * row);
        let right = words(random, steps * STEP * COLUMNS);
        let from = floats(random, rows, strides[0]);
        let before = floats(random, rows, strides[1]);
        let (packed_left, packed_right, mut to) = (packed(&left), packed(&right), before.clone());
        let product = TileProduct {
            rows,
            steps,
            left: packed_left.as_ptr(),
            left_row: row,
            left_step: STEP,
            right: packed_right.as_ptr(),
            right_passes: passes,
            from: if begins { from.as_ptr() } else { std::ptr::null() },
            from_row: strides[0],
            to: to.as_mut_ptr(),
            to_row: strides[1],
        };
        // SAFETY: the matrices are as large as the product says.
        unsafe {
            prepare(rows);
            product.run();
            release();
        }
        for (at, (x, before)) in to.iter().zip(&before).enumerate() {
            let (r, c) = (at / strides[1], at % strides[1]);
            let sum = |word: usize| {
                let (a, b) = (left[r * row + word], right[word * COLUMNS + c]);
                a[0] * b[0] + a[1] * b[1]
            };
            let expected = if c >= COLUMNS {
                *before
            } else {
                let begin = if begins { from[r * strides[0] + c] } else { 0.0 };
                begin + (0..steps * STEP).map(sum).sum::<i32>() as f32
            };
            assert_eq!(*x, expected, "{rows} rows, {steps} steps, row {r}, column {c}");
        }
    }
}
