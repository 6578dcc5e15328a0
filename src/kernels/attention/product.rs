//! Products of small f32 matrices, in blocks of registers.

use crate::kernels::lanes::{Kernel, Lanes};

/// A matrix in the scratch: rows so many floats apart.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub at: *mut f32,
    pub row: usize,
}

/// `out = left * right`, for `[rows, depth]` by `[depth, columns]`. Factors, unless null, are what the rows of `out`
/// are multiplied by before the product is added to them.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
    pub left: Matrix,
    pub right: Matrix,
    pub out: Matrix,
    pub factors: *const f32,
}

impl Product {
    /// Computes it.
    ///
    /// # Safety
    /// The processor has the instructions of `L`; the matrices have the sizes, where those with columns have as many as
    /// makes them a multiple of `2 * L::N`.
    #[inline(always)]
    pub(super) unsafe fn run<L: Lanes>(self) {
        // As equal as can be: small blocks have too few sums to hide the latency of an addition.
        let blocks = self.rows.div_ceil(L::ROWS);
        for column in (0..self.columns).step_by(2 * L::N) {
            for i in 0..blocks {
                let (start, end) = (self.rows * i / blocks, self.rows * (i + 1) / blocks);
                let (Matrix { at: left, row }, out) = (self.left, self.out);
                // SAFETY: within the matrices.
                unsafe {
                    let block = Self {
                        rows: end - start,
                        left: Matrix { at: left.add(start * row), row },
                        right: Matrix { at: self.right.at.add(column), ..self.right },
                        out: Matrix { at: out.at.add(start * out.row + column), ..out },
                        factors: self.factors.wrapping_add(start),
                        ..self
                    };
                    if self.factors.is_null() {
                        block.some_rows::<L, false>();
                    } else {
                        block.some_rows::<L, true>();
                    }
                }
            }
        }
    }

    /// One block, with its number of rows made a constant.
    ///
    /// # Safety
    /// As [`Product::run`].
    #[inline(always)]
    unsafe fn some_rows<L: Lanes, const ADD: bool>(self) {
        macro_rules! choose {
            ($($n:literal)*) => {
                match self.rows {
                    $($n if $n <= L::ROWS => L::call(Block::<$n, ADD>(self)),)*
                    _ => {}
                }
            };
        }
        // SAFETY: the caller's.
        unsafe { choose!(1 2 3 4 5 6 7 8 9 10 11 12) }
    }
}

/// `R` rows of a product by two vectors, summed up in registers.
struct Block<const R: usize, const ADD: bool>(Product);

impl<const R: usize, const ADD: bool> Kernel for Block<R, ADD> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Product { depth, out, factors, .. } = self.0;
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[L::splat(0.0); 2]; R];
            if ADD {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = L::splat(*factors.add(r));
                    for (c, sum) in sums.iter_mut().enumerate() {
                        *sum = L::mul(factor, L::load(out.at.add(r * out.row + c * L::N)));
                    }
                }
            }
            let mut i = 0;
            while i + L::UNROLLED <= depth {
                for i in i..i + L::UNROLLED {
                    self.step::<L>(i, &mut sums);
                }
                i += L::UNROLLED;
            }
            for i in i..depth {
                self.step::<L>(i, &mut sums);
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (c, sum) in sums.into_iter().enumerate() {
                    L::store(out.at.add(r * out.row + c * L::N), sum);
                }
            }
        }
    }
}

impl<const R: usize, const ADD: bool> Block<R, ADD> {
    /// Adds the products of a column of the left matrix with a row of the right one.
    ///
    /// # Safety
    /// As [`Product::run`]; there are more than `i`.
    #[inline(always)]
    unsafe fn step<L: Lanes>(&self, i: usize, sums: &mut [[L::V; 2]; R]) {
        let Product { left, right, .. } = self.0;
        // SAFETY: the caller's.
        unsafe {
            let b = right.at.add(i * right.row);
            let b = [L::load(b), L::load(b.add(L::N))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = L::splat(*left.at.add(r * left.row + i));
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = L::fma(a, b, *sum);
                }
            }
        }
    }
}
