//! Turns floats into tensor data of any type.

use nestling::format::gguf::GgmlType;
use rand_core::RngCore;

/// `values` in the layout of `ggml_type`. F32, F16, BF16, Q4_0 and Q8_0 are faithful; every other type
/// gets random blocks with small finite scales, which is all that a random model needs.
pub fn encode(values: &[f32], ggml_type: GgmlType, rng: &mut impl RngCore) -> Vec<u8> {
    match ggml_type {
        GgmlType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        GgmlType::F16 => values.iter().flat_map(|v| f16(*v).to_le_bytes()).collect(),
        GgmlType::BF16 => {
            values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect()
        }
        GgmlType::Q8_0 => values.chunks(32).flat_map(q8_0).collect(),
        GgmlType::Q4_0 => values.chunks(32).flat_map(q4_0).collect(),
        other => random(values.len(), other, rng),
    }
}

fn q8_0(block: &[f32]) -> Vec<u8> {
    let scale = block.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0;
    let mut out = f16(scale).to_le_bytes().to_vec();
    out.extend(
        block.iter().map(|v| if scale == 0.0 { 0 } else { (v / scale).round() as i8 as u8 }),
    );
    out
}

fn q4_0(block: &[f32]) -> Vec<u8> {
    let scale = block.iter().fold(0f32, |m, v| m.max(v.abs())) / 7.0;
    let level = |v: f32| {
        if scale == 0.0 { 8 } else { ((v / scale).round() as i32 + 8).clamp(0, 15) as u8 }
    };
    let mut out = f16(scale).to_le_bytes().to_vec();
    out.extend((0..16).map(|i| level(block[i]) | (level(block[i + 16]) << 4)));
    out
}

fn random(n: usize, ggml_type: GgmlType, rng: &mut impl RngCore) -> Vec<u8> {
    let size = ggml_type.type_size() as usize;
    let mut out = vec![0; n / ggml_type.block_size() as usize * size];
    rng.fill_bytes(&mut out);
    for block in out.chunks_mut(size) {
        for at in scale_offsets(ggml_type) {
            block[*at..at + 2].copy_from_slice(&f16(0.003).to_le_bytes());
        }
        match ggml_type {
            GgmlType::MXFP4 => block[0] = 118,
            GgmlType::NVFP4 => block[..4].fill(8),
            // Its scale is spread over the top four bits of four words.
            GgmlType::IQ1_M => {
                for (i, nibble) in [0x3, 0x1, 0x8, 0x1].iter().enumerate() {
                    let top = &mut block[48 + 2 * i + 1];
                    *top = (*top & 0x0f) | (nibble << 4);
                }
            }
            _ => {}
        }
    }
    out
}

/// Where a block keeps its half-precision scales.
fn scale_offsets(ggml_type: GgmlType) -> &'static [usize] {
    use GgmlType as T;
    match ggml_type {
        T::Q4_1 | T::Q5_1 | T::Q8_1 | T::Q4_K | T::Q5_K => &[0, 2],
        T::Q2_K => &[80, 82],
        T::Q3_K => &[108],
        T::Q6_K => &[208],
        T::TQ1_0 => &[52],
        T::TQ2_0 => &[64],
        T::MXFP4 | T::NVFP4 | T::IQ1_M => &[],
        _ => &[0],
    }
}

/// The nearest half-precision bits, without subnormals.
pub fn f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + 15;
    if exponent <= 0 {
        return sign;
    }
    if exponent >= 31 {
        return sign | 0x7bff;
    }
    let rounded = ((exponent as u32) << 10) + (((bits & 0x7f_ffff) + 0x1000) >> 13);
    sign | (rounded.min(0x7bff) as u16)
}
