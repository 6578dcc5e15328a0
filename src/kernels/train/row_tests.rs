//! The ways back through gates and norms against their formulas in f64; results may take the place of what they follow from.

use super::lora_tests::{assert_close, numbers};
use super::*;
use crate::kernels::Level;
use crate::kernels::rows::{Curve, testing::apply};
use crate::kernels::testing::{Together, levels, run_crew};

fn wide(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|v| f64::from(*v))
}

/// By differences: the formula is what is tested.
fn slope(curve: Curve, x: f64) -> f64 {
    let h = 1e-5;
    (apply(curve, x + h) - apply(curve, x - h)) / (2.0 * h)
}

#[test]
fn gates_have_their_way_back() {
    for level in levels() {
        for curve in [Curve::Silu, Curve::Gelu] {
            for (n, threads) in [(1, 1), (15, 2), (64, 1), (1000, 3)] {
                for alone in [false, true] {
                    check_gate(level, curve, n, threads, alone);
                }
            }
        }
    }
}

fn check_gate(level: Level, curve: Curve, n: usize, threads: usize, alone: bool) {
    let x: Vec<f32> = numbers(n, 1).iter().map(|v| v * 12.0).collect();
    let (up, dy) = (numbers(n, 2), numbers(n, 3));
    let (mut dx, mut dup) = (dy.clone(), vec![0f32; n]);
    let up_at = if alone { std::ptr::null() } else { up.as_ptr() };
    let back = GateBack {
        curve,
        n,
        x: x.as_ptr(),
        up: up_at,
        dy: dx.as_ptr(),
        dx: dx.as_mut_ptr(),
        dup: dup.as_mut_ptr(),
    };
    let back = &Together(back);
    let need = back.0.need(level).unwrap();
    // SAFETY: everything has n elements.
    run_crew(threads, need, |crew, s| unsafe { { back }.0.run(level, crew, s) });
    let factor = |v: f64| if alone { 1.0 } else { v };
    let all = || wide(&x).zip(wide(&up)).zip(wide(&dy));
    let expected: Vec<f64> = all().map(|((x, up), dy)| dy * factor(up) * slope(curve, x)).collect();
    assert_close("dx", &dx, &expected);
    if alone {
        assert!(dup.iter().all(|v| *v == 0.0));
    } else {
        let expected: Vec<f64> = all().map(|((x, _), dy)| dy * apply(curve, x)).collect();
        assert_close("dup", &dup, &expected);
    }
}

#[test]
fn norms_have_their_way_back() {
    for level in levels().into_iter().filter(|level| *level > Level::None) {
        for (width, rows, threads) in [(3, 3, 1), (16, 1, 2), (33, 5, 3), (576, 4, 2), (100, 7, 1)]
        {
            check_norm(level, width, rows, threads);
        }
    }
}

fn check_norm(level: Level, width: usize, rows: usize, threads: usize) {
    let n = width * rows;
    let (weight, x, dy) = (numbers(width, 1), numbers(n, 2), numbers(n, 3));
    let (base, eps) = (numbers(n, 4), 1e-5f32);
    let norm = RmsNorm { weight: weight.as_ptr(), eps, width, rows, x: x.as_ptr() };
    let (mut dx, mut sum) = (vec![0f32; n], base.clone());
    let (dy_at, none) = (dy.as_ptr(), std::ptr::null());
    let back = NormBack { norm, dy: dy_at, base: none, dx: dx.as_mut_ptr() };
    let added = NormBack { norm, dy: dy_at, base: sum.as_ptr(), dx: sum.as_mut_ptr() };
    let both = &Together((back, added));
    let need = both.0.0.need(level).unwrap();
    // SAFETY: everything has the norm's shape.
    run_crew(threads, need, |crew, s| unsafe {
        let (back, added) = { both }.0;
        back.run(level, crew, s);
        added.run(level, crew, s);
    });
    let mut dxs = Vec::new();
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / width as f64;
        let r = (mean(&mut wide(x).map(|x| x * x)) + f64::from(eps)).sqrt();
        let d: Vec<f64> = wide(dy).zip(wide(&weight)).map(|(dy, w)| dy * w).collect();
        let along = mean(&mut wide(x).zip(&d).map(|(x, d)| d * x / r));
        dxs.extend(wide(x).zip(&d).map(|(x, d)| (d - x / r * along) / r));
    }
    assert_close("dx", &dx, &dxs);
    let sums: Vec<f64> = dxs.iter().zip(wide(&base)).map(|(dx, base)| dx + base).collect();
    assert_close("dx + base", &sum, &sums);
}
