//! Where a model, an adapter or a dataset comes from: a path, a part of an open file, or memory.

use std::ffi::c_char;

use super::argument::{list, text};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle};
use super::out::out;
use crate::error::{Result, bail};
use crate::format::Source;

/// The bytes of a file, wherever they are.
pub struct nest_source(pub(super) Source);

impl Handle for nest_source {
    const NAME: &'static str = "nest_source";
}

/// A file on disk. It is opened when the source is used, not here.
///
/// Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_UTF8.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_source_new_path(
    path: *const c_char,
    source: *mut *mut nest_source,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(source, "source")?;
        out.set(nest_source(Source::path(text(path, "path")?)));
        Ok(())
    })
}

/// A part of an open file: `length` bytes from `offset`, or the rest of the file if `length` is -1. The descriptor is
/// duplicated: the caller may close it at once. Its position is neither used nor moved.
///
/// Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, IO for a descriptor that is not open,
/// UNSUPPORTED where there are no file descriptors.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_source_new_descriptor(
    descriptor: i32,
    offset: u64,
    length: i64,
    source: *mut *mut nest_source,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(source, "source")?;
        let length = part_length(length)?;
        out.set(nest_source(Source::file(duplicate(descriptor)?, offset, length)));
        Ok(())
    })
}

/// A whole file in memory. The bytes are copied: the caller may free them at once.
///
/// Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for an empty list, OUT_OF_MEMORY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_source_new_memory(
    data: *const u8,
    length: u64,
    source: *mut *mut nest_source,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(source, "source")?;
        out.set(nest_source(memory(list(data, length, "data")?)?));
        Ok(())
    })
}

/// Frees a source. What was opened from it goes on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_source_free(source: *mut nest_source) {
    // SAFETY: NULL, or the caller's own source, given back.
    guard_or((), || unsafe { free(source) });
}

/// The sources of a list of handles.
///
/// # Safety
/// As [`list`], and each as [`handle`].
pub(super) unsafe fn all(sources: *const *const nest_source, n: u64) -> Result<Vec<Source>> {
    // SAFETY: passed on.
    let sources = unsafe { list(sources, n, "sources") }?;
    let one = |(i, &source): (usize, &*const nest_source)| {
        // SAFETY: passed on.
        Ok(unsafe { handle(source, &format!("sources[{i}]")) }?.0.clone())
    };
    sources.iter().enumerate().map(one).collect()
}

fn part_length(length: i64) -> Result<Option<u64>> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length.unsigned_abs())),
        _ => bail!(
            InvalidArgument,
            "the argument `length` is {length}; give the bytes of the part, or -1 for the rest"
        ),
    }
}

fn memory(bytes: &[u8]) -> Result<Source> {
    if bytes.is_empty() {
        bail!(InvalidArgument, "the argument `length` is 0; give the bytes of a whole file")
    }
    // Asked for first: the copy itself could not say no.
    if Vec::<u8>::new().try_reserve_exact(bytes.len()).is_err() {
        bail!(
            OutOfMemory,
            "there is no memory for a copy of {} bytes; give a path or a descriptor",
            bytes.len()
        )
    }
    Ok(Source::memory(bytes))
}

#[cfg(unix)]
fn duplicate(descriptor: i32) -> Result<std::fs::File> {
    use std::os::fd::BorrowedFd;
    if descriptor < 0 {
        bail!(
            InvalidArgument,
            "the argument `descriptor` is {descriptor}; give one of an open file"
        )
    }
    // SAFETY: not -1; a descriptor that is not open is only refused by the system below.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    match borrowed.try_clone_to_owned() {
        Ok(owned) => Ok(owned.into()),
        Err(e) => {
            Err(crate::error::Error::io(&e, format_args!("duplicating descriptor {descriptor}")))
        }
    }
}

#[cfg(not(unix))]
fn duplicate(descriptor: i32) -> Result<std::fs::File> {
    bail!(Unsupported, "descriptor {descriptor}: this system has no file descriptors; give a path")
}
