//! The numbers of a checkpoint's tensor, in the order in which a model file has them.

use std::time::SystemTime;

use super::checkpoint::Found;
use super::fp8::Scale;
use crate::error::{Result, bail, err};
use crate::format::gguf::GgmlType;
use crate::format::safetensors::{Dtype, n_bytes, to_f32};
use crate::quantize::Rows;

/// A tensor as it lies in its file.
pub(super) struct Stored {
    name: String,
    found: Found,
    /// The row length: the last dimension.
    width: u64,
    n_rows: u64,
    scale: Option<Scale>,
    stamp: Option<(u64, SystemTime)>,
}

/// The type of a model file for numbers of a checkpoint; those of 8 bits become longer.
pub(super) fn ggml_type(dtype: Dtype) -> Option<GgmlType> {
    match dtype {
        Dtype::F32 | Dtype::F64 => Some(GgmlType::F32),
        Dtype::F16 => Some(GgmlType::F16),
        Dtype::BF16 => Some(GgmlType::BF16),
        Dtype::F8_E4M3 | Dtype::F8_E5M2 => Some(GgmlType::F32),
        _ => None,
    }
}

impl Stored {
    /// A tensor of floats. `scale` is what its 8-bit numbers are multiplied by.
    ///
    /// # Errors
    /// `Safetensors` for numbers that are no floats, those of files.
    pub fn new(name: &str, found: Found, scale: Option<Scale>) -> Result<Self> {
        if ggml_type(found.info.dtype).is_none() {
            bail!(
                Safetensors,
                "the tensor {name} holds {:?}; F32, F16, BF16, F64, F8_E4M3 and F8_E5M2 can be read: save the checkpoint \
                 in one of these",
                found.info.dtype
            )
        }
        let width = found.info.shape.last().copied().unwrap_or(1) as u64;
        let n_rows = found.info.shape.iter().rev().skip(1).map(|n| *n as u64).product();
        let stamp = found.file.stamp()?;
        Ok(Self { name: name.to_owned(), found, width, n_rows, scale, stamp })
    }

    fn dtype(&self) -> Dtype {
        self.found.info.dtype
    }

    /// Puts a part of a row, or whole rows, into `out`: numbers from `at` on, counted over the whole tensor.
    fn read_from(&self, at: u64, out: &mut [f32]) -> Result<()> {
        let size = n_bytes(self.dtype()).unwrap_or(1);
        let mut bytes = vec![0u8; out.len() * size as usize];
        self.found.file.read_bytes(&self.found.info, at * size, &mut bytes)?;
        match self.dtype() {
            Dtype::F8_E4M3 | Dtype::F8_E5M2 => super::fp8::to_f32(self.dtype(), &bytes, out),
            dtype => to_f32(dtype, &bytes, out)?,
        }
        if let Some(scale) = &self.scale {
            scale.apply(at, self.width, out);
        }
        Ok(())
    }
}

impl Rows for Stored {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        self.read_from(first * self.width, out)
    }

    fn is_stored(&self) -> bool {
        matches!(self.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }

    fn read_bytes(&self, at: u64, out: &mut [u8]) -> Result<()> {
        self.found.file.read_bytes(&self.found.info, at, out)
    }

    fn check_unchanged(&self) -> Result<()> {
        if self.found.file.stamp()? != self.stamp {
            bail!(
                SourceChanged,
                "the file that the tensor {} is in was written to meanwhile; wait until it is whole, then start again",
                self.name
            )
        }
        Ok(())
    }
}

/// Each number and one.
pub(super) struct PlusOne(pub Stored);

impl Rows for PlusOne {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        self.0.read(first, out)?;
        out.iter_mut().for_each(|value| *value += 1.0);
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.0.check_unchanged()
    }
}

/// The rows of each head in pairs: the first half's first row, the second half's first, and so on.
pub(super) struct Rotary {
    stored: Stored,
    /// Rows of a head.
    head: u64,
    /// Numbers in a row; a bias is a column of rows of one number.
    width: u64,
}

impl Rotary {
    /// # Errors
    /// `CheckpointShape` for rows that are not whole heads of pairs.
    pub fn new(stored: Stored, n_heads: u64) -> Result<Self> {
        let is_vector = stored.found.info.shape.len() == 1;
        let (rows, width) =
            if is_vector { (stored.width, 1) } else { (stored.n_rows, stored.width) };
        let head = rows.checked_div(n_heads).unwrap_or(0);
        if head == 0 || head * n_heads != rows || head % 2 != 0 {
            bail!(
                CheckpointShape,
                "the tensor {} has {rows} rows, which are not {n_heads} heads of an even number of rows; check config.json",
                stored.name
            )
        }
        Ok(Self { stored, head, width })
    }
}

impl Rows for Rotary {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        let width = self.width as usize;
        // A row of the model file is a bias as a whole, or one row of the matrix.
        let mut row = first * self.stored.width / self.width;
        let mut rows = out.chunks_exact_mut(width);
        let mut halves = [Vec::new(), Vec::new()];
        while rows.len() > 0 {
            // What is wanted of this head lies side by side in each of its halves.
            let (head, from) = (row / self.head, row % self.head);
            let to = self.head.min(from + rows.len() as u64);
            let (low, high) = (from / 2, to.div_ceil(2));
            for (half, start) in halves.iter_mut().zip([0, self.head / 2]) {
                half.resize((high - low) as usize * width, 0.0);
                self.stored.read_from((head * self.head + start + low) * self.width, half)?;
            }
            for (at, out) in (from..to).zip(&mut rows) {
                let [first, second] = &halves;
                let half = if at % 2 == 0 { first } else { second };
                let values = half.chunks_exact(width).nth((at / 2 - low) as usize);
                out.copy_from_slice(
                    values.ok_or_else(|| err!(Internal, "a row outside its head"))?,
                );
            }
            row += to - from;
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.stored.check_unchanged()
    }
}

/// Each number multiplied by one.
pub(super) struct Scaled(pub Box<dyn Rows>, pub f32);

impl Rows for Scaled {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        self.0.read(first, out)?;
        out.iter_mut().for_each(|value| *value *= self.1);
        Ok(())
    }

    fn part(&self) -> u64 {
        self.0.part()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.0.check_unchanged()
    }
}

/// A matrix whose columns become rows.
pub(super) struct Transposed(pub Stored);

impl Rows for Transposed {
    /// More than usual: each row of the file is asked for a piece.
    fn part(&self) -> u64 {
        1 << 20
    }

    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        let width = self.0.n_rows as usize;
        let n = out.len() / width.max(1);
        let mut part = vec![0f32; n];
        for row in 0..width {
            self.0.read_from(row as u64 * self.0.width + first, &mut part)?;
            for (out, value) in out.iter_mut().skip(row).step_by(width).zip(&part) {
                *out = *value;
            }
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.0.check_unchanged()
    }
}

/// Numbers that were calculated.
pub(super) struct Made(pub Vec<f32>);

impl Rows for Made {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        let from = first as usize * self.0.len();
        match self.0.get(from..from + out.len()) {
            Some(values) => out.copy_from_slice(values),
            None => bail!(Internal, "a row outside a vector"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::safetensors::Safetensors;

    /// A file with one matrix of 4 x 3: 0, 1, 2 and so on.
    fn stored() -> (tempfile::NamedTempFile, Stored) {
        let header = r#"{"a":{"dtype":"F32","shape":[4,3],"data_offsets":[0,48]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend((0..12).flat_map(|v| (v as f32).to_le_bytes()));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        let opened = Arc::new(Safetensors::open(file.path()).unwrap());
        let info = opened.tensors().next().unwrap().1.clone();
        let stored = Stored::new("a", Found { file: opened, info }, None).unwrap();
        (file, stored)
    }

    fn read(rows: &dyn Rows, first: u64, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        rows.read(first, &mut out).unwrap();
        out
    }

    #[test]
    fn rows_come_as_the_model_file_has_them() {
        assert_eq!(read(&stored().1, 1, 6), [3., 4., 5., 6., 7., 8.]);
        assert_eq!(read(&PlusOne(stored().1), 3, 3), [10., 11., 12.]);
        assert_eq!(read(&Scaled(Box::new(stored().1), 0.5), 1, 3), [1.5, 2., 2.5]);
        let transposed = Transposed(stored().1);
        assert_eq!(read(&transposed, 0, 12), [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.]);
        assert_eq!(read(&transposed, 1, 4), [1., 4., 7., 10.]);
        let one_head = Rotary::new(stored().1, 1).unwrap();
        assert_eq!(read(&one_head, 0, 12), [0., 1., 2., 6., 7., 8., 3., 4., 5., 9., 10., 11.]);
        let whole = read(&one_head, 0, 12);
        for (first, n) in (0..4).flat_map(|first| (0..=4 - first).map(move |n| (first, n))) {
            assert_eq!(read(&one_head, first as u64, 3 * n), whole[3 * first..3 * (first + n)]);
        }
        let two_heads = Rotary::new(stored().1, 2).unwrap();
        assert_eq!(read(&two_heads, 0, 12), read(&stored().1, 0, 12));
        for n_heads in [0, 3, 4, 8] {
            assert!(Rotary::new(stored().1, n_heads).is_err());
        }
    }

    #[test]
    fn a_file_that_was_written_to_is_noticed() {
        let (file, stored) = stored();
        stored.check_unchanged().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.push(0);
        std::fs::write(&file, bytes).unwrap();
        let error = PlusOne(stored).check_unchanged().unwrap_err();
        assert_eq!(error.code(), crate::error::Code::SourceChanged);
    }
}
