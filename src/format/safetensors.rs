//! One safetensors file: what tensors it holds, and their bytes.

use std::path::Path;
use std::time::SystemTime;

use safetensors::SafeTensors;
pub(crate) use safetensors::{Dtype, tensor::TensorInfo};

use super::source::{Opened, Source};
use crate::error::{Context, Result, bail, err};

/// An open file whose header was checked: every tensor lies inside it, and they do not overlap.
pub(crate) struct Safetensors {
    opened: Opened,
    /// Where the data begins.
    start: u64,
    /// By name, in the order of their data.
    tensors: Vec<(String, TensorInfo)>,
}

impl Safetensors {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// `Safetensors` for a malformed file; those of files.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let opened = Source::path(path).open()?;
        Self::read(opened).with_path(path)
    }

    fn read(opened: Opened) -> Result<Self> {
        // Mapped for its header alone. Data is read, so that a file that gets shorter meanwhile is an error.
        let bytes = opened.map()?;
        let (header, metadata) = SafeTensors::read_metadata(bytes.as_slice()).map_err(|e| {
            err!(Safetensors, "this is not a whole safetensors file: {e}; get it again")
        })?;
        let mut tensors: Vec<_> =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        tensors.sort_by(|(name, a), (other, b)| {
            a.data_offsets.cmp(&b.data_offsets).then_with(|| name.cmp(other))
        });
        Ok(Self { opened, start: header as u64 + 8, tensors })
    }

    /// Every tensor, in the order of the data.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// What changes when somebody writes to the file.
    pub(crate) fn stamp(&self) -> Result<Option<(u64, SystemTime)>> {
        self.opened.stamp()
    }

    /// Reads bytes of a tensor of this file, from `at` on.
    pub(crate) fn read_bytes(&self, tensor: &TensorInfo, at: u64, out: &mut [u8]) -> Result<()> {
        let (from, to) = tensor.data_offsets;
        if at.saturating_add(out.len() as u64) > (to - from) as u64 {
            bail!(
                Internal,
                "{} bytes at {at} are outside a tensor of {} bytes",
                out.len(),
                to - from
            )
        }
        self.opened.read_exact_at(out, self.start + from as u64 + at)
    }
}

/// Floats of a type that holds floats.
///
/// # Errors
/// `Safetensors` for another type.
pub(crate) fn to_f32(dtype: Dtype, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
            *out = value(*bytes);
        }
    }
    match dtype {
        Dtype::F32 => each(bytes, out, f32::from_le_bytes),
        Dtype::F16 => each(bytes, out, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, out, |b| half::bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        other => bail!(
            Safetensors,
            "a tensor holds {other:?}; F32, F16, BF16 and F64 can be read: save the checkpoint in one of these"
        ),
    }
    Ok(())
}

/// Bytes of a number, where they are whole.
pub(crate) fn n_bytes(dtype: Dtype) -> Option<u64> {
    let bits = dtype.bitsize() as u64;
    bits.is_multiple_of(8).then_some(bits / 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn file(header: &str, data: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        std::fs::write(&file, bytes).unwrap();
        file
    }

    #[test]
    fn tensors_are_found_and_read_in_their_types() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},
            "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
        let data: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .chain([0x00, 0x3c, 0x00, 0xc0])
            .collect();
        let file = file(header, &data);
        let file = Safetensors::open(file.path()).unwrap();
        let read = |i: usize| {
            let info = &file.tensors[i].1;
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            file.read_bytes(info, 0, &mut bytes).unwrap();
            let mut out = [0f32; 2];
            to_f32(info.dtype, &bytes, &mut out).unwrap();
            out
        };
        assert_eq!(file.tensors().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(read(0), [1.5, -2.0]);
        assert_eq!(read(1), [1.0, -2.0]);
        assert!(file.read_bytes(&file.tensors[0].1, 1, &mut [0; 8]).is_err());
    }

    #[test]
    fn malformed_files_are_refused() {
        let huge = [u64::MAX.to_le_bytes().to_vec(), vec![0; 100]].concat();
        for header in [
            "",
            "[]",
            "{",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}",
            "{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,9],\"data_offsets\":[0,8]}}",
        ] {
            let file = file(header, &[0; 8]);
            let error = Safetensors::open(file.path()).err().unwrap();
            assert_eq!(error.code(), Code::Safetensors, "{header}: {error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [&huge[..], b"", b"1234567"] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(Safetensors::open(file.path()).err().unwrap().code(), Code::Safetensors);
        }
        let mut out = [0f32; 1];
        assert_eq!(to_f32(Dtype::I64, &[0; 8], &mut out).unwrap_err().code(), Code::Safetensors);
    }
}
