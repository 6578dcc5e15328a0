//! Loading a model from the very bytes that the gate has validated.

use std::ffi::{CString, c_char, c_void};
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::ptr::{NonNull, null_mut};

use llama_cpp_sys_2 as sys;

use super::device::RawDevice;
use super::init::init;
use super::shim;
use crate::error::{Error, Result, bail, err};
use crate::log;

/// Where the bytes are.
pub(crate) enum Input<'a> {
    /// An open file and the offset of the GGUF data in it.
    File { file: &'a File, offset: u64 },
    /// The parts of a split model, in order; also a single path.
    Paths(Vec<PathBuf>),
    /// A whole GGUF image in memory.
    Memory(&'a [u8]),
}

/// How to load.
pub(crate) struct LoadParams<'a> {
    pub devices: &'a [RawDevice],
    pub n_gpu_layers: i32,
    pub mmap: bool,
    pub mlock: bool,
    /// Whether contexts of the model compute with our kernels.
    pub accel: bool,
    pub repack: bool,
    pub check_tensors: bool,
    pub vocab_only: bool,
    /// Reads the metadata and counts the memory, but allocates and reads no weights.
    pub no_alloc: bool,
    /// Called with the part that is done; `false` stops the load.
    pub progress: &'a (dyn Fn(f32) -> bool + Sync),
}

pub(super) fn load(input: &Input<'_>, p: &LoadParams<'_>) -> Result<NonNull<sys::llama_model>> {
    init();
    let mut devices: Vec<_> = p.devices.iter().map(|d| d.0).collect();
    devices.push(null_mut());
    let mut progress = p.progress;

    // SAFETY: fills a plain struct.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.devices = devices.as_mut_ptr();
    params.n_gpu_layers = p.n_gpu_layers;
    params.split_mode = sys::LLAMA_SPLIT_MODE_LAYER;
    params.load_mode = match (p.mmap, p.mlock) {
        (true, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
        (true, false) => sys::LLAMA_LOAD_MODE_MMAP,
        (false, true) => sys::LLAMA_LOAD_MODE_MLOCK,
        (false, false) => sys::LLAMA_LOAD_MODE_NONE,
    };
    params.use_extra_bufts = p.repack;
    params.check_tensors = p.check_tensors;
    params.vocab_only = p.vocab_only;
    params.no_alloc = p.no_alloc;
    params.progress_callback = Some(on_progress);
    params.progress_callback_user_data = (&raw mut progress).cast();

    let mut model = null_mut();
    let (loaded, lines) = log::capture(|| match input {
        Input::File { file, offset } => load_file(file, *offset, &params, &mut model),
        Input::Paths(paths) => load_paths(paths, &params, &mut model),
        Input::Memory(memory) => load_memory(memory, &params, &mut model),
    });
    loaded?;
    let Some(model) = NonNull::new(model) else {
        // The last line only says that it failed.
        let reason = lines.iter().find(|line| line.contains("error loading model"));
        let reason = reason.or(lines.last()).map_or("no reason given", String::as_str);
        bail!(
            ModelLoad,
            "the engine refused the model: {reason}; convert it again with a current converter, \
             or use a supported architecture"
        )
    };
    Ok(model)
}

#[cfg(unix)]
fn load_file(
    file: &File,
    offset: u64,
    params: &sys::llama_model_params,
    model: &mut *mut sys::llama_model,
) -> Result<()> {
    let stream = Stream::open(file, offset)?;
    shim::call("loading the model", |why| {
        // SAFETY: the stream is open for the time of the call (the engine keeps mappings, not the
        // stream), `params` points to live locals of `load`, and `model` is a live out pointer.
        unsafe { shim::nestling_shim_load_file(stream.0, params, model, why) }
    })
}

#[cfg(not(unix))]
fn load_file(
    _: &File,
    _: u64,
    _: &sys::llama_model_params,
    _: &mut *mut sys::llama_model,
) -> Result<()> {
    bail!(Unsupported, "models from descriptors need a Unix system; give a path instead")
}

fn load_paths(
    paths: &[PathBuf],
    params: &sys::llama_model_params,
    model: &mut *mut sys::llama_model,
) -> Result<()> {
    let paths = paths.iter().map(|p| c_path(p)).collect::<Result<Vec<_>>>()?;
    let mut pointers: Vec<*const c_char> = paths.iter().map(|p| p.as_ptr()).collect();
    shim::call("loading the model", |why| {
        // SAFETY: the strings outlive the call; the rest as in `load_file`.
        unsafe {
            shim::nestling_shim_load_splits(
                pointers.as_mut_ptr(),
                pointers.len(),
                params,
                model,
                why,
            )
        }
    })
}

/// The engine's own entry for models in memory makes every optional tensor of an architecture, filled
/// with zeros; a stream over the memory takes the same path as a file, and is copied just as once.
#[cfg(unix)]
fn load_memory(
    bytes: &[u8],
    params: &sys::llama_model_params,
    model: &mut *mut sys::llama_model,
) -> Result<()> {
    let mut params = *params;
    // There is no file to map.
    params.load_mode = match params.load_mode {
        sys::LLAMA_LOAD_MODE_MMAP_MLOCK | sys::LLAMA_LOAD_MODE_MLOCK => sys::LLAMA_LOAD_MODE_MLOCK,
        _ => sys::LLAMA_LOAD_MODE_NONE,
    };
    let stream = Stream::over(bytes)?;
    shim::call("loading the model from memory", |why| {
        // SAFETY: the stream reads `bytes`, which outlive the call; the rest as in `load_file`.
        unsafe { shim::nestling_shim_load_file(stream.0, &params, model, why) }
    })
}

#[cfg(not(unix))]
fn load_memory(_: &[u8], _: &sys::llama_model_params, _: &mut *mut sys::llama_model) -> Result<()> {
    bail!(Unsupported, "models from memory need a Unix system; give a path instead")
}

extern "C" fn on_progress(fraction: f32, user: *mut c_void) -> bool {
    // SAFETY: `user` points to the `progress` reference in `load`, which outlives the engine's call.
    let progress = unsafe { *user.cast::<&(dyn Fn(f32) -> bool + Sync)>() };
    std::panic::catch_unwind(AssertUnwindSafe(|| progress(fraction))).unwrap_or(false)
}

/// A C string of a path.
pub(super) fn c_path(path: &std::path::Path) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path
        .to_str()
        .ok_or_else(|| err!(InvalidUtf8, "the path is not valid Unicode; rename the file"))?
        .as_bytes()
        .to_vec();
    CString::new(bytes)
        .map_err(|_| err!(InvalidArgument, "the path holds a NUL character; rename the file"))
}

/// A C stream over a duplicate of a descriptor, positioned at an offset; closed when dropped.
#[cfg(unix)]
pub(super) struct Stream(pub(super) *mut c_void);

#[cfg(unix)]
impl Stream {
    pub(super) fn open(file: &File, offset: u64) -> Result<Self> {
        use std::io::{Seek, SeekFrom};
        use std::os::fd::IntoRawFd;
        let doing = "opening the file for the engine";
        let mut copy = file.try_clone().map_err(|e| Error::io(&e, doing))?;
        copy.seek(SeekFrom::Start(offset)).map_err(|e| Error::io(&e, doing))?;
        let fd = copy.into_raw_fd();
        // SAFETY: `fd` is an open descriptor that we own; the mode is a NUL-terminated literal.
        let stream = unsafe { libc::fdopen(fd, c"rb".as_ptr()) };
        if stream.is_null() {
            let error = std::io::Error::last_os_error();
            // SAFETY: fdopen failed, so the descriptor is still ours and open.
            unsafe { libc::close(fd) };
            return Err(Error::io(&error, doing));
        }
        Ok(Self(stream.cast()))
    }

    /// A stream that reads `bytes`, which must outlive it.
    pub(super) fn over(bytes: &[u8]) -> Result<Self> {
        // SAFETY: the buffer is live for its length; the mode only reads, so it is never written.
        let stream = unsafe {
            libc::fmemopen(bytes.as_ptr().cast_mut().cast(), bytes.len(), c"rb".as_ptr())
        };
        if stream.is_null() {
            return Err(Error::io(&std::io::Error::last_os_error(), "reading what is in memory"));
        }
        Ok(Self(stream.cast()))
    }
}

#[cfg(unix)]
impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open and owned by us alone.
        unsafe { libc::fclose(self.0.cast()) };
    }
}
