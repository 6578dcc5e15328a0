//! The numbers of an adapter's tensors, whichever of its four types they are stored in.

use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Gguf, TensorInfo};

/// Reads a tensor as 32-bit floats.
///
/// # Errors
/// `GgufTensorRole` for another type than F32, F16, BF16 and Q8_0, `AdapterTensor` for a number that is not
/// finite; those of files.
pub(super) fn to_f32(gguf: &Gguf, tensor: &TensorInfo) -> Result<Vec<f32>> {
    let data = gguf.read_data(tensor)?;
    let halves =
        || data.chunks_exact(2).map(|c| u16::from_le_bytes(c.try_into().unwrap_or_default()));
    let values: Vec<f32> = match tensor.ggml_type {
        GgmlType::F32 => data
            .chunks_exact(4)
            .map(|c| f32::from_le_bytes(c.try_into().unwrap_or_default()))
            .collect(),
        GgmlType::F16 => halves().map(f16).collect(),
        GgmlType::BF16 => halves().map(|h| f32::from_bits(u32::from(h) << 16)).collect(),
        GgmlType::Q8_0 => data.chunks_exact(34).flat_map(q8_0).collect(),
        other => bail!(
            GgufTensorRole,
            "tensor {} has type {other}; an adapter may hold F32, F16, BF16 and Q8_0",
            tensor.name
        ),
    };
    if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
        bail!(AdapterTensor, "tensor {} holds {bad}; the training that made it failed", tensor.name)
    }
    Ok(values)
}

/// A block of 32: a half-precision scale, then signed bytes.
fn q8_0(block: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (scale, bytes) = block.split_first_chunk::<2>().unwrap_or((&[0; 2], &[]));
    let scale = f16(u16::from_le_bytes(*scale));
    bytes.iter().map(move |b| scale * f32::from(i8::from_le_bytes([*b])))
}

/// IEEE 754 half precision.
fn f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        // Subnormal: units of 2^-24.
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::format::gguf::Writer;
    use crate::format::{Access, Source};

    fn read(ggml_type: GgmlType, n: u64, data: &[u8]) -> Result<Vec<f32>> {
        let mut writer = Writer::new();
        writer.tensor("t", &[n], ggml_type, data);
        let source = Source::memory(writer.to_bytes().unwrap());
        let gguf = Gguf::open(&source, Access::Read).unwrap();
        to_f32(&gguf, &gguf.tensors()[0])
    }

    #[test]
    fn every_type_is_read() {
        let halves = |h: &[u16]| h.iter().flat_map(|h| h.to_le_bytes()).collect::<Vec<_>>();
        // 1, -2, 65504, the smallest normal, the smallest subnormal, -0.
        let data = halves(&[0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000]);
        let expected = [1.0, -2.0, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8, -0.0];
        assert_eq!(read(GgmlType::F16, 6, &data).unwrap(), expected);
        let data = halves(&[0x3f80, 0xc040]);
        assert_eq!(read(GgmlType::BF16, 2, &data).unwrap(), [1.0, -3.0]);
        let mut block = halves(&[0x3800]);
        block.extend((0..32i8).flat_map(|i| (i - 16).to_le_bytes()));
        let expected: Vec<f32> = (0..32i8).map(|i| 0.5 * f32::from(i - 16)).collect();
        assert_eq!(read(GgmlType::Q8_0, 32, &block).unwrap(), expected);
        let data: Vec<u8> = [0.1f32, -1e30].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(GgmlType::F32, 2, &data).unwrap(), [0.1, -1e30]);
    }

    #[test]
    fn broken_numbers_and_other_types_are_refused() {
        let code = |found: Result<Vec<f32>>| found.unwrap_err().code();
        for half in [0x7c00u16, 0xfc00, 0x7e00] {
            assert_eq!(code(read(GgmlType::F16, 1, &half.to_le_bytes())), Code::AdapterTensor);
        }
        assert_eq!(code(read(GgmlType::F32, 1, &f32::NAN.to_le_bytes())), Code::AdapterTensor);
        assert_eq!(code(read(GgmlType::I32, 1, &[0; 4])), Code::GgufTensorRole);
    }
}
