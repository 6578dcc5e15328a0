//! Examples in memory, added one by one: what a dataset can be made of without a file.

use std::ffi::c_char;

use super::argument::text_of;
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Editable, Handle, free, handle};
use super::messages::{self, nest_messages};
use super::out::{out, put};
use crate::dataset::Example;
use crate::error::Result;

/// A list of examples.
pub struct nest_examples(Editable<Vec<Example>>);

impl Handle for nest_examples {
    const NAME: &'static str = "nest_examples";
}

/// An empty list.
///
/// Gives `examples`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_new(examples: *mut *mut nest_examples) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(examples, "examples")?.set(nest_examples(Editable::new(Vec::new())));
        Ok(())
    })
}

/// Adds a conversation, which is copied. The assistant's turns are what is learned.
///
/// Exclusive: `examples`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_add_messages(
    examples: *mut nest_examples,
    messages: *const nest_messages,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let examples = handle(examples, "examples")?;
        examples.add(Example::messages(messages::read(messages)?))
    })
}

/// Adds raw text and what follows it, with the white space between them; the completion is what is learned. Each length
/// may be -1.
///
/// Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_add_completion(
    examples: *mut nest_examples,
    prompt: *const c_char,
    prompt_length: i64,
    completion: *const c_char,
    completion_length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let examples = handle(examples, "examples")?;
        let prompt = text_of(prompt, prompt_length, "prompt")?;
        let completion = text_of(completion, completion_length, "completion")?;
        examples.add(Example::completion(prompt, completion))
    })
}

/// Adds raw text, all of which is learned. `length` may be -1.
///
/// Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_add_text(
    examples: *mut nest_examples,
    text: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let examples = handle(examples, "examples")?;
        examples.add(Example::from(text_of(text, length, "text")?))
    })
}

/// Adds a text of a class; the label is what is learned. Each length may be -1.
///
/// Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_add_labelled(
    examples: *mut nest_examples,
    text: *const c_char,
    text_length: i64,
    label: *const c_char,
    label_length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let examples = handle(examples, "examples")?;
        let text = text_of(text, text_length, "text")?;
        let label = text_of(label, label_length, "label")?;
        examples.add(Example::labelled(text, label))
    })
}

/// Adds what a line of a JSONL file says: an object with "messages" and perhaps "tools", "prompt" and "completion",
/// "text", or "text" and "label". `length` may be -1.
///
/// Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, DATASET_LINE says what is wrong.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_add_json(
    examples: *mut nest_examples,
    json: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let examples = handle(examples, "examples")?;
        examples.add(Example::from_json(text_of(json, length, "json")?)?)
    })
}

/// The number of examples.
///
/// Any thread. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_examples_count(
    examples: *const nest_examples,
    count: *mut u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(count, 0, "count")?;
        let n = handle(examples, "examples")?.0.read("examples")?.len();
        put(count, n as u64, "count")
    })
}

/// Frees a list; datasets made of it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_examples_free(examples: *mut nest_examples) {
    // SAFETY: NULL, or the caller's own list, given back.
    guard_or((), || unsafe { free(examples) });
}

impl nest_examples {
    fn add(&self, example: Example) -> Result<()> {
        self.0.write("examples")?.push(example);
        Ok(())
    }

    /// A copy of the list.
    pub(super) fn read(&self) -> Result<Vec<Example>> {
        Ok(self.0.read("examples")?.clone())
    }
}
