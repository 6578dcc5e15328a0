//! A conversation: messages of a role and parts, oldest first. The model's chat template makes them a prompt.

use std::ffi::c_char;

use super::argument::{text, text_of};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Editable, Handle, free, handle};
use super::out::{out, put};
use crate::chat::{Message, Messages, Part};
use crate::error::{Result, bail};

/// A conversation.
pub struct nest_messages(Editable<Messages>);

impl Handle for nest_messages {
    const NAME: &'static str = "nest_messages";
}

/// An empty conversation.
///
/// Gives `messages`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_messages_new(messages: *mut *mut nest_messages) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(messages, "messages")?.set(nest_messages(Editable::new(Messages::new())));
        Ok(())
    })
}

/// A conversation from a JSON list of `{"role": ..., "content": ...}`: content is a string, a list of text parts, or
/// null; further fields (`name`, `tool_calls`, ...) are kept for the template. `length` may be -1.
///
/// Gives `messages`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_MESSAGES names the message that is
/// malformed, UNSUPPORTED a part that is not text.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_messages_new_json(
    json: *const c_char,
    length: i64,
    messages: *mut *mut nest_messages,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(messages, "messages")?;
        let parsed = Messages::from_json(text_of(json, length, "json")?)?;
        out.set(nest_messages(Editable::new(parsed)));
        Ok(())
    })
}

/// Adds a message with one part of text. Usual roles are "system", "user", "assistant" and "tool"; the template
/// decides. `length` may be -1.
///
/// Exclusive: `messages`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_messages_add(
    messages: *mut nest_messages,
    role: *const c_char,
    content: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let messages = handle(messages, "messages")?;
        let (role, content) = (text(role, "role")?, text_of(content, length, "content")?);
        messages.0.write("messages")?.push(Message::new(role, content));
        Ok(())
    })
}

/// Adds a part of text to the last message. `length` may be -1.
///
/// Exclusive: `messages`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, WRONG_STATE if there is no
/// message yet.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_messages_add_part(
    messages: *mut nest_messages,
    content: *const c_char,
    length: i64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let messages = handle(messages, "messages")?;
        let content = text_of(content, length, "content")?;
        last(&mut *messages.0.write("messages")?)?.push_part(Part::Text(content.to_owned()));
        Ok(())
    })
}

/// The number of messages.
///
/// Any thread. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_messages_count(
    messages: *const nest_messages,
    count: *mut u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { put(count, read(messages)?.as_slice().len() as u64, "count") })
}

/// Frees a conversation. Generations made from it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_messages_free(messages: *mut nest_messages) {
    // SAFETY: NULL, or the caller's own conversation, given back.
    guard_or((), || unsafe { free(messages) });
}

/// A copy of the conversation.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn read(messages: *const nest_messages) -> Result<Messages> {
    // SAFETY: passed on.
    let messages = unsafe { handle(messages, "messages") }?;
    let copy = messages.0.read("messages")?.clone();
    Ok(copy)
}

fn last(messages: &mut Messages) -> Result<&mut Message> {
    match messages.last_mut() {
        Some(message) => Ok(message),
        None => {
            bail!(WrongState, "there is no message to add a part to; call nest_messages_add first")
        }
    }
}
