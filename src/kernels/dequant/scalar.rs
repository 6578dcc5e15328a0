//! Dequantization one element at a time, for processors that have nothing better.

use super::WeightType;

/// The values of the 16 quants of the types IQ4_NL and IQ4_XS.
pub(in crate::kernels) const NON_LINEAR: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The values of the 16 quants of the type MXFP4, floats of 4 bits: twice as much as they are.
pub(in crate::kernels) const FOUR_BIT_FLOATS: [i8; 16] =
    [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The scale of the type MXFP4 that goes with [`FOUR_BIT_FLOATS`]: half of the power of two that the exponent says.
#[inline(always)]
pub(in crate::kernels) fn power_of_two(exponent: u8) -> f32 {
    let exponent = u32::from(exponent);
    f32::from_bits(if exponent < 2 { 0x20_0000 << exponent } else { (exponent - 1) << 23 })
}

/// Makes `n` elements, whole blocks, f32.
///
/// # Safety
/// `from` has these elements, and `out` takes them. The type is not [`WeightType::Other`].
pub(super) unsafe fn to_f32(weight_type: WeightType, from: *const u8, n: usize, out: *mut f32) {
    let block = weight_type.block();
    for at in 0..n {
        // SAFETY: the caller's blocks.
        unsafe {
            let bytes = Bytes(from.add(weight_type.bytes_of(at / block * block)));
            *out.add(at) = element(weight_type, bytes, at % block);
        }
    }
}

/// Rounds `n` floats to bf16.
///
/// # Safety
/// `from` has as many, and `out` takes them.
pub(in crate::kernels) unsafe fn round(from: *const f32, n: usize, out: *mut u16) {
    for at in 0..n {
        // SAFETY: the caller's floats.
        let x = unsafe { *from.add(at) };
        let bits = x.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // A NaN stays one: its highest bits may be zero, and must not be rounded up into infinity's.
        let rounded = if x.is_nan() { bits >> 16 | 0x40 } else { nearest };
        // SAFETY: the caller's room.
        unsafe { *out.add(at) = rounded as u16 };
    }
}

/// A block.
#[derive(Clone, Copy)]
struct Bytes(*const u8);

impl Bytes {
    /// # Safety
    /// The block has this byte.
    unsafe fn byte(self, at: usize) -> u8 {
        // SAFETY: the caller's.
        unsafe { *self.0.add(at) }
    }

    /// # Safety
    /// The block has the two bytes.
    unsafe fn word(self, at: usize) -> u16 {
        // SAFETY: the caller's.
        unsafe { self.0.add(at).cast::<u16>().read_unaligned() }
    }

    /// # Safety
    /// The block has the two bytes.
    unsafe fn half(self, at: usize) -> f32 {
        // SAFETY: the caller's.
        f16(unsafe { self.word(at) })
    }

    /// Element `i` of 32 that are 4 bits each: the second half lies above the first.
    ///
    /// # Safety
    /// The block has 16 bytes from `at` on.
    unsafe fn nibble(self, at: usize, i: usize) -> u8 {
        // SAFETY: one of the caller's 16 bytes.
        unsafe { self.byte(at + i % 16) >> (4 * (i / 16)) & 15 }
    }

    /// The fifth bit of element `i` of 32, in its place.
    ///
    /// # Safety
    /// The block has 4 bytes from `at` on.
    unsafe fn fifth(self, at: usize, i: usize) -> u8 {
        // SAFETY: one of the caller's 4 bytes.
        unsafe { (self.byte(at + i / 8) >> (i % 8) & 1) << 4 }
    }

    /// The scale and the minimum of a group of 32, 6 bits each, in the types Q4_K and Q5_K.
    ///
    /// # Safety
    /// The block has their 12 bytes from its fifth on; the group is below 8.
    unsafe fn scale_and_min(self, group: usize) -> (f32, f32) {
        // SAFETY: bytes 4 to 15.
        let (scale, min) = unsafe {
            let (first, second) = (self.byte(4 + group % 4), self.byte(8 + group % 4));
            if group < 4 {
                (first & 63, second & 63)
            } else {
                let low = self.byte(8 + group);
                (low & 15 | first >> 6 << 4, low >> 4 | second >> 6 << 4)
            }
        };
        (f32::from(scale), f32::from(min))
    }
}

/// Element `i` of a block.
///
/// # Safety
/// The whole block can be read.
unsafe fn element(weight_type: WeightType, b: Bytes, i: usize) -> f32 {
    use WeightType::*;
    // Where an element of 256 is in groups of 16, 32, 64 and 128.
    let (group, part, pair, big) = (i / 16, i / 32, i / 64, i / 128);
    let low_half = 4 * (part % 2);
    // SAFETY: all within the block.
    unsafe {
        match weight_type {
            F32 => f32::from_bits(u32::from(b.word(2)) << 16 | u32::from(b.word(0))),
            F16 => b.half(0),
            Bf16 => f32::from_bits(u32::from(b.word(0)) << 16),
            Q4_0 => b.half(0) * (f32::from(b.nibble(2, i)) - 8.0),
            Q4_1 => b.half(0) * f32::from(b.nibble(4, i)) + b.half(2),
            Q5_0 => b.half(0) * (f32::from(b.nibble(6, i) | b.fifth(2, i)) - 16.0),
            Q5_1 => b.half(0) * f32::from(b.nibble(8, i) | b.fifth(4, i)) + b.half(2),
            Q8_0 => b.half(0) * f32::from(b.byte(2 + i) as i8),
            Q2K => {
                let q = b.byte(16 + 32 * big + i % 32) >> (2 * (part % 4)) & 3;
                let (scale, min) = (b.byte(group) & 15, b.byte(group) >> 4);
                b.half(80) * f32::from(scale) * f32::from(q) - b.half(82) * f32::from(min)
            }
            Q3K => {
                let low = b.byte(32 + 32 * big + i % 32) >> (2 * (part % 4)) & 3;
                let high = b.byte(i % 32) >> part & 1;
                let scale_low = b.byte(96 + group % 8) >> (4 * (group / 8)) & 15;
                let scale_high = b.byte(104 + group % 4) >> (2 * (group / 4)) & 3;
                let scale = f32::from(scale_low | scale_high << 4) - 32.0;
                b.half(108) * scale * (f32::from(low | high << 2) - 4.0)
            }
            Q4K => {
                let q = b.byte(16 + 32 * pair + i % 32) >> low_half & 15;
                let (scale, min) = b.scale_and_min(part);
                b.half(0) * scale * f32::from(q) - b.half(2) * min
            }
            Q5K => {
                let low = b.byte(48 + 32 * pair + i % 32) >> low_half & 15;
                let high = b.byte(16 + i % 32) >> part & 1;
                let (scale, min) = b.scale_and_min(part);
                b.half(0) * scale * f32::from(low | high << 4) - b.half(2) * min
            }
            Q6K => {
                let low = b.byte(64 * big + i % 64) >> (4 * (pair % 2)) & 15;
                let high = b.byte(128 + 32 * big + i % 32) >> (2 * (part % 4)) & 3;
                let scale = f32::from(b.byte(192 + group) as i8);
                b.half(208) * scale * (f32::from(low | high << 4) - 32.0)
            }
            Iq4Nl => b.half(0) * non_linear(b.nibble(2, i)),
            Mxfp4 => {
                let value = FOUR_BIT_FLOATS[usize::from(b.nibble(1, i))];
                power_of_two(b.byte(0)) * f32::from(value)
            }
            Iq4Xs => {
                let scale_low = b.byte(4 + part / 2) >> low_half & 15;
                let scale_high = (b.word(2) >> (2 * part) & 3) as u8;
                let scale = f32::from(scale_low | scale_high << 4) - 32.0;
                b.half(0) * scale * non_linear(b.nibble(8 + 16 * part, i % 32))
            }
            Other(..) => f32::NAN,
        }
    }
}

/// The value of a quant of the types IQ4_NL and IQ4_XS.
fn non_linear(quant: u8) -> f32 {
    f32::from(NON_LINEAR[usize::from(quant % 16)])
}

/// The value of a 16-bit float.
fn f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // The exponent's bias is 15 instead of 127; infinity and NaN have the largest exponent of both formats.
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    let scaled = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(scaled.to_bits() | special | sign)
}
