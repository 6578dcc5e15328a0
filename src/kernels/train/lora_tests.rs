//! Against sums in f64, for every level that the processor has; the same bits from any number of threads.

use super::*;
use crate::kernels::Level;
use crate::kernels::testing::{Together, levels, run_crew};

/// Numbers between -1 and 1 that follow from a seed.
pub(super) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Whether two lists are as near as sums of products in f32 can be.
pub(super) fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() < 3e-6 * largest, "{what}[{i}]: {f} {e}");
    }
}

struct Case {
    rank: usize,
    n_in: usize,
    n_out: usize,
    tokens: usize,
    masked: bool,
    accumulate: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Results {
    u: Vec<f32>,
    y: Vec<f32>,
    da: Vec<f32>,
    db: Vec<f32>,
    dx: Vec<f32>,
}

fn compute(level: Level, c: &Case, threads: usize) -> Option<(Results, Results)> {
    let (a, b) = (numbers(c.rank * c.n_in, 1), numbers(c.rank * c.n_out, 2));
    let (x, dy) = (numbers(c.tokens * c.n_in, 3), numbers(c.tokens * c.n_out, 4));
    let mask: Vec<f32> = numbers(x.len(), 5).iter().map(|v| f32::from(*v > 0.0) * 2.0).collect();
    let before = Results {
        u: vec![f32::NAN; c.tokens * c.rank],
        y: numbers(c.tokens * c.n_out, 6),
        da: numbers(a.len(), 7),
        db: numbers(b.len(), 8),
        dx: numbers(x.len(), 9),
    };
    let mut r = before.clone();
    let pair = Pair {
        a: a.as_ptr(),
        b: b.as_ptr(),
        rank: c.rank,
        n_in: c.n_in,
        n_out: c.n_out,
        scale: 1.5,
    };
    let (x_at, u, y) = (x.as_ptr(), r.u.as_mut_ptr(), r.y.as_mut_ptr());
    let down = LoraDown { pair, tokens: c.tokens, x: x_at, u };
    let up = LoraUp { pair, tokens: c.tokens, u, y };
    let back = LoraBack {
        pair,
        tokens: c.tokens,
        x: x.as_ptr(),
        u,
        dy: dy.as_ptr(),
        da: r.da.as_mut_ptr(),
        db: r.db.as_mut_ptr(),
        dx: r.dx.as_mut_ptr(),
        mask: if c.masked { mask.as_ptr() } else { std::ptr::null() },
        accumulate: c.accumulate,
    };
    let all = &Together((down, up, back));
    let needs = (all.0.0.need(level)?, all.0.1.need(level)?, all.0.2.need(level)?);
    // SAFETY: the matrices have these shapes, and the scratch has the size that was asked for.
    unsafe {
        run_crew(threads, needs.0, |crew, s| { all }.0.0.run(level, crew, s));
        run_crew(threads, needs.1, |crew, s| { all }.0.1.run(level, crew, s));
        run_crew(threads, needs.2, |crew, s| { all }.0.2.run(level, crew, s));
    }
    Some((before, r))
}

#[test]
fn pairs_give_what_their_formulas_say() {
    for level in levels() {
        for i in 0..60usize {
            let c = Case {
                rank: [1, 2, 3, 5, 8, 13, 16, 40, 64][i % 9],
                n_in: [1, 15, 16, 33, 64, 100, 250][i % 7],
                n_out: [40, 16, 7, 129, 1, 96][i % 6],
                tokens: [1, 2, 3, 4, 5, 11, 37, 64][i % 8],
                masked: i % 2 == 1,
                accumulate: i % 3 == 1,
            };
            let Some((before, found)) = compute(level, &c, 1) else {
                assert_eq!(level, Level::None);
                continue;
            };
            check(&c, &before, &found);
            for threads in [2, 3] {
                assert_eq!(compute(level, &c, threads).unwrap().1, found, "{threads} threads");
            }
        }
    }
}

fn check(c: &Case, before: &Results, found: &Results) {
    let (a, b) = (numbers(c.rank * c.n_in, 1), numbers(c.rank * c.n_out, 2));
    let (x, dy) = (numbers(c.tokens * c.n_in, 3), numbers(c.tokens * c.n_out, 4));
    let f = |v: &[f32], row: usize, width: usize, at: usize| f64::from(v[row * width + at]);
    let each = |rows: usize, width: usize, of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..rows * width).map(|i| of(i / width, i % width)).collect()
    };
    let u = each(c.tokens, c.rank, &|t, j| {
        (0..c.n_in).map(|i| f(&a, j, c.n_in, i) * f(&x, t, c.n_in, i)).sum()
    });
    let du = each(c.tokens, c.rank, &|t, j| {
        1.5 * (0..c.n_out).map(|o| f(&b, o, c.rank, j) * f(&dy, t, c.n_out, o)).sum::<f64>()
    });
    let y = each(c.tokens, c.n_out, &|t, o| {
        let sum: f64 = (0..c.rank).map(|j| f(&b, o, c.rank, j) * u[t * c.rank + j]).sum();
        f(&before.y, t, c.n_out, o) + 1.5 * sum
    });
    let da = each(c.rank, c.n_in, &|j, i| {
        let sum: f64 = (0..c.tokens).map(|t| du[t * c.rank + j] * f(&x, t, c.n_in, i)).sum();
        f(&before.da, j, c.n_in, i) + sum
    });
    let db = each(c.n_out, c.rank, &|o, j| {
        let sum: f64 = (0..c.tokens).map(|t| u[t * c.rank + j] * f(&dy, t, c.n_out, o)).sum();
        f(&before.db, o, c.rank, j) + 1.5 * sum
    });
    let kept = numbers(x.len(), 5);
    let dx = each(c.tokens, c.n_in, &|t, i| {
        let sum: f64 = (0..c.rank).map(|j| du[t * c.rank + j] * f(&a, j, c.n_in, i)).sum();
        let at = t * c.n_in + i;
        let factor = if !c.masked { 1.0 } else { f64::from(kept[at] > 0.0) * 2.0 };
        sum * factor + if c.accumulate { f64::from(before.dx[at]) } else { 0.0 }
    });
    for (what, found, expected) in [
        ("u", &found.u, u),
        ("y", &found.y, y),
        ("da", &found.da, da),
        ("db", &found.db, db),
        ("dx", &found.dx, dx),
    ] {
        assert_close(what, found, &expected);
    }
}
