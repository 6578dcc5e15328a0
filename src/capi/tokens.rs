//! Token ids that were computed for the caller.

use super::guard::guard_or;
use super::handle::{Handle, free, optional};

/// An owned list of token ids.
pub struct nest_tokens(pub(super) Vec<i32>);

impl Handle for nest_tokens {
    const NAME: &'static str = "nest_tokens";
}

/// The ids, lent by the list: `nest_tokens_length` of them; NULL for NULL or an empty list. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_tokens_data(tokens: *const nest_tokens) -> *const i32 {
    // SAFETY: NULL, or a list that is not freed.
    guard_or(std::ptr::null(), || match unsafe { optional(tokens) } {
        Some(tokens) if !tokens.0.is_empty() => tokens.0.as_ptr(),
        _ => std::ptr::null(),
    })
}

/// The number of ids; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_tokens_length(tokens: *const nest_tokens) -> u64 {
    // SAFETY: NULL, or a list that is not freed.
    guard_or(0, || unsafe { optional(tokens) }.map_or(0, |t| t.0.len() as u64))
}

/// Frees a list. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_tokens_free(tokens: *mut nest_tokens) {
    // SAFETY: NULL, or the caller's own list, given back.
    guard_or((), || unsafe { free(tokens) });
}
