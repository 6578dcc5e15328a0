//! Small products of f32 matrices, in blocks of registers: two vectors of columns by as many rows as there are registers
//! for.

use crate::kernels::lanes::{Kernel, Lanes};

/// Columns of the widest panel: a panel has two vectors of them.
pub(super) const WIDEST: usize = 32;

/// Columns that are computed at a time: two vectors.
#[inline(always)]
pub(super) const fn panel<L: Lanes>() -> usize {
    2 * L::N
}

/// Where a column begins, of panels that have so many rows.
#[inline(always)]
pub(super) fn at<L: Lanes>(column: usize, rows: usize) -> usize {
    column / panel::<L>() * rows * panel::<L>() + column % panel::<L>()
}

/// The left matrix: element (i, l) lies at `i * row + l * step`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub at: *const f32,
    pub row: usize,
    pub step: usize,
}

/// The right matrix, in panels of so many columns: element (l, j) lies at `l * row + j / columns * panel + j % columns`.
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
/// The processor has the instructions of `L`; the matrices can be read and written as far as the sizes say.
#[inline(always)]
pub(super) unsafe fn product<L: Lanes>(size: [usize; 3], left: Left, right: Right, out: Out) {
    // SAFETY: the caller's.
    unsafe { L::call(Product { size, left, right, out }) }
}

/// All blocks of a product.
struct Product {
    size: [usize; 3],
    left: Left,
    right: Right,
    out: Out,
}

impl Kernel for Product {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { size: [rows, columns, depth], left, right, out } = self;
        // As equal as can be: small blocks have too few sums to hide the latency of an addition.
        let blocks = rows.div_ceil(L::ROWS);
        for j in 0..columns.div_ceil(panel::<L>()) {
            let width = panel::<L>().min(columns - j * panel::<L>());
            for b in 0..blocks {
                let (start, end) = (rows * b / blocks, rows * (b + 1) / blocks);
                // SAFETY: within the matrices, as the caller promises.
                unsafe {
                    let block = Block {
                        width,
                        depth,
                        left: Left { at: left.at.add(start * left.row), ..left },
                        right: Right { at: right.at.add(j * right.panel), ..right },
                        out: Out { at: out.at.add(j * out.panel + start * out.row), ..out },
                    };
                    if width == panel::<L>() {
                        block.rows::<L, 2, true>(end - start);
                    } else if width > L::N {
                        block.rows::<L, 2, false>(end - start);
                    } else {
                        block.rows::<L, 1, false>(end - start);
                    }
                }
            }
        }
    }
}

/// Some rows of a panel.
struct Block {
    width: usize,
    depth: usize,
    left: Left,
    right: Right,
    out: Out,
}

impl Block {
    /// Computes it, with its number of rows made a constant.
    ///
    /// # Safety
    /// As [`Self::run`]; there are 1 to `L::ROWS` rows.
    #[inline(always)]
    unsafe fn rows<L: Lanes, const V: usize, const WHOLE: bool>(&self, rows: usize) {
        macro_rules! choose {
            ($($n:literal)*) => {
                match rows {
                    $($n if $n <= L::ROWS => self.run::<L, $n, V, WHOLE>(),)*
                    _ => {}
                }
            };
        }
        // SAFETY: handed on.
        unsafe { choose!(1 2 3 4 5 6 7 8 9 10 11 12) }
    }

    /// `R` rows of `V` vectors, the last of which may be partly used if they are not `WHOLE`.
    ///
    /// # Safety
    /// The processor has the instructions of `L`; the matrices reach as far as `R`, the width (more than `N * (V - 1)`, at
    /// most `N * V`, which it is if they are `WHOLE`) and the depth.
    #[inline(always)]
    unsafe fn run<L: Lanes, const R: usize, const V: usize, const WHOLE: bool>(&self) {
        let Self { width, depth, left, right, out } = self;
        let used = |v: usize| if WHOLE { L::N } else { L::N.min(width - v * L::N) };
        // SAFETY: within the matrices; the lanes end with their columns.
        unsafe {
            let mut sums = [[L::splat(0.0); V]; R];
            if out.add {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = L::load_first(used(v), out.at.add(i * out.row + v * L::N));
                    }
                }
            }
            for l in 0..*depth {
                let mut row = [L::splat(0.0); V];
                for (v, row) in row.iter_mut().enumerate() {
                    *row = L::load_first(used(v), right.at.add(l * right.row + v * L::N));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = L::splat(*left.at.add(i * left.row + l * left.step));
                    for (sum, row) in sums.iter_mut().zip(row) {
                        *sum = L::fma(row, x, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    L::store_first(used(v), out.at.add(i * out.row + v * L::N), *sum);
                }
            }
        }
    }
}

/// Rows with `stride` floats from one to the next become columns of panels of so many: element (i, j) goes to
/// `i / columns * width * columns + j * columns + i % columns`. The last panel is filled up to whole vectors with zeros.
///
/// # Safety
/// The processor has the instructions of `L`; `rows` rows of `width` floats can be read, and whole panels be written.
#[inline(always)]
pub(super) unsafe fn transpose_to_panels<L: Lanes>(
    from: *const f32,
    stride: usize,
    [rows, width]: [usize; 2],
    to: *mut f32,
) {
    for i in (0..rows).step_by(L::N) {
        // SAFETY: within the rows and the panels.
        unsafe {
            let to = to.add(at::<L>(i, width));
            transpose_to_panel::<L>(from.add(i * stride), stride, [rows - i, width], to);
        }
    }
}

/// Up to a vector of rows become columns of a panel: element (i, j) goes to `j * columns + i`. They are filled up to whole
/// vectors with zeros.
///
/// # Safety
/// As for [`transpose_to_panels`].
#[inline(always)]
pub(super) unsafe fn transpose_to_panel<L: Lanes>(
    from: *const f32,
    stride: usize,
    [rows, width]: [usize; 2],
    to: *mut f32,
) {
    for j in (0..width).step_by(L::N) {
        let (n, m) = (L::N.min(rows), L::N.min(width - j));
        // SAFETY: the square lies within the rows, and its transpose within the panel.
        unsafe {
            let (from, to) = (from.add(j), to.add(j * panel::<L>()));
            if n == L::N && m == L::N {
                L::transpose(from, stride, to, panel::<L>());
            } else {
                L::transpose_some(from, stride, [n, m], to, panel::<L>(), L::N);
            }
        }
    }
}
