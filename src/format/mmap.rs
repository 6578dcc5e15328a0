//! The one place that maps files.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapMut, MmapOptions};

/// Maps `length` bytes of `file` from `offset`, for reading.
pub(super) fn map(file: &File, offset: u64, length: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is private to this process's reads and never written. The invariant that
    // the file keeps its length while it is mapped is the caller's, stated where `Access::Map` is
    // documented: whoever cannot promise it chooses `Access::Read`.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
    unsafe {
        MmapOptions::new().offset(offset).len(length).map(file)
    }
}

/// Maps a file of [`anonymous`], for writing.
pub(super) fn map_mut(file: &File, length: usize) -> io::Result<MmapMut> {
    // SAFETY: only this process knows the file, whose length never changes. It is written before anybody reads it,
    // and wiped when nobody computes with it any more.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
    unsafe {
        MmapOptions::new().len(length).map_mut(file)
    }
}

/// A file that is in memory only and has no name, so that it can be mapped but never comes to a disk. `None` where the
/// system has none.
#[cfg(target_os = "linux")]
pub(super) fn anonymous(length: usize) -> Option<File> {
    use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
    // SAFETY: the name is a NUL-terminated literal; the call touches no other memory. The library's own function for it
    // would need a newer C library.
    #[allow(unsafe_code, reason = "a call of the system; see SAFETY")]
    let made =
        unsafe { libc::syscall(libc::SYS_memfd_create, c"nestling".as_ptr(), libc::MFD_CLOEXEC) };
    let descriptor = RawFd::try_from(made).ok().filter(|d| *d >= 0)?;
    // SAFETY: the system has just given us this descriptor, which nobody else owns.
    #[allow(unsafe_code, reason = "owning a descriptor; see SAFETY")]
    let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    file.set_len(length as u64).ok()?;
    Some(file)
}

/// A file that is in memory only: this system has none that can be mapped.
#[cfg(not(target_os = "linux"))]
pub(super) fn anonymous(_: usize) -> Option<File> {
    None
}
