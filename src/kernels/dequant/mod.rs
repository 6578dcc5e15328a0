//! Weights as numbers: parts of rows of any type made f32 or bf16.
//!
//! Each type is decoded in one place, [`blocks`] and [`super_blocks`], into signed bytes with their scales; what becomes
//! of them, f32 or bf16 in vectors of either width, is the business of a [`sink`]. Every product of a scale with a quant
//! is exact in f32, so all levels give the same values, each rounded once.

#[cfg(target_arch = "x86_64")]
mod blocks;
#[cfg(target_arch = "x86_64")]
mod bytes;
#[cfg(target_arch = "x86_64")]
pub(crate) mod floats;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sink;
#[cfg(target_arch = "x86_64")]
mod super_blocks;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod wide;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Level, WeightType};
pub(super) use scalar::round as round_to_bf16;
#[cfg(target_arch = "x86_64")]
pub(super) use scalar::{FOUR_BIT_FLOATS, NON_LINEAR, power_of_two};

/// Elements that are held as f32 on their way to bf16, where there is no direct way. No type has larger blocks.
const PIECE: usize = 256;

/// Makes the elements `start..start + n` of a row f32.
///
/// # Safety
/// The processor has the level. `start` and `n` are multiples of the type's block, the row has these elements, and `out`
/// takes `n` floats.
#[inline]
pub(crate) unsafe fn to_f32(
    level: Level,
    weight_type: WeightType,
    row: *const u8,
    start: usize,
    n: usize,
    out: *mut f32,
) {
    // SAFETY: the caller's row has these elements, and its processor the level.
    unsafe {
        let from = row.add(weight_type.bytes_of(start));
        match (weight_type, level) {
            (WeightType::Other(_, _, to_f32), _) => to_f32(from.cast(), out, n as i64),
            (_, Level::None) => scalar::to_f32(weight_type, from, n, out),
            #[cfg(target_arch = "x86_64")]
            (_, Level::Avx2) => x86::to_f32_avx2(weight_type, from, n, out),
            #[cfg(target_arch = "x86_64")]
            _ => x86::to_f32_avx512(weight_type, from, n, out),
            #[cfg(not(target_arch = "x86_64"))]
            _ => scalar::to_f32(weight_type, from, n, out),
        }
    }
}

/// Makes the elements `start..start + n` of a row bf16, rounded to the nearest, to even between two. Quick at the level
/// [`Level::Avx512Bf16`] alone, where numbers below 2^-126 may become zero.
///
/// # Safety
/// As for [`to_f32`]; a block has at most 256 elements.
#[inline]
pub(crate) unsafe fn to_bf16(
    level: Level,
    weight_type: WeightType,
    row: *const u8,
    start: usize,
    n: usize,
    out: *mut u16,
) {
    // SAFETY: the caller's row has these elements, and its processor the level.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if level >= Level::Avx512Bf16 && !matches!(weight_type, WeightType::Other(..)) {
            return x86::to_bf16_avx512(weight_type, row.add(weight_type.bytes_of(start)), n, out);
        }
        in_pieces(level, weight_type, row, start, n, out);
    }
}

/// Puts the quants of the elements `start..start + n` of a row into words, in groups of so many (4 or 8) with the words
/// of a scale and an offset each: `element = scale * quant + offset`. The quants have no sign: where the type's have one,
/// `BIAS` is added, to the least at least.
///
/// # Safety
/// The processor has AVX2. As for [`to_f32`]; the type has quants, all of a group with one scale.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn to_bytes<const WORDS: usize, const BIAS: u8>(
    weight_type: WeightType,
    row: *const u8,
    start: usize,
    n: usize,
    out: *mut u32,
) {
    // SAFETY: the caller's row has these elements.
    unsafe {
        let from = row.add(weight_type.bytes_of(start));
        x86::to_bytes::<WORDS, BIAS>(weight_type, from, n, out);
    }
}

/// As [`to_bytes`], but two quants in a word, as they are, in groups of 16 words or 8.
///
/// # Safety
/// As for [`to_bytes`].
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn to_shorts<const WORDS: usize>(
    weight_type: WeightType,
    row: *const u8,
    start: usize,
    n: usize,
    out: *mut u32,
) {
    // SAFETY: the caller's row has these elements.
    unsafe { x86::to_shorts::<WORDS>(weight_type, row.add(weight_type.bytes_of(start)), n, out) }
}

/// [`to_bf16`] by way of f32.
///
/// # Safety
/// As for [`to_bf16`].
unsafe fn in_pieces(
    level: Level,
    weight_type: WeightType,
    row: *const u8,
    start: usize,
    n: usize,
    out: *mut u16,
) {
    let mut piece = [0.0; PIECE];
    let step = PIECE / weight_type.block() * weight_type.block();
    for at in (0..n).step_by(step.max(1)) {
        let n = step.min(n - at);
        // SAFETY: the caller's elements, no more than the piece takes; `out` takes all of them.
        unsafe {
            to_f32(level, weight_type, row, start + at, n, piece.as_mut_ptr());
            round(level, &piece, n, out.add(at));
        }
    }
}

/// Rounds the first `n` floats to bf16.
///
/// # Safety
/// The processor has the level, and `out` takes `n` numbers.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "the level is x86-64's"))]
unsafe fn round(level: Level, piece: &[f32; PIECE], n: usize, out: *mut u16) {
    // SAFETY: at most the whole piece is read, and `out` takes `n` numbers.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if level >= Level::Avx512Bf16 {
            return x86::to_bf16_avx512(WeightType::F32, piece.as_ptr().cast(), n, out);
        }
        scalar::round(piece.as_ptr(), n.min(PIECE), out);
    }
}
