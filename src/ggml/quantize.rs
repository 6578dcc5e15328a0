//! Floats to blocks of a quantized type, by the engine.

use llama_cpp_sys_2 as sys;

use crate::error::{Result, bail};

/// Rows of `width` floats in the layout of a type. To one that wants an importance matrix, all columns are alike.
pub(crate) fn quantize(type_id: u32, values: &[f32], width: usize) -> Result<Vec<u8>> {
    super::init::init();
    let known = sys::ggml_type::try_from(type_id).ok().filter(|id| *id < sys::GGML_TYPE_COUNT);
    let Some(id) = known else { bail!(InvalidArgument, "there is no type {type_id}") };
    // SAFETY: the type is one of the engine's.
    let (block, size, matrix) = unsafe {
        (sys::ggml_blck_size(id), sys::ggml_type_size(id), sys::ggml_quantize_requires_imatrix(id))
    };
    let blocks =
        usize::try_from(block).ok().filter(|b| *b > 0 && width.is_multiple_of(*b) && width > 0);
    let (Some(block), true) = (blocks, values.len().is_multiple_of(width.max(1))) else {
        bail!(InvalidArgument, "rows of {width} floats cannot be put into the type {type_id}")
    };
    let mut bytes = vec![0u8; values.len() / block * size];
    let rows = (values.len() / width) as i64;
    let alike = vec![1f32; width];
    let matrix = if matrix { alike.as_ptr() } else { std::ptr::null() };
    // SAFETY: the input is whole rows, the output as long as they become, the matrix as wide as a row.
    unsafe {
        let (from, to) = (values.as_ptr(), bytes.as_mut_ptr().cast());
        sys::ggml_quantize_chunk(id, from, to, 0, rows, width as i64, matrix);
    }
    Ok(bytes)
}
