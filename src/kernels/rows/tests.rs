//! Gates and norms against their formulas in f64, for rows with and without gaps, in place or not.

use super::testing::{Rows, apply};
use super::*;
use crate::kernels::Level;
use crate::kernels::testing::{Together, levels, run_crew};

/// Widths, strides of what is read and of what is written, rows and threads.
const SHAPES: [([usize; 3], usize, usize); 8] = [
    ([1, 1, 1], 1, 1),
    ([7, 9, 7], 3, 2),
    ([8, 8, 11], 5, 3),
    ([16, 16, 16], 1, 2),
    ([33, 40, 33], 600, 2),
    ([64, 192, 64], 9, 1),
    ([100, 100, 128], 4, 3),
    ([577, 600, 578], 6, 2),
];

fn wide(row: &[f32]) -> impl Iterator<Item = f64> {
    row.iter().map(|x| f64::from(*x))
}

fn gate(level: Level, gate: GateForward, threads: usize) {
    let gate = &Together(gate);
    let need = gate.get().need(level).expect("a kernel");
    // SAFETY: the callers' rows are as many and as long as they say; the level is one of the processor's.
    run_crew(threads, need, |crew, s| unsafe { gate.get().run(level, crew, s) });
}

fn norm(level: Level, norm: NormForward, threads: usize) {
    let norm = &Together(norm);
    let need = norm.get().need(level).expect("a kernel");
    // SAFETY: as in `gate`.
    run_crew(threads, need, |crew, s| unsafe { norm.get().run(level, crew, s) });
}

#[test]
fn gates_follow_their_curves() {
    for level in levels() {
        for curve in [Curve::Silu, Curve::Gelu] {
            for ([width, from, to], rows, threads) in SHAPES {
                let mut x = Rows::random(rows, [width, from], 12.0, 1);
                let up = Rows::random(rows, [width, to], 1.0, 2);
                let mut y = Rows::empty(rows, [width, to]);
                let pairs = || x.rows().zip(up.rows());
                let gated: Vec<Vec<f64>> = pairs()
                    .map(|(x, up)| {
                        wide(x).zip(wide(up)).map(|(x, up)| apply(curve, x) * up).collect()
                    })
                    .collect();
                let alone: Vec<Vec<f64>> =
                    x.rows().map(|x| wide(x).map(|x| apply(curve, x)).collect()).collect();
                let (x_at, up_at) = (x.data.as_mut_ptr(), up.data.as_ptr());
                let first = GateForward {
                    curve,
                    width,
                    rows,
                    x: x_at,
                    x_stride: from,
                    up: up_at,
                    up_stride: to,
                    y: y.data.as_mut_ptr(),
                    y_stride: to,
                };
                gate(level, first, threads);
                y.assert_close("gated", &gated);
                gate(level, GateForward { up: std::ptr::null(), ..first }, threads);
                y.assert_close("alone", &alone);
                gate(level, GateForward { y: x_at, y_stride: from, ..first }, threads);
                x.assert_close("in place", &gated);
            }
        }
    }
}

#[test]
fn large_values_saturate() {
    for level in levels() {
        for curve in [Curve::Silu, Curve::Gelu] {
            let x = [-1e4f32, -100.0, 100.0, 1e4, f32::NAN];
            let mut y = [0f32; 5];
            let (x, x_stride, up) = (x.as_ptr(), 5, std::ptr::null());
            let (up_stride, y_at, y_stride) = (0, y.as_mut_ptr(), 5);
            let (width, rows) = (5, 1);
            let all =
                GateForward { curve, width, rows, x, x_stride, up, up_stride, y: y_at, y_stride };
            gate(level, all, 1);
            assert!(y[..2].iter().all(|y| y.abs() < 1e-30), "{y:?}");
            assert_eq!(y[2..4], [100.0, 1e4]);
            assert!(y[4].is_nan());
        }
    }
}

#[test]
fn norms_make_rows_of_one_size() {
    for level in levels() {
        for ([width, from, to], rows, threads) in SHAPES {
            for size in [1e-3, 1.0, 300.0] {
                let (mut x, eps) = (Rows::random(rows, [width, from], size, 3), 1e-5f32);
                let weight = Rows::random(1, [width, width], 1.0, 4);
                let mut y = Rows::empty(rows, [width, to]);
                let root = |x: &[f32]| {
                    let mean = wide(x).map(|x| x * x).sum::<f64>() / width as f64;
                    (mean + f64::from(eps)).sqrt()
                };
                let normed: Vec<Vec<f64>> =
                    x.rows().map(|row| wide(row).map(|x| x / root(row)).collect()).collect();
                let scaled: Vec<Vec<f64>> = normed
                    .iter()
                    .map(|row| row.iter().zip(wide(&weight.data)).map(|(x, w)| x * w).collect())
                    .collect();
                let x_at = x.data.as_mut_ptr();
                let first = NormForward {
                    weight: weight.data.as_ptr(),
                    eps,
                    width,
                    rows,
                    x: x_at,
                    x_stride: from,
                    y: y.data.as_mut_ptr(),
                    y_stride: to,
                };
                norm(level, first, threads);
                y.assert_close("scaled", &scaled);
                norm(level, NormForward { weight: std::ptr::null(), ..first }, threads);
                y.assert_close("normed", &normed);
                norm(level, NormForward { y: x_at, y_stride: from, ..first }, threads);
                x.assert_close("in place", &scaled);
            }
        }
    }
}

#[test]
fn weighted_rows_are_added_from_the_left() {
    for level in levels() {
        for ([width, from, to], rows, threads) in SHAPES {
            for terms in [1, 2, 8] {
                let x = Rows::random(rows * terms, [width, from], 3.0, 1);
                let weights = Rows::random(rows, [terms, terms + 1], 1.0, 2);
                let mut y = Rows::empty(rows, [width, to]);
                let sum = &Together(WeightedSum {
                    width,
                    rows,
                    terms,
                    x: x.data.as_ptr(),
                    x_strides: [from, terms * from],
                    weights: weights.data.as_ptr(),
                    weight_strides: [1, terms + 1],
                    y: y.data.as_mut_ptr(),
                    y_stride: to,
                });
                let need = sum.get().need(level).expect("a kernel");
                // SAFETY: the rows are as many and as long as they say; the level is one of the processor's.
                run_crew(threads, need, |crew, s| unsafe { sum.get().run(level, crew, s) });
                let all: Vec<&[f32]> = x.rows().collect();
                let pairs = all.chunks(terms).zip(weights.rows());
                // To the bit: what the operations one after the other would give.
                let expected = pairs.flat_map(|(terms, weights)| {
                    (0..width).map(move |i| {
                        let products = terms.iter().zip(weights).map(|(x, w)| x[i] * w);
                        products.reduce(|sum, x| sum + x).expect("a term")
                    })
                });
                let expected: Vec<f32> = expected.collect();
                assert_eq!(y.rows().flatten().copied().collect::<Vec<_>>(), expected, "{level:?}");
                y.assert_gaps();
                // With the weights where results go.
                let floats = (rows * to).max(rows * (terms + 1));
                let mut both = vec![0f32; floats];
                both[..weights.data.len()].copy_from_slice(&weights.data);
                let at = both.as_mut_ptr();
                let sum = &Together(WeightedSum { weights: at, y: at, ..*sum.get() });
                let need = sum.get().need(level).expect("a kernel");
                assert!(need.own > 0);
                // SAFETY: as above.
                run_crew(threads, need, |crew, s| unsafe { sum.get().run(level, crew, s) });
                let found = both[..rows * to].chunks(to).flat_map(|row| &row[..width]);
                assert_eq!(found.copied().collect::<Vec<_>>(), expected, "{level:?}");
            }
        }
    }
}
