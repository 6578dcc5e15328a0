//! Options, set by name. A new option changes neither this header nor any binding: nest_options_reference lists them.

use std::ffi::c_char;

use super::adapter::nest_adapter;
use super::argument::{flag, list, text, text_of};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Editable, Handle, free, handle, optional};
use super::option_set::{OptionSet, reference};
use super::out::out;
use super::string::nest_string;
use crate::adapter::Adapter;
use crate::error::Result;
use crate::options::{GenerationOptions, Input, Options, SessionOptions};

/// Options of one kind.
pub struct nest_options(Editable<OptionSet>);

impl Handle for nest_options {
    const NAME: &'static str = "nest_options";
}

impl nest_options {
    pub(super) fn of(set: OptionSet) -> Self {
        Self(Editable::new(set))
    }
}

/// The default options of a kind: "model", "session", "generation" (which includes sampling), "dataset", "trainer",
/// "evaluation", "adapter", "merge", "quantize", "seal", "embedding", "convert", "imatrix", "compare" or "prune".
///
/// Gives `options`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for an unknown kind.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_new(
    kind: *const c_char,
    options: *mut *mut nest_options,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(options, "options")?;
        out.set(nest_options::of(OptionSet::new(text(kind, "kind")?)?));
        Ok(())
    })
}

/// Sets an option that takes an integer, or a number.
///
/// Exclusive: `options`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, UNKNOWN_OPTION lists the keys, INVALID_OPTION says
/// what is accepted; the option then keeps its value.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_set_int(
    options: *mut nest_options,
    key: *const c_char,
    value: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |_| Ok(Input::Int(value))) })
}

/// Sets an option that takes a number.
///
/// Exclusive: `options`. Errors: as nest_options_set_int.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_set_float(
    options: *mut nest_options,
    key: *const c_char,
    value: f64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |_| Ok(Input::Float(value))) })
}

/// Sets an option that takes a flag: 0 or 1.
///
/// Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_set_bool(
    options: *mut nest_options,
    key: *const c_char,
    value: i32,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |name| flag(value, name).map(Input::Bool)) })
}

/// Sets any option from text: a word, a number, "auto", "true", ... `length` may be -1.
///
/// Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_set_string(
    options: *mut nest_options,
    key: *const c_char,
    value: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |name| text_of(value, length, name).map(Input::Str)) })
}

/// Adds one element to an option that is a list (`stop`, ...). `length` may be -1.
///
/// Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_add_string(
    options: *mut nest_options,
    key: *const c_char,
    value: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |name| text_of(value, length, name).map(Input::Add)) })
}

/// Sets an option that takes bytes: a key. The bytes are copied, never given out again, and wiped when the options are
/// freed; wipe your own copy. No bytes unset it.
///
/// Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_set_bytes(
    options: *mut nest_options,
    key: *const c_char,
    data: *const u8,
    length: u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { set(options, key, |_| list(data, length, "data").map(Input::Bytes)) })
}

/// Adds an adapter with its scale (usually 1) to options of the kind "session", "generation" or "evaluation", which keep
/// it alive. A generation whose options have adapters uses these and not those of its session.
///
/// Exclusive: `options`. Errors: NULL_POINTER, BUSY, INVALID_ARGUMENT for another kind or a scale that is not finite.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_add_adapter(
    options: *mut nest_options,
    adapter: *const nest_adapter,
    scale: f64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let (options, adapter) = (handle(options, "options")?, handle(adapter, "adapter")?);
        options.0.write("options")?.add_adapter(&adapter.0, scale)
    })
}

/// An option's value as text.
///
/// Gives `value`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, BUSY, UNKNOWN_OPTION.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_get(
    options: *const nest_options,
    key: *const c_char,
    value: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(value, "value")?;
        let (options, key) = (handle(options, "options")?, text(key, "key")?);
        out.set(nest_string::new(options.0.read("options")?.get(key)?));
        Ok(())
    })
}

/// Every option of every kind, as a JSON list of `{"kind", "options": [{"key", "takes", "default", "doc"}]}`.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_options_reference(json: *mut *mut nest_string) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(json, "json")?.set(nest_string::new(reference()));
        Ok(())
    })
}

/// Frees options; what was made with them goes on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_options_free(options: *mut nest_options) {
    // SAFETY: NULL, or the caller's own options, given back.
    guard_or((), || unsafe { free(options) });
}

/// # Safety
/// As [`handle`] and [`text`].
unsafe fn set<'a>(
    options: *mut nest_options,
    key: *const c_char,
    input: impl FnOnce(&str) -> Result<Input<'a>>,
) -> Result<()> {
    // SAFETY: passed on.
    let (options, key) = unsafe { (handle(options, "options")?, text(key, "key")?) };
    let input = input("value")?;
    options.0.write("options")?.set(key, input)
}

/// A copy of what is set, and the adapters; the defaults for NULL. An error for options of another kind.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn with_adapters<O: Options + 'static>(
    options: *const nest_options,
) -> Result<(O, Vec<(Adapter, f32)>)> {
    // SAFETY: passed on.
    let Some(options) = (unsafe { optional(options) }) else {
        return Ok((O::default(), Vec::new()));
    };
    let copy = options.0.read("options")?.clone();
    copy.into_kind()
}

/// As [`with_adapters`], of a kind without adapters.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn of<O: Options + 'static>(options: *const nest_options) -> Result<O> {
    // SAFETY: passed on.
    Ok(unsafe { with_adapters(options) }?.0)
}

/// The options of a generation, which its sampling is a part of.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn generation(options: *const nest_options) -> Result<GenerationOptions> {
    // SAFETY: passed on.
    unsafe { of(options) }
}

/// The adapters of a session's options.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn adapters(options: *const nest_options) -> Result<Vec<(Adapter, f32)>> {
    // SAFETY: passed on.
    Ok(unsafe { with_adapters::<SessionOptions>(options) }?.1)
}
