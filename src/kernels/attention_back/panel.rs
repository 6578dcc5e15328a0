//! Small products of f32 matrices, in blocks of registers: 32 columns by up to 12 rows.

use std::arch::x86_64::*;

use crate::kernels::vector::transpose;

/// Columns that are computed at a time: two registers.
pub(super) const PANEL: usize = 32;
/// Rows that are computed at a time, at most: with 24 sums, there are registers left for what is multiplied.
const ROWS: usize = 12;

/// The left matrix: element (i, l) lies at `i * row + l * step`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub at: *const f32,
    pub row: usize,
    pub step: usize,
}

/// The right matrix: element (l, j) lies at `l * row + j / 32 * panel + j % 32`.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub at: *const f32,
    pub row: usize,
    pub panel: usize,
}

/// The result, as the right matrix lies; what is there before may be added to.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub at: *mut f32,
    pub row: usize,
    pub panel: usize,
    pub add: bool,
}

/// `out (+)= left * right`, for `[rows, depth]` by `[depth, columns]`.
///
/// # Safety
/// The processor has AVX-512 F; the matrices can be read and written as far as the sizes say.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(
    [rows, columns, depth]: [usize; 3],
    left: Left,
    right: Right,
    out: Out,
) {
    // As equal as can be: small blocks have too few sums to hide the latency of an addition.
    let blocks = rows.div_ceil(ROWS);
    for j in 0..columns.div_ceil(PANEL) {
        let width = PANEL.min(columns - j * PANEL);
        for b in 0..blocks {
            let (start, end) = (rows * b / blocks, rows * (b + 1) / blocks);
            // SAFETY: within the matrices, as the caller promises.
            unsafe {
                let left = Left { at: left.at.add(start * left.row), ..left };
                let right = Right { at: right.at.add(j * right.panel), ..right };
                let out = Out { at: out.at.add(j * out.panel + start * out.row), ..out };
                if width > PANEL / 2 {
                    some_rows::<2>(end - start, width, depth, left, right, out);
                } else {
                    some_rows::<1>(end - start, width, depth, left, right, out);
                }
            }
        }
    }
}

/// One block, with its number of rows made a constant.
///
/// # Safety
/// As [`block`].
#[target_feature(enable = "avx512f")]
unsafe fn some_rows<const V: usize>(
    rows: usize,
    width: usize,
    depth: usize,
    left: Left,
    right: Right,
    out: Out,
) {
    // SAFETY: handed on; a block has 1 to 12 rows.
    unsafe {
        match rows {
            1 => block::<1, V>(width, depth, left, right, out),
            2 => block::<2, V>(width, depth, left, right, out),
            3 => block::<3, V>(width, depth, left, right, out),
            4 => block::<4, V>(width, depth, left, right, out),
            5 => block::<5, V>(width, depth, left, right, out),
            6 => block::<6, V>(width, depth, left, right, out),
            7 => block::<7, V>(width, depth, left, right, out),
            8 => block::<8, V>(width, depth, left, right, out),
            9 => block::<9, V>(width, depth, left, right, out),
            10 => block::<10, V>(width, depth, left, right, out),
            11 => block::<11, V>(width, depth, left, right, out),
            _ => block::<12, V>(width, depth, left, right, out),
        }
    }
}

/// `R` rows of `V` registers, the last of which may be partly used.
///
/// # Safety
/// The processor has AVX-512 F; the matrices reach as far as `R`, `width` (more than `16 * (V - 1)`, at most `16 * V`)
/// and `depth`.
#[target_feature(enable = "avx512f")]
unsafe fn block<const R: usize, const V: usize>(
    width: usize,
    depth: usize,
    left: Left,
    right: Right,
    out: Out,
) {
    let last = u16::MAX >> (16 * V - width);
    let mask = |v: usize| if v + 1 == V { last } else { u16::MAX };
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    if out.add {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: within the result; the mask ends with its columns.
                *sum = unsafe { _mm512_maskz_loadu_ps(mask(v), out.at.add(i * out.row + v * 16)) };
            }
        }
    }
    for l in 0..depth {
        let mut row = [_mm512_setzero_ps(); V];
        for (v, row) in row.iter_mut().enumerate() {
            // SAFETY: within the right matrix; the mask ends with its columns.
            *row = unsafe { _mm512_maskz_loadu_ps(mask(v), right.at.add(l * right.row + v * 16)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: within the left matrix.
            let x = _mm512_set1_ps(unsafe { *left.at.add(i * left.row + l * left.step) });
            for (sum, row) in sums.iter_mut().zip(row) {
                *sum = _mm512_fmadd_ps(row, x, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: within the result; the mask ends with its columns.
            unsafe { _mm512_mask_storeu_ps(out.at.add(i * out.row + v * 16), mask(v), *sum) };
        }
    }
}

/// Rows with `stride` floats from one to the next become columns of panels of 32: element (i, j) goes to
/// `i / 32 * width * 32 + j * 32 + i % 32`. The last panel is filled up to a multiple of 16 columns with zeros.
///
/// # Safety
/// The processor has AVX-512 F; `rows` rows of `width` floats can be read, and whole panels be written.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose_to_panels(
    from: *const f32,
    stride: usize,
    [rows, width]: [usize; 2],
    to: *mut f32,
) {
    for i in (0..rows).step_by(16) {
        for j in (0..width).step_by(16) {
            let (n, m) = (16.min(rows - i), 16.min(width - j));
            // SAFETY: the square lies within the rows, and its transpose within the panels.
            unsafe {
                let to = to.add(i / PANEL * width * PANEL + j * PANEL + i % PANEL);
                transpose(from.add(i * stride + j), stride, [n, m], to, PANEL, 16);
            }
        }
    }
}
