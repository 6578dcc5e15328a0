//! Floats to blocks of a type and back, by the engine.

use half::f16;
use half::slice::HalfFloatSliceExt;
use llama_cpp_sys_2 as sys;

use crate::error::{Result, bail};

/// Rows of `width` finite floats in the layout of a type. `matrix` has the importance of each column; without it, all are
/// alike to a type that wants one.
pub(crate) fn quantize(
    type_id: u32,
    values: &[f32],
    width: usize,
    matrix: Option<&[f32]>,
) -> Result<Vec<u8>> {
    super::init::init();
    let (id, block, size) = layout(type_id)?;
    let fits = width > 0 && width.is_multiple_of(block) && values.len().is_multiple_of(width);
    if !fits || matrix.is_some_and(|m| m.len() != width) {
        bail!(InvalidArgument, "rows of {width} floats cannot be put into the type {type_id}")
    }
    let mut bytes = vec![0u8; values.len() / block * size];
    let rows = (values.len() / width) as i64;
    // SAFETY: the type is one of the engine's.
    let wanted = unsafe { sys::ggml_quantize_requires_imatrix(id) };
    let alike = if wanted && matrix.is_none() { vec![1f32; width] } else { Vec::new() };
    let matrix = match matrix {
        Some(matrix) => matrix.as_ptr(),
        None if wanted => alike.as_ptr(),
        None => std::ptr::null(),
    };
    // SAFETY: the input is whole rows, the output as long as they become, the matrix as wide as a row.
    unsafe {
        let (from, to) = (values.as_ptr(), bytes.as_mut_ptr().cast());
        sys::ggml_quantize_chunk(id, from, to, 0, rows, width as i64, matrix);
    }
    Ok(bytes)
}

/// The floats of whole blocks of a type.
///
/// # Errors
/// `InvalidArgument` for bytes that are not whole blocks or of another number of floats, `Unsupported` for a type that the
/// engine cannot read so.
pub(crate) fn dequantize(type_id: u32, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    super::init::init();
    let (id, block, size) = layout(type_id)?;
    let fits = out.len().is_multiple_of(block) && bytes.len() == out.len() / block * size;
    if !fits {
        bail!(InvalidArgument, "{} bytes are not {} floats", bytes.len(), out.len())
    }
    if id == sys::GGML_TYPE_F32 {
        for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        return Ok(());
    }
    if id == sys::GGML_TYPE_F16 {
        // The engine's own does one number at a time.
        let halves: Vec<f16> =
            bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect();
        halves.convert_to_f32_slice(out);
        return Ok(());
    }
    // SAFETY: the type is one of the engine's; its traits live for ever.
    let to_float = unsafe { (*sys::ggml_get_type_traits(id)).to_float };
    let Some(to_float) = to_float else {
        bail!(Unsupported, "tensors of type {type_id} cannot be read as floats")
    };
    // SAFETY: the input is as many blocks as the output has floats.
    unsafe { to_float(bytes.as_ptr().cast(), out.as_mut_ptr(), out.len() as i64) };
    Ok(())
}

/// A type of the engine, the floats in a block and its bytes.
fn layout(type_id: u32) -> Result<(sys::ggml_type, usize, usize)> {
    let known = sys::ggml_type::try_from(type_id).ok().filter(|id| *id < sys::GGML_TYPE_COUNT);
    let Some(id) = known else { bail!(InvalidArgument, "there is no type {type_id}") };
    // SAFETY: the type is one of the engine's.
    let (block, size) = unsafe { (sys::ggml_blck_size(id), sys::ggml_type_size(id)) };
    match usize::try_from(block) {
        Ok(block) if block > 0 && size > 0 => Ok((id, block, size)),
        _ => bail!(InvalidArgument, "there is no type {type_id}"),
    }
}
