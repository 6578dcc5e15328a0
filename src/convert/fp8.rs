//! Floats of 8 bits, and the scales of their blocks.

use super::checkpoint::Found;
use crate::error::{Result, bail};
use crate::format::safetensors::{Dtype, n_bytes, to_f32 as floats};

/// Floats of 8-bit floats.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    let one = if dtype == Dtype::F8_E5M2 { e5m2 } else { e4m3 };
    for (value, byte) in out.iter_mut().zip(bytes) {
        *value = one(*byte);
    }
}

/// Five bits of exponent, two of mantissa: the upper half of a 16-bit float.
fn e5m2(byte: u8) -> f32 {
    half::f16::from_bits(u16::from(byte) << 8).to_f32()
}

/// Four bits of exponent, three of mantissa; no infinities, and the largest pattern is no number.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte & 128 == 0 { size } else { -size }
}

/// What the numbers of a matrix are multiplied by, block by block.
pub(super) struct Scale {
    values: Vec<f32>,
    /// Scales of one row of blocks.
    per_row: u64,
    /// Rows and columns of a block.
    block: (u64, u64),
}

impl Scale {
    /// Reads the scales of a matrix of `shape`: one for all, one a row, or one for each block of `block`.
    ///
    /// # Errors
    /// `CheckpointShape` for scales of another number, those of reading them.
    pub fn read(
        name: &str,
        found: &Found,
        shape: &[usize],
        block: Option<(u64, u64)>,
    ) -> Result<Self> {
        let n: usize = found.info.shape.iter().product();
        let (rows, columns) = match shape {
            [rows, columns] => (*rows as u64, *columns as u64),
            _ => (1, shape.iter().product::<usize>() as u64),
        };
        let block = match block {
            _ if n == 1 => (rows.max(1), columns.max(1)),
            Some((a, b)) if a > 0 && b > 0 => (a, b),
            _ => (1, columns.max(1)),
        };
        let per_row = columns.div_ceil(block.1);
        if n as u64 != rows.div_ceil(block.0) * per_row {
            bail!(
                CheckpointShape,
                "the tensor {name} has the shape {:?}, which are not the scales of a matrix of {shape:?}; download the \
                 checkpoint again",
                found.info.shape
            )
        }
        let mut bytes = vec![0u8; n * n_bytes(found.info.dtype).unwrap_or(1) as usize];
        found.file.read_bytes(&found.info, 0, &mut bytes)?;
        let mut values = vec![0f32; n];
        floats(found.info.dtype, &bytes, &mut values)?;
        Ok(Self { values, per_row, block })
    }

    /// Multiplies the numbers from `at` on of rows of `width`.
    pub fn apply(&self, at: u64, width: u64, out: &mut [f32]) {
        for (i, value) in (at..).zip(out) {
            let (row, column) = (i / width, i % width);
            let scale = row / self.block.0 * self.per_row + column / self.block.1;
            *value *= self.values.get(scale as usize).copied().unwrap_or(f32::NAN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_what_the_formats_say() {
        for (byte, value) in [
            (0x00, 0.0),
            (0x01, 0.001953125),
            (0x38, 1.0),
            (0x7e, 448.0),
            (0xb8, -1.0),
            (0x08, 0.015625),
        ] {
            assert_eq!(e4m3(byte), value);
        }
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        for (byte, value) in [(0x3c, 1.0), (0x7b, 57344.0), (0xc0, -2.0), (0x01, 1.0 / 65536.0)] {
            assert_eq!(e5m2(byte), value);
        }
    }

    #[test]
    fn scales_belong_to_blocks() {
        let scale = Scale { values: vec![1., 2., 3., 4.], per_row: 2, block: (2, 2) };
        let mut out = [1f32; 9];
        scale.apply(0, 3, &mut out);
        assert_eq!(out, [1., 1., 2., 1., 1., 2., 3., 3., 4.]);
        let mut out = [1f32; 2];
        scale.apply(5, 3, &mut out);
        assert_eq!(out, [2., 3.]);
    }
}
