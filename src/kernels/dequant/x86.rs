//! The decoders under the features of each level.

use super::WeightType;
use super::blocks::{self, Block};
use super::bytes::{Grouped, GroupedShorts};
use super::floats::{self, convert_narrow, convert_wide};
use super::sink::{NarrowF32, Sink};
use super::super_blocks;
use super::wide::{WideBf16, WideF32};

/// Makes `n` elements, whole blocks, f32.
///
/// # Safety
/// `from` has these elements, `out` takes them, and the processor has the features. The type is not
/// [`WeightType::Other`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn to_f32_avx2(
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    out: *mut f32,
) {
    let to = NarrowF32(out);
    // SAFETY: the caller's elements, room and features.
    unsafe {
        match weight_type {
            WeightType::F32 => convert_narrow::<floats::F32>(from, n, to),
            WeightType::F16 => convert_narrow::<floats::F16>(from, n, to),
            WeightType::Bf16 => convert_narrow::<floats::Bf16>(from, n, to),
            _ => decode(weight_type, from, n, to),
        }
    }
}

/// As [`to_f32_avx2`].
///
/// # Safety
/// As for [`to_f32_avx2`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) unsafe fn to_f32_avx512(
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    out: *mut f32,
) {
    let to = WideF32(out);
    // SAFETY: the caller's elements, room and features.
    unsafe {
        match weight_type {
            WeightType::F32 => convert_wide::<floats::F32>(from, n, to),
            WeightType::F16 => convert_wide::<floats::F16>(from, n, to),
            WeightType::Bf16 => convert_wide::<floats::Bf16>(from, n, to),
            _ => decode(weight_type, from, n, to),
        }
    }
}

/// Makes `n` elements, whole blocks, bf16.
///
/// # Safety
/// As for [`to_f32_avx2`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn to_bf16_avx512(
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    out: *mut u16,
) {
    let to = WideBf16(out);
    // SAFETY: the caller's elements, room and features.
    unsafe {
        match weight_type {
            WeightType::F32 => convert_wide::<floats::F32>(from, n, to),
            WeightType::F16 => convert_wide::<floats::F16>(from, n, to),
            WeightType::Bf16 => from.copy_to_nonoverlapping(out.cast(), 2 * n),
            _ => decode(weight_type, from, n, to),
        }
    }
}

/// Puts `n` elements, whole blocks, into groups of words.
///
/// # Safety
/// As for [`to_f32_avx2`]; the type is none of floats.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn to_bytes<const WORDS: usize, const BIAS: u8>(
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    out: *mut u32,
) {
    // SAFETY: the caller's elements, room and features.
    unsafe { decode(weight_type, from, n, Grouped::<WORDS, BIAS>(out)) }
}

/// As [`to_bytes`], two quants in a word.
///
/// # Safety
/// As for [`to_bytes`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn to_shorts<const WORDS: usize>(
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    out: *mut u32,
) {
    // SAFETY: the caller's elements, room and features.
    unsafe { decode(weight_type, from, n, GroupedShorts::<WORDS>(out)) }
}

/// Decodes `n` elements of a type with blocks.
///
/// # Safety
/// `from` has them, the sink has room for them, and the processor has AVX2, F16C and the sink's features.
#[inline(always)]
unsafe fn decode<S: Sink>(weight_type: WeightType, from: *const u8, n: usize, to: S) {
    use WeightType::*;
    // SAFETY: the caller's elements, room and features.
    unsafe {
        match weight_type {
            F32 | F16 | Bf16 | Other(..) => {}
            Q4_0 => each::<blocks::Q4_0, S>(from, n, to),
            Q4_1 => each::<blocks::Q4_1, S>(from, n, to),
            Q5_0 => each::<blocks::Q5_0, S>(from, n, to),
            Q5_1 => each::<blocks::Q5_1, S>(from, n, to),
            Q8_0 => each::<blocks::Q8_0, S>(from, n, to),
            Iq4Nl => each::<blocks::Iq4Nl, S>(from, n, to),
            Mxfp4 => each::<blocks::Mxfp4, S>(from, n, to),
            Q2K => each::<super_blocks::Q2K, S>(from, n, to),
            Q3K => each::<super_blocks::Q3K, S>(from, n, to),
            Q4K => each::<super_blocks::Q4K, S>(from, n, to),
            Q5K => each::<super_blocks::Q5K, S>(from, n, to),
            Q6K => each::<super_blocks::Q6K, S>(from, n, to),
            Iq4Xs => each::<super_blocks::Iq4Xs, S>(from, n, to),
        }
    }
}

/// Decodes one block after the other.
///
/// # Safety
/// As for [`decode`].
#[inline(always)]
unsafe fn each<B: Block, S: Sink>(from: *const u8, n: usize, to: S) {
    for block in 0..n / B::ELEMENTS {
        // SAFETY: one of the caller's blocks.
        unsafe { B::decode(from.add(block * B::BYTES), to.skip(block * B::ELEMENTS)) }
    }
}
