//! The engine's own quantizer, which has neither progress nor cancel: what ours is compared with in the tests.

use std::ffi::CString;
use std::path::Path;

use llama_cpp_sys_2 as sys;

/// Quantizes a file as `llama-quantize` does. `matrix` has the importances by tensor.
pub(crate) fn engine_quantize(
    from: &Path,
    to: &Path,
    ftype: u32,
    pure: bool,
    matrix: &[(String, Vec<f32>)],
) {
    super::init::init();
    let text = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let names: Vec<_> =
        matrix.iter().map(|(name, _)| CString::new(name.as_str()).unwrap()).collect();
    let mut data: Vec<_> = names
        .iter()
        .zip(matrix)
        .map(|(name, (_, values))| sys::llama_model_imatrix_data {
            name: name.as_ptr(),
            data: values.as_ptr(),
            size: values.len(),
        })
        .collect();
    let end =
        sys::llama_model_imatrix_data { name: std::ptr::null(), data: std::ptr::null(), size: 0 };
    data.push(end);
    // SAFETY: plain data.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.nthread = 2;
    params.ftype = ftype as sys::llama_ftype;
    params.allow_requantize = true;
    params.pure_ = pure;
    if !matrix.is_empty() {
        params.imatrix = data.as_ptr();
    }
    // SAFETY: the paths and all that the parameters point to live until the call returns.
    let failed = unsafe {
        sys::llama_model_quantize(text(from).as_ptr(), text(to).as_ptr(), &raw const params)
    };
    assert_eq!(failed, 0, "the engine does not quantize {} as {ftype}", from.display());
}
