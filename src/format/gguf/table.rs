//! The tensor table: each entry alone, then all of them against the file.

use std::collections::HashSet;

use super::cursor::{Cursor, Stop, text};
use super::tensor::{GgmlType, Shape, TensorInfo};
use super::{MAX_DIMS, MAX_TENSOR_NAME};
use crate::error::{Result, bail, err};

/// A table entry with its offset relative to the data section.
pub(super) struct RawTensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub ggml_type: GgmlType,
    pub n_bytes: u64,
    pub offset: u64,
}

/// Reads entry `index` and checks what can be checked without the others.
pub(super) fn entry(c: &mut Cursor, index: u64) -> Result<RawTensor, Stop> {
    let what = format!("the name of tensor {index}");
    let bytes = c.string(&what)?;
    // A NUL would let C code see a shorter name than the one that was checked.
    if bytes.is_empty() || bytes.len() > MAX_TENSOR_NAME || bytes.contains(&0) {
        return Err(Stop::Bad(err!(
            GgufTensorName,
            "{what} has {} bytes; a name has 1 to {MAX_TENSOR_NAME} bytes and no NUL: write the file \
             again",
            bytes.len()
        )));
    }
    let name = text(bytes, &what)?.to_owned();
    let n_dims = c.u32(&name)?;
    if n_dims == 0 || n_dims as usize > MAX_DIMS {
        return Err(Stop::Bad(err!(
            GgufTensorDims,
            "tensor {name} has {n_dims} dimensions; 1 to {MAX_DIMS} are allowed: convert the model \
             again"
        )));
    }
    let mut dims = Vec::with_capacity(MAX_DIMS);
    for _ in 0..n_dims {
        dims.push(c.u64(&name)?);
    }
    let id = c.u32(&name)?;
    let offset = c.u64(&name)?;
    let ggml_type = GgmlType::from_u32(id).ok_or_else(|| {
        Stop::Bad(err!(
            GgufTensorType,
            "tensor {name} has type {id}, which is unknown or was removed; quantize the model again"
        ))
    })?;
    let n_bytes = n_bytes(&name, &dims, ggml_type)?;
    Ok(RawTensor { name, dims, ggml_type, n_bytes, offset })
}

fn n_bytes(name: &str, dims: &[u64], ggml_type: GgmlType) -> Result<u64> {
    // The engine counts in signed 64-bit numbers.
    let limit = i64::MAX as u64;
    let elements = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let elements = match elements {
        Some(n) if n > 0 && n <= limit => n,
        _ => bail!(
            GgufTensorShape,
            "tensor {name} has the impossible shape {}; the file is damaged",
            Shape(dims)
        ),
    };
    let block = ggml_type.block_size();
    let row = dims.first().copied().unwrap_or(0);
    if row % block != 0 {
        bail!(
            GgufTensorBlock,
            "tensor {name} has rows of {row} elements, which are not whole blocks of {block} as type \
             {ggml_type} needs; quantize the model again"
        );
    }
    match (elements / block).checked_mul(ggml_type.type_size()) {
        Some(n) if n <= limit => Ok(n),
        _ => bail!(
            GgufTensorShape,
            "tensor {name} with the shape {} has more bytes than can be counted; the file is damaged",
            Shape(dims)
        ),
    }
}

/// Checks all entries against each other and the file; offsets become absolute. `end` is where the
/// table ends, `total` the file's length.
pub(super) fn place(
    raw: Vec<RawTensor>,
    end: usize,
    alignment: u64,
    total: u64,
) -> Result<Vec<TensorInfo>> {
    let start = (end as u64).next_multiple_of(alignment);
    let mut names = HashSet::with_capacity(raw.len());
    for t in &raw {
        if !names.insert(t.name.as_str()) {
            bail!(GgufDuplicateTensor, "tensor {} occurs twice; write the file again", t.name);
        }
    }
    let tensors = raw
        .into_iter()
        .map(|t| absolute(t, start, alignment, total))
        .collect::<Result<Vec<_>>>()?;
    check_overlap(&tensors)?;
    Ok(tensors)
}

fn absolute(t: RawTensor, start: u64, alignment: u64, total: u64) -> Result<TensorInfo> {
    let RawTensor { name, dims, ggml_type, n_bytes, offset } = t;
    if offset % alignment != 0 {
        bail!(
            GgufTensorOffset,
            "tensor {name} lies at offset {offset}, which is not a multiple of the alignment \
             {alignment}; write the file again"
        );
    }
    let end = start.checked_add(offset).and_then(|at| at.checked_add(n_bytes));
    if end.is_none_or(|end| end > total) {
        bail!(
            GgufTensorBounds,
            "tensor {name} needs bytes {start}+{offset}+{n_bytes} of a file of {total} bytes; it is \
             damaged or cut short: fetch it again"
        );
    }
    Ok(TensorInfo { name, dims, ggml_type, offset: start + offset, n_bytes })
}

fn check_overlap(tensors: &[TensorInfo]) -> Result<()> {
    let mut order = tensors.iter().collect::<Vec<_>>();
    order.sort_by_key(|t| t.offset);
    for (a, b) in order.iter().zip(order.iter().skip(1)) {
        if a.offset + a.n_bytes > b.offset {
            bail!(
                GgufTensorOverlap,
                "tensors {} and {} share bytes from {}; write the file again",
                a.name,
                b.name,
                b.offset
            );
        }
    }
    Ok(())
}
