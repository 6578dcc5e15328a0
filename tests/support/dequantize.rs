//! A GGUF file with every weight as a 32-bit float, for comparison with implementations that compute so.

use std::path::Path;

use nestling::format::gguf::{GgmlType, Gguf, Value, Writer};
use nestling::format::{Access, Source};

/// Writes the model at `from` to `to` with F32 tensors. The types are those of the demo model.
pub fn to_f32(from: &Path, to: &Path) {
    let model = Gguf::open(&Source::path(from), Access::Map).unwrap();
    let mut out = Writer::new();
    for (key, value) in model.kv() {
        out.set(key, value.clone());
    }
    // 0 is the file type of files whose weights are all F32.
    out.set("general.file_type", Value::U32(0));
    for tensor in model.tensors() {
        let data = model.data(tensor).unwrap();
        let floats: Vec<u8> = match tensor.ggml_type {
            GgmlType::F32 => data.to_vec(),
            GgmlType::Q4_1 => blocks(data, 20, q4_1),
            GgmlType::Q8_0 => blocks(data, 34, q8_0),
            other => panic!("{}: {other:?} is not expected in the demo model", tensor.name),
        };
        out.tensor(&tensor.name, &tensor.dims, GgmlType::F32, floats);
    }
    out.write_file(to).unwrap();
}

fn blocks(data: &[u8], bytes: usize, values: fn(&[u8]) -> [f32; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / bytes * 128);
    for block in data.chunks_exact(bytes) {
        for value in values(block) {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    out
}

/// Scale, minimum, then a nibble for each value; the low nibbles come first.
fn q4_1(block: &[u8]) -> [f32; 32] {
    let (scale, minimum, nibbles) = (f16(block), f16(&block[2..]), &block[4..]);
    std::array::from_fn(|i| f32::from(nibbles[i % 16] >> (i / 16 * 4) & 15) * scale + minimum)
}

/// Scale, then a signed byte for each value.
fn q8_0(block: &[u8]) -> [f32; 32] {
    let scale = f16(block);
    std::array::from_fn(|i| f32::from(block[2 + i] as i8) * scale)
}

fn f16(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f32.powi(-14),
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}
