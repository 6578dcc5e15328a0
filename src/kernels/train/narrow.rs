//! Products with a matrix of few rows, `[rank][width]`, against rows of tokens, `[tokens][width]`: the three ways in
//! which a pair's matrices meet activations. Tiles are held in registers; what is ragged is masked.

use std::arch::x86_64::*;
use std::ops::Range;

/// Floats of a register.
const LANES: usize = 16;
/// Columns of a tile of [`spread`] and [`outer`].
pub(super) const COLUMNS: usize = 2 * LANES;
/// Tokens of a tile of [`dots`] and [`spread`].
pub(super) const TOKENS: usize = 4;
/// Rows of the narrow matrix that a tile of [`outer`] has, at most.
const RANKS: usize = 8;

/// A narrow matrix, and how wide its rows and those of the tokens are.
#[derive(Clone, Copy)]
pub(super) struct Narrow {
    pub data: *const f32,
    pub rank: usize,
    pub width: usize,
}

/// The lanes that are left of `n` floats from `at` on.
fn lanes(at: usize, n: usize) -> __mmask16 {
    let left = n.saturating_sub(at).min(LANES);
    ((1u32 << left) - 1) as __mmask16
}

/// `out[t][j] = scale * sum_i m[j][i] x[t][i]` for some tokens; `out` is `[tokens][rank]`.
///
/// # Safety
/// The matrices are as large as their shapes say, and nobody else writes these tokens' part of `out`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dots(
    m: Narrow,
    x: *const f32,
    tokens: Range<usize>,
    out: *mut f32,
    scale: f32,
) {
    let mut t = tokens.start;
    while t < tokens.end {
        let many = t + TOKENS <= tokens.end;
        let mut j = 0;
        while j < m.rank {
            let wide = j + 4 <= m.rank;
            // SAFETY: the tile's rows are inside both matrices; `out` is this thread's alone.
            unsafe {
                let (rows, x) = (m.data.add(j * m.width), x.add(t * m.width));
                let to = out.add(t * m.rank + j);
                match (many, wide) {
                    (true, true) => dot_tile::<TOKENS, 4>(rows, x, m, to, scale),
                    (true, false) => dot_tile::<TOKENS, 1>(rows, x, m, to, scale),
                    (false, true) => dot_tile::<1, 4>(rows, x, m, to, scale),
                    (false, false) => dot_tile::<1, 1>(rows, x, m, to, scale),
                }
            }
            j += if wide { 4 } else { 1 };
        }
        t += if many { TOKENS } else { 1 };
    }
}

/// # Safety
/// As [`dots`], of `T` tokens from `x` and `R` rows from `rows`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn dot_tile<const T: usize, const R: usize>(
    rows: *const f32,
    x: *const f32,
    m: Narrow,
    out: *mut f32,
    scale: f32,
) {
    let mut sums = [[_mm512_setzero_ps(); R]; T];
    let mut i = 0;
    while i < m.width {
        let mask = lanes(i, m.width);
        // SAFETY: masked to the rows' ends.
        unsafe {
            let row = |j: usize| _mm512_maskz_loadu_ps(mask, rows.add(j * m.width + i));
            let rows: [__m512; R] = std::array::from_fn(row);
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_maskz_loadu_ps(mask, x.add(t * m.width + i));
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = _mm512_fmadd_ps(x, row, *sum);
                }
            }
        }
        i += LANES;
    }
    for (t, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: by the contract of this function.
            unsafe { *out.add(t * m.rank + j) = scale * _mm512_reduce_add_ps(sum) };
        }
    }
}

/// What [`spread`] does with its sums.
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

/// `to[t][i] = scale * sum_j c[t][j] m[j][i]` for some tokens; `c` is `[tokens][rank]`.
///
/// # Safety
/// The matrices are as large as their shapes say, and nobody else writes these tokens' part of the sink.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn spread(m: Narrow, c: *const f32, tokens: Range<usize>, sink: Sink) {
    let mut t = tokens.start;
    while t < tokens.end {
        let many = t + TOKENS <= tokens.end;
        for i in (0..m.width).step_by(COLUMNS) {
            // SAFETY: the tile is inside the matrices, or masked to their ends.
            unsafe {
                match many {
                    true => spread_tile::<TOKENS>(m, c, (t, i), sink),
                    false => spread_tile::<1>(m, c, (t, i), sink),
                }
            }
        }
        t += if many { TOKENS } else { 1 };
    }
}

/// # Safety
/// As [`spread`], of `T` tokens from `t` on.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn spread_tile<const T: usize>(
    m: Narrow,
    c: *const f32,
    (t, i): (usize, usize),
    sink: Sink,
) {
    let masks = [lanes(i, m.width), lanes(i + LANES, m.width)];
    let mut sums = [[_mm512_setzero_ps(); 2]; T];
    for j in 0..m.rank {
        // SAFETY: masked to the row's end; `c` has these tokens.
        unsafe {
            let row: [__m512; 2] = std::array::from_fn(|v| {
                _mm512_maskz_loadu_ps(masks[v], m.data.wrapping_add(j * m.width + i + v * LANES))
            });
            for (k, sums) in sums.iter_mut().enumerate() {
                let c = _mm512_set1_ps(*c.add((t + k) * m.rank + j));
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm512_fmadd_ps(c, row, *sum);
                }
            }
        }
    }
    let scale = _mm512_set1_ps(sink.scale);
    for (k, sums) in sums.into_iter().enumerate() {
        for (v, (mut sum, lanes)) in sums.into_iter().zip(masks).enumerate() {
            let at = (t + k) * m.width + i + v * LANES;
            sum = _mm512_mul_ps(sum, scale);
            // SAFETY: masked to the row's end.
            unsafe {
                if !sink.mask.is_null() {
                    let mask = _mm512_maskz_loadu_ps(lanes, sink.mask.wrapping_add(at));
                    sum = _mm512_mul_ps(sum, mask);
                }
                let to = sink.to.wrapping_add(at);
                if sink.add {
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, to));
                }
                _mm512_mask_storeu_ps(to, lanes, sum);
            }
        }
    }
}

/// Where [`outer`] adds its sums: element `[j][i]` lies `j * rank_step + i * column_step` floats after the first.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub to: *mut f32,
    pub rank_step: usize,
    pub column_step: usize,
    pub scale: f32,
}

/// `to[j][i] += scale * sum_t c[t][j] x[t][i]` for some columns, which begin at a multiple of [`COLUMNS`]; `c` is
/// `[tokens][rank]`, `x` is `[tokens][width]`.
///
/// # Safety
/// The matrices are as large as their shapes say, and nobody else writes these columns' sums.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn outer(
    (c, rank): (*const f32, usize),
    (x, width): (*const f32, usize),
    tokens: usize,
    columns: Range<usize>,
    sums: Sums,
) {
    for i in columns.step_by(COLUMNS) {
        let mut j = 0;
        while j < rank {
            let n = if j + RANKS <= rank { RANKS } else { 1 };
            let mut tile = [[0f32; COLUMNS]; RANKS];
            // SAFETY: the tile's ranks are there, its columns are masked to the rows' ends.
            unsafe {
                match n {
                    RANKS => outer_tile::<RANKS>((c, rank), (x, width), tokens, (j, i), &mut tile),
                    _ => outer_tile::<1>((c, rank), (x, width), tokens, (j, i), &mut tile),
                }
                for (row, j) in tile.iter().zip(j..j + n) {
                    for (sum, i) in row.iter().zip(i..width) {
                        *sums.to.add(j * sums.rank_step + i * sums.column_step) += sums.scale * sum;
                    }
                }
            }
            j += n;
        }
    }
}

/// # Safety
/// As [`outer`], of `R` ranks from `j` on.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn outer_tile<const R: usize>(
    (c, rank): (*const f32, usize),
    (x, width): (*const f32, usize),
    tokens: usize,
    (j, i): (usize, usize),
    tile: &mut [[f32; COLUMNS]; RANKS],
) {
    let masks = [lanes(i, width), lanes(i + LANES, width)];
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for t in 0..tokens {
        // SAFETY: masked to the row's end; `c` has these ranks.
        unsafe {
            let x: [__m512; 2] = std::array::from_fn(|v| {
                _mm512_maskz_loadu_ps(masks[v], x.wrapping_add(t * width + i + v * LANES))
            });
            for (k, sums) in sums.iter_mut().enumerate() {
                let c = _mm512_set1_ps(*c.add(t * rank + j + k));
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = _mm512_fmadd_ps(c, x, *sum);
                }
            }
        }
    }
    for (row, [low, high]) in tile.iter_mut().zip(sums) {
        // SAFETY: a row has room for both.
        unsafe {
            _mm512_storeu_ps(row.as_mut_ptr(), low);
            _mm512_storeu_ps(row.as_mut_ptr().add(LANES), high);
        }
    }
}
