//! Rotation against its formula in f64.

use super::Rope;
use super::testing::Rows;
use crate::kernels::Level;
use crate::kernels::testing::{Together, levels, run_crew};

/// Heads of so many dims, some of which turn; with gaps between heads or not.
struct Case {
    width: usize,
    turned: usize,
    heads: usize,
    positions: Vec<i32>,
    neighbours: bool,
    gap: usize,
    base: f32,
    scale: f32,
    magnitude: f32,
    has_factors: bool,
}

impl Case {
    fn factors(&self) -> Vec<f32> {
        (0..self.turned / 2).map(|pair| 1.0 + (pair % 7) as f32).collect()
    }

    /// The head of a token, turned.
    fn exact(&self, head: &[f32], position: i32) -> Vec<f64> {
        let mut turned: Vec<f64> = head.iter().map(|x| f64::from(*x)).collect();
        for pair in 0..self.turned / 2 {
            let [i, j] = if self.neighbours {
                [2 * pair, 2 * pair + 1]
            } else {
                [pair, pair + self.turned / 2]
            };
            let slower = f64::from(self.base).powf(-2.0 * pair as f64 / self.turned as f64);
            let by = if self.has_factors { f64::from(self.factors()[pair]) } else { 1.0 };
            let angle = f64::from(position) * f64::from(self.scale) * slower / by;
            let (sin, cos) = angle.sin_cos();
            let (a, b) = (f64::from(head[i]), f64::from(head[j]));
            turned[i] = f64::from(self.magnitude) * (a * cos - b * sin);
            turned[j] = f64::from(self.magnitude) * (a * sin + b * cos);
        }
        turned
    }

    fn check(&self, level: Level, threads: usize) {
        let (tokens, stride) = (self.positions.len(), self.width + self.gap);
        let shape = [self.width, stride];
        let mut x = Rows::random(tokens * self.heads, shape, 1.0, 5);
        let mut y = Rows::empty(tokens * self.heads, shape);
        let expected: Vec<Vec<f64>> = x
            .rows()
            .enumerate()
            .map(|(row, head)| self.exact(head, self.positions[row / self.heads]))
            .collect();
        let (factors, x_at) = (self.factors(), x.data.as_mut_ptr());
        let first = Rope {
            width: self.width,
            heads: self.heads,
            tokens,
            turned: self.turned,
            neighbours: self.neighbours,
            positions: self.positions.as_ptr(),
            base: self.base,
            scale: self.scale,
            factors: if self.has_factors { factors.as_ptr() } else { std::ptr::null() },
            magnitude: self.magnitude,
            x: x_at,
            x_head: stride,
            x_token: stride * self.heads,
            y: y.data.as_mut_ptr(),
            y_head: stride,
            y_token: stride * self.heads,
        };
        // Angles are rounded to f32 before they are reduced.
        let furthest = self.positions.iter().max().map_or(0.0, |p| f64::from(*p));
        let bound = 2e-6 + 2e-7 * furthest;
        run(level, first, threads);
        assert_near(&y, &expected, bound);
        run(level, Rope { y: x_at, ..first }, threads);
        assert_near(&x, &expected, bound);
    }
}

fn run(level: Level, rope: Rope, threads: usize) {
    let rope = &Together(rope);
    let need = rope.get().need(level).expect("a kernel");
    // SAFETY: the heads are as many and as long as they say; the level is one of the processor's.
    run_crew(threads, need, |crew, s| unsafe { rope.get().run(level, crew, s) });
}

fn assert_near(found: &Rows, expected: &[Vec<f64>], bound: f64) {
    for (row, (found, expected)) in found.rows().zip(expected).enumerate() {
        for (i, (y, exact)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*y) - exact).abs();
            assert!(error <= bound, "head {row}, {i}: {y} for {exact}");
        }
    }
    found.assert_gaps();
}

fn case() -> Case {
    Case {
        width: 64,
        turned: 64,
        heads: 3,
        positions: vec![0, 1, 2, 17, 100],
        neighbours: false,
        gap: 0,
        base: 1e4,
        scale: 1.0,
        magnitude: 1.0,
        has_factors: false,
    }
}

#[test]
fn heads_turn_by_position() {
    for level in levels() {
        for neighbours in [false, true] {
            for (width, turned) in [(64, 64), (256, 256), (80, 32), (20, 20), (6, 2), (128, 96)] {
                for (heads, gap, threads) in [(1, 0, 1), (5, 3, 2), (3, 64, 3)] {
                    Case { width, turned, heads, neighbours, gap, ..case() }.check(level, threads);
                }
            }
        }
    }
}

#[test]
fn frequencies_may_be_scaled() {
    for level in levels() {
        for neighbours in [false, true] {
            let all = Case { neighbours, has_factors: true, base: 5e5, ..case() };
            Case { scale: 0.25, magnitude: 1.19, ..all }.check(level, 2);
        }
    }
}

#[test]
fn positions_may_be_far() {
    for level in levels() {
        let positions = vec![4095, 8191, 32767, 131_071];
        Case { positions, ..case() }.check(level, 2);
    }
}

#[test]
fn odd_dims_and_none_are_not_offered() {
    let positions = [0];
    let (null, y) = (std::ptr::null(), std::ptr::null_mut());
    let rope = |turned| Rope {
        width: 64,
        heads: 1,
        tokens: 1,
        turned,
        neighbours: false,
        positions: positions.as_ptr(),
        base: 1e4,
        scale: 1.0,
        factors: null,
        magnitude: 1.0,
        x: null,
        x_head: 64,
        x_token: 64,
        y,
        y_head: 64,
        y_token: 64,
    };
    for turned in [0, 3, 66] {
        assert!(rope(turned).need(Level::Avx512).is_none(), "{turned}");
    }
    assert!(rope(64).need(Level::Avx2).is_some() && rope(64).need(Level::None).is_none());
}
