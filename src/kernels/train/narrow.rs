//! Products with a matrix of few rows, `[rank][width]`, against rows of tokens, `[tokens][width]`: the three ways in
//! which a pair's matrices meet activations. Tiles are held in registers; of the last vector of a row, as many lanes are
//! used as are left.

use std::ops::Range;

use crate::kernels::lanes::{Kernel, Lanes};

/// Columns of the widest tile of [`Spread`] and [`Outer`]: a tile has two vectors of them.
pub(super) const COLUMNS: usize = 32;
/// Tokens of a tile of [`Dots`] and [`Spread`].
pub(super) const TOKENS: usize = 4;
/// Rows of the narrow matrix that a tile of [`Outer`] has, at most.
const RANKS: usize = 8;

/// A narrow matrix, and how wide its rows and those of the tokens are.
#[derive(Clone, Copy)]
pub(super) struct Narrow {
    pub data: *const f32,
    pub rank: usize,
    pub width: usize,
}

/// Whether there are registers for so many sums and for what is multiplied.
#[inline(always)]
const fn fits<L: Lanes>(sums: usize) -> bool {
    sums <= 2 * L::ROWS
}

/// `out[t][j] = scale * sum_i m[j][i] x[t][i]` for some tokens; `out` is `[tokens][rank]`. The matrices are as large as
/// their shapes say, and nobody else writes these tokens' part of `out`.
pub(super) struct Dots {
    pub m: Narrow,
    pub x: *const f32,
    pub tokens: Range<usize>,
    pub out: *mut f32,
    pub scale: f32,
}

impl Kernel for Dots {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rank = self.m.rank;
        let most = if fits::<L>(4 * TOKENS) { 4 } else { 2 };
        let mut t = self.tokens.start;
        while t < self.tokens.end {
            let many = t + TOKENS <= self.tokens.end;
            let mut j = 0;
            while j < rank {
                let rows = if j + most <= rank { most } else { 1 };
                // SAFETY: the tile's rows are inside both matrices; `out` is this thread's alone.
                unsafe {
                    match (many, rows) {
                        (true, 4) if fits::<L>(4 * TOKENS) => self.tile::<L, TOKENS, 4>(t, j),
                        (false, 4) if fits::<L>(4 * TOKENS) => self.tile::<L, 1, 4>(t, j),
                        (true, 2) => self.tile::<L, TOKENS, 2>(t, j),
                        (false, 2) => self.tile::<L, 1, 2>(t, j),
                        (true, _) => self.tile::<L, TOKENS, 1>(t, j),
                        (false, _) => self.tile::<L, 1, 1>(t, j),
                    }
                }
                j += rows;
            }
            t += if many { TOKENS } else { 1 };
        }
    }
}

impl Dots {
    /// # Safety
    /// The processor has the instructions; there are `T` tokens from `t` on and `R` rows from `j` on.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const T: usize, const R: usize>(&self, t: usize, j: usize) {
        let Narrow { rank, width, .. } = self.m;
        // SAFETY: by the contract of this function; of the rows' ends, as many lanes as are left.
        unsafe {
            let mut sums = [[L::splat(0.0); R]; T];
            let whole = width - width % L::N;
            for i in (0..whole).step_by(L::N) {
                self.step::<L, T, R>(&mut sums, [t, j, i], L::N);
            }
            if whole < width {
                self.step::<L, T, R>(&mut sums, [t, j, whole], width - whole);
            }
            for (k, sums) in sums.into_iter().enumerate() {
                for (l, sum) in sums.into_iter().enumerate() {
                    *self.out.add((t + k) * rank + j + l) = self.scale * L::sum(sum);
                }
            }
        }
    }

    /// Adds the products of `n` columns from `i` on.
    ///
    /// # Safety
    /// As for [`Self::tile`]; there are so many columns.
    #[inline(always)]
    unsafe fn step<L: Lanes, const T: usize, const R: usize>(
        &self,
        sums: &mut [[L::V; R]; T],
        [t, j, i]: [usize; 3],
        n: usize,
    ) {
        let Narrow { data, width, .. } = self.m;
        // SAFETY: by the contract of this function.
        unsafe {
            let mut rows = [L::splat(0.0); R];
            for (k, row) in rows.iter_mut().enumerate() {
                *row = L::load_first(n, data.add((j + k) * width + i));
            }
            for (k, sums) in sums.iter_mut().enumerate() {
                let x = L::load_first(n, self.x.add((t + k) * width + i));
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = L::fma(x, row, *sum);
                }
            }
        }
    }
}

/// What [`Spread`] does with its sums.
#[derive(Clone, Copy)]
pub(super) struct Sink {
    /// `[tokens][width]`.
    pub to: *mut f32,
    /// Adds to what is there.
    pub add: bool,
    /// What the sums are multiplied with first, element by element; may be null.
    pub mask: *const f32,
    pub scale: f32,
}

/// `to[t][i] = scale * sum_j c[t][j] m[j][i]` for some tokens; `c` is `[tokens][rank]`. The matrices are as large as their
/// shapes say, and nobody else writes these tokens' part of the sink.
pub(super) struct Spread {
    pub m: Narrow,
    pub c: *const f32,
    pub tokens: Range<usize>,
    pub sink: Sink,
}

impl Kernel for Spread {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let mut t = self.tokens.start;
        while t < self.tokens.end {
            let many = t + TOKENS <= self.tokens.end;
            for i in (0..self.m.width).step_by(2 * L::N) {
                // SAFETY: the tile is inside the matrices as far as they go.
                unsafe {
                    match (many, i + 2 * L::N <= self.m.width) {
                        (true, true) => self.tile::<L, TOKENS, true>(t, i),
                        (true, false) => self.tile::<L, TOKENS, false>(t, i),
                        (false, true) => self.tile::<L, 1, true>(t, i),
                        (false, false) => self.tile::<L, 1, false>(t, i),
                    }
                }
            }
            t += if many { TOKENS } else { 1 };
        }
    }
}

impl Spread {
    /// # Safety
    /// The processor has the instructions; there are `T` tokens from `t` on, and two `WHOLE` vectors from column `i` on.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const T: usize, const WHOLE: bool>(&self, t: usize, i: usize) {
        let (Narrow { data, rank, width }, sink) = (self.m, self.sink);
        let lanes = lanes::<L, WHOLE>(i, width);
        // SAFETY: by the contract of this function; of the rows' ends, as many lanes as are left.
        unsafe {
            let mut sums = [[L::splat(0.0); 2]; T];
            for j in 0..rank {
                let part = |v: usize| data.wrapping_add(j * width + i + v * L::N);
                let row = [0, 1].map(|v| L::load_first(lanes[v], part(v)));
                for (k, sums) in sums.iter_mut().enumerate() {
                    let c = L::splat(*self.c.add((t + k) * rank + j));
                    for (sum, row) in sums.iter_mut().zip(row) {
                        *sum = L::fma(c, row, *sum);
                    }
                }
            }
            let scale = L::splat(sink.scale);
            for (k, sums) in sums.into_iter().enumerate() {
                for (v, (mut sum, n)) in sums.into_iter().zip(lanes).enumerate() {
                    let at = (t + k) * width + i + v * L::N;
                    sum = L::mul(sum, scale);
                    if !sink.mask.is_null() {
                        sum = L::mul(sum, L::load_first(n, sink.mask.wrapping_add(at)));
                    }
                    let to = sink.to.wrapping_add(at);
                    if sink.add {
                        sum = L::add(sum, L::load_first(n, to));
                    }
                    L::store_first(n, to, sum);
                }
            }
        }
    }
}

/// Where [`Outer`] adds its sums: element `[j][i]` lies `j * rank_step + i * column_step` floats after the first.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub to: *mut f32,
    pub rank_step: usize,
    pub column_step: usize,
    pub scale: f32,
}

/// `to[j][i] += scale * sum_t c[t][j] x[t][i]` for some columns, which begin at a multiple of [`COLUMNS`]; `c` is
/// `[tokens][rank]`, `x` is `[tokens][width]`. The matrices are as large as their shapes say, and nobody else writes these
/// columns' sums.
pub(super) struct Outer {
    pub c: *const f32,
    pub rank: usize,
    pub x: *const f32,
    pub width: usize,
    pub tokens: usize,
    pub columns: Range<usize>,
    pub sums: Sums,
}

impl Kernel for Outer {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let most = if fits::<L>(2 * RANKS) { RANKS } else { RANKS / 2 };
        for i in self.columns.clone().step_by(2 * L::N) {
            let whole = i + 2 * L::N <= self.width;
            let mut j = 0;
            while j < self.rank {
                let n = if j + most <= self.rank { most } else { 1 };
                // SAFETY: the tile's ranks are there, and its columns as far as the rows go.
                unsafe {
                    match (n, whole) {
                        (RANKS, true) if fits::<L>(2 * RANKS) => {
                            self.tile::<L, RANKS, true>(j, i);
                        }
                        (RANKS, false) if fits::<L>(2 * RANKS) => {
                            self.tile::<L, RANKS, false>(j, i);
                        }
                        (4, true) => self.tile::<L, 4, true>(j, i),
                        (4, false) => self.tile::<L, 4, false>(j, i),
                        _ => self.tile::<L, 1, false>(j, i),
                    }
                }
                j += n;
            }
        }
    }
}

impl Outer {
    /// # Safety
    /// The processor has the instructions; there are `R` ranks from `j` on, and two `WHOLE` vectors from column `i` on.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const WHOLE: bool>(&self, j: usize, i: usize) {
        let (rank, width, to) = (self.rank, self.width, self.sums);
        let lanes = lanes::<L, WHOLE>(i, width);
        let mut tile = [[0f32; COLUMNS]; R];
        // SAFETY: by the contract of this function; of the rows' ends, as many lanes as are left. A row of the tile has
        // room for both vectors.
        unsafe {
            let mut sums = [[L::splat(0.0); 2]; R];
            for t in 0..self.tokens {
                let part = |v: usize| self.x.wrapping_add(t * width + i + v * L::N);
                let x = [0, 1].map(|v| L::load_first(lanes[v], part(v)));
                for (k, sums) in sums.iter_mut().enumerate() {
                    let c = L::splat(*self.c.add(t * rank + j + k));
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = L::fma(c, x, *sum);
                    }
                }
            }
            for (row, [low, high]) in tile.iter_mut().zip(sums) {
                L::store(row.as_mut_ptr(), low);
                L::store(row.as_mut_ptr().add(L::N), high);
            }
            for (row, j) in tile.iter().zip(j..) {
                for (sum, i) in row.iter().take(2 * L::N).zip(i..width) {
                    *to.to.add(j * to.rank_step + i * to.column_step) += to.scale * sum;
                }
            }
        }
    }
}

/// The lanes that are used of two vectors from column `i` on: all, if they are `WHOLE`.
#[inline(always)]
fn lanes<L: Lanes, const WHOLE: bool>(i: usize, width: usize) -> [usize; 2] {
    [i, i + L::N].map(|i| if WHOLE { L::N } else { width.saturating_sub(i).min(L::N) })
}
