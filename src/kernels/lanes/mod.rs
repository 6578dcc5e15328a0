//! Vectors of floats, as wide as the processor has them: attention, and what is done with rows, are written once for all
//! widths.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "there are vectors on x86-64 alone")
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::F32x8;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::F32x16;
pub(crate) use math::{exp, sin_cos, tanh};

use super::Level;

/// What 2^x is made of for x between -1/2 and 1/2, the highest power first: the polynomial with the smallest relative
/// error, 9.2e-8, of those that are exact at 0.
#[allow(clippy::approx_constant, reason = "near ln 2, but better than it")]
pub(crate) const EXP2: [f32; 6] =
    [1.326_472_7e-3, 9.671_513e-3, 5.550_733_6e-2, 2.402_224_2e-1, 6.931_47e-1, 1.0];

/// So many floats at a time. Every method needs the processor to have the instructions of the implementor.
pub(crate) trait Lanes {
    /// The vector.
    type V: Copy;
    /// Floats in it.
    const N: usize;
    /// Rows that a block of sums has, two vectors wide, so that nearly all registers are used.
    const ROWS: usize;
    /// Steps of a loop over sums that are taken at a time: where one alone is too short.
    const UNROLLED: usize;
    /// Rows whose sums fit in registers if keys and values are read only once for them.
    const FEW_ROWS: usize;

    /// Runs a kernel as a function of its own.
    ///
    /// # Safety
    /// The processor has the instructions, and what the kernel asks for holds.
    unsafe fn call<K: Kernel>(kernel: K);

    /// Has a line of memory brought into the second level of caches, if there is memory at that address.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn prefetch(at: *const u8);

    /// The same in every lane.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn splat(x: f32) -> Self::V;

    /// Floats from memory.
    ///
    /// # Safety
    /// The processor has the instructions, and there are `N` floats at `from`.
    unsafe fn load(from: *const f32) -> Self::V;

    /// The first `n` lanes from memory, at most `N`; the others are zeros.
    ///
    /// # Safety
    /// The processor has the instructions, and there are so many floats at `from`.
    unsafe fn load_first(n: usize, from: *const f32) -> Self::V;

    /// The first `n` lanes to memory, at most `N`.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for so many floats at `to`.
    unsafe fn store_first(n: usize, to: *mut f32, x: Self::V);

    /// 16-bit floats from memory.
    ///
    /// # Safety
    /// The processor has the instructions, and there are `N` of them at `from`.
    unsafe fn load_f16(from: *const u16) -> Self::V;

    /// Brain floats from memory.
    ///
    /// # Safety
    /// The processor has the instructions, and there are `N` of them at `from`.
    unsafe fn load_bf16(from: *const u16) -> Self::V;

    /// Floats to memory.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for `N` floats at `to`.
    unsafe fn store(to: *mut f32, x: Self::V);

    /// 16-bit floats to memory, the nearest; of two, the even one.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for `N` of them at `to`.
    unsafe fn store_f16(to: *mut u16, x: Self::V);

    /// `a + b`
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;

    /// `a * b`
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;

    /// `1 / x`, to within 2 units in the last place, of numbers whose inverse is a normal one.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn inverse(x: Self::V) -> Self::V;

    /// `a * b + c`, rounded once.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// The larger of two; `b` where one is not a number.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;

    /// The smaller of two; `b` where one is not a number.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;

    /// 2^x to within 2 units in the last place for x up to 127; 0 below -126; what is not a number stays so.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn exp2(x: Self::V) -> Self::V;

    /// The nearest whole numbers; of two, the even one.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn round(x: Self::V) -> Self::V;

    /// Each lane with an even number changes places with the next.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn swap_pairs(x: Self::V) -> Self::V;

    /// The sum of all lanes.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn sum(x: Self::V) -> f32;

    /// The sums of all lanes of four vectors, to memory.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for four floats at `to`.
    unsafe fn store_sums(to: *mut f32, x: [Self::V; 4]);

    /// The largest lane.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn highest(x: Self::V) -> f32;

    /// The lanes above minus infinity, as bits.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn finite(x: Self::V) -> u32;

    /// The lanes that are not zero, as bits.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn nonzero(x: Self::V) -> u32;

    /// Moves the lanes whose bits are set to the front; anything may follow them.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn compress(x: Self::V, bits: u32) -> Self::V;

    /// `N` rows of `N` floats become columns.
    ///
    /// # Safety
    /// The processor has the instructions; such rows lie at `from` and fit at `to`, so many floats apart.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { Self::transpose_some(from, stride, [Self::N; 2], to, to_stride, Self::N) }
    }

    /// So many rows and columns of floats, up to `N`, change places. Of each row that is written, `filled` floats are, at
    /// least as many as there were rows; the others of them are zeros.
    ///
    /// # Safety
    /// The processor has the instructions; the rows can be read, and as many of `filled` floats as there were columns
    /// be written.
    unsafe fn transpose_some(
        from: *const f32,
        stride: usize,
        size: [usize; 2],
        to: *mut f32,
        to_stride: usize,
        filled: usize,
    );
}

/// An inner loop. Each becomes one function for each kind of vectors, so that it gets all registers.
pub(crate) trait Kernel {
    /// The loop.
    ///
    /// # Safety
    /// The processor has the instructions of `L`; the kernel's fields are as they say.
    unsafe fn run<L: Lanes>(self);
}

/// Runs a kernel with the widest vectors of a level.
///
/// # Safety
/// The processor has the level, which is not [`Level::None`], and what the kernel asks for holds.
pub(crate) unsafe fn run<K: Kernel>(level: Level, kernel: K) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's.
    unsafe {
        if level >= Level::Avx512 {
            F32x16::call(kernel);
        } else {
            F32x8::call(kernel);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (level, kernel);
}

/// Elements of keys and values that can be read as they lie.
pub(crate) trait Element {
    /// Bytes of one.
    const BYTES: usize;

    /// A vector of them.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and there are `L::N` elements at `from`, at any address.
    unsafe fn load<L: Lanes>(from: *const u8) -> L::V;
}

/// f32
pub(crate) struct Single;
/// f16
pub(crate) struct Half;
/// bf16
pub(crate) struct Brain;

impl Element for Single {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L::V {
        // SAFETY: the caller's.
        unsafe { L::load(from.cast()) }
    }
}

impl Element for Half {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L::V {
        // SAFETY: the caller's.
        unsafe { L::load_f16(from.cast()) }
    }
}

impl Element for Brain {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const u8) -> L::V {
        // SAFETY: the caller's.
        unsafe { L::load_bf16(from.cast()) }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
