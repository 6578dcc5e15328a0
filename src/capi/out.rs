//! What goes out: handles, numbers, and structs that may be older or newer than ours.

use super::handle::{Handle, give};
use crate::error::{Result, bail, err};

/// A place for a handle, NULL until it is set.
pub(super) struct Out<T>(*mut *mut T);

/// A place for a handle.
///
/// # Safety
/// `place` is NULL or can be written.
pub(super) unsafe fn out<T: Handle>(place: *mut *mut T, name: &str) -> Result<Out<T>> {
    // SAFETY: passed on.
    unsafe { put(place, std::ptr::null_mut(), name) }?;
    Ok(Out(place))
}

impl<T: Handle> Out<T> {
    /// Gives a new handle to the caller.
    pub(super) fn set(self, value: T) {
        // SAFETY: `out` has written there before, in the same call.
        unsafe { self.0.write_unaligned(give(value)) }
    }
}

/// Writes a number.
///
/// # Safety
/// `place` is NULL or can be written.
pub(super) unsafe fn put<T: Copy>(place: *mut T, value: T, name: &str) -> Result<()> {
    if place.is_null() {
        bail!(
            NullPointer,
            "the argument `{name}` is NULL; give the address of a variable for the result"
        )
    }
    // SAFETY: not NULL, and writable by the caller's promise.
    unsafe { place.write_unaligned(value) };
    Ok(())
}

/// A struct that the caller has and we fill.
///
/// # Safety
/// The type is `repr(C)` and its first field is `struct_size: u32`.
pub(super) unsafe trait OutStruct: Copy {
    /// The size of the struct's first version: no caller's is smaller.
    const FIRST_SIZE: usize;
}

/// Writes what both sides know of a struct, and how many bytes that is.
///
/// # Safety
/// `place` is NULL or as large as its `struct_size` says.
pub(super) unsafe fn fill<T: OutStruct>(place: *mut T, value: T, name: &str) -> Result<()> {
    // SAFETY: passed on.
    let size = unsafe { struct_size(place, name) }?;
    // SAFETY: `size` bytes are inside `value`, and inside the caller's struct; the first four are its size.
    unsafe {
        let from = (&raw const value).cast::<u8>();
        std::ptr::copy_nonoverlapping(from, place.cast::<u8>(), size);
        place.cast::<u32>().write_unaligned(size as u32);
    }
    Ok(())
}

/// How much of a struct both sides know. A function calls this before it does anything, so that a wrong size
/// costs nothing.
///
/// # Safety
/// As [`fill`].
pub(super) unsafe fn struct_size<T: OutStruct>(place: *const T, name: &str) -> Result<usize> {
    if place.is_null() {
        bail!(NullPointer, "the argument `{name}` is NULL; give the address of a struct to fill")
    }
    // SAFETY: not NULL, and at least `struct_size` is there by the caller's promise.
    let theirs = unsafe { place.cast::<u32>().read_unaligned() } as usize;
    if theirs < T::FIRST_SIZE {
        let first = T::FIRST_SIZE;
        return Err(err!(
            StructSize,
            "the struct_size of `{name}` is {theirs}, its first version has {first} bytes; set \
             struct_size to sizeof of the struct before the call"
        ));
    }
    Ok(theirs.min(size_of::<T>()))
}

/// `first_version!(nest_x, last_field: Type)`: the struct's first version ended with that field.
macro_rules! first_version {
    ($name:ty, $last:ident: $type:ty) => {
        // SAFETY: `repr(C)` with `struct_size: u32` in front, as checked here.
        unsafe impl $crate::capi::out::OutStruct for $name {
            const FIRST_SIZE: usize = {
                assert!(std::mem::offset_of!($name, struct_size) == 0);
                std::mem::offset_of!($name, $last) + size_of::<$type>()
            };
        }
    };
}
pub(super) use first_version;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Numbers {
        struct_size: u32,
        first: u32,
        second: u32,
        later: u32,
    }
    first_version!(Numbers, second: u32);

    const OURS: Numbers = Numbers { struct_size: 0, first: 1, second: 2, later: 3 };

    #[test]
    fn older_and_newer_structs_get_what_both_know() {
        for (theirs, written) in [(12u32, 12u32), (16, 16), (4000, 16)] {
            let mut place = [theirs, 9, 9, 9, 9];
            // SAFETY: the refused and cut sizes never reach beyond the array.
            unsafe { fill(place.as_mut_ptr().cast(), OURS, "numbers") }.unwrap();
            assert_eq!(place[..3], [written, 1, 2]);
            assert_eq!(place[3], if written == 16 { 3 } else { 9 });
            assert_eq!(place[4], 9);
        }
    }

    #[test]
    fn too_small_or_null_is_refused() {
        for theirs in [0u32, 4, 11] {
            let mut place = [theirs, 9, 9, 9];
            // SAFETY: as above.
            let error = unsafe { fill(place.as_mut_ptr().cast(), OURS, "numbers") }.unwrap_err();
            assert_eq!(error.code(), Code::StructSize);
            assert_eq!(place, [theirs, 9, 9, 9]);
        }
        // SAFETY: NULL is refused.
        let error = unsafe { fill(std::ptr::null_mut(), OURS, "numbers") }.unwrap_err();
        assert_eq!(error.code(), Code::NullPointer);
    }
}
