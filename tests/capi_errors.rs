//! Bad input through the C functions: each gets its code, and a message with what, where and the remedy.
#![allow(unsafe_code, reason = "the C functions take raw pointers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "capi_errors/learning.rs"]
mod learning;
mod support;

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr::{null, null_mut};

use nestling::Code;
use nestling::capi::*;
use support::{Family, Tiny};

/// What an error must say: its code, then a word for what was wrong, for where, and for what to do.
type Expected = (Code, &'static str, &'static str, &'static str);

#[track_caller]
fn refused(error: *mut nest_error, (code, what, place, remedy): Expected) {
    // SAFETY: `error` is what a call just gave: NULL, or an error that nobody freed.
    let (got, message) = unsafe {
        let message = CStr::from_ptr(nest_error_message(error)).to_str().unwrap().to_owned();
        let got = nest_error_code(error);
        nest_error_free(error);
        (got, message)
    };
    assert_eq!(got, code.number(), "{message}");
    for word in [what, place, remedy] {
        assert!(message.contains(word), "{code:?}: no {word:?} in: {message}");
    }
}

#[track_caller]
fn fine(error: *mut nest_error) {
    // SAFETY: as in `refused`.
    let message = unsafe { CStr::from_ptr(nest_error_message(error)) };
    assert!(error.is_null(), "{message:?}");
}

fn c(text: impl AsRef<[u8]>) -> CString {
    CString::new(text.as_ref()).unwrap()
}

fn source(path: &Path) -> *mut nest_source {
    let mut source = null_mut();
    // SAFETY: text that ends with NUL, and a place for a handle.
    fine(unsafe { nest_source_new_path(c(path.to_str().unwrap()).as_ptr(), &mut source) });
    source
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let model = Tiny::new(Family::Llama).bytes();
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("empty", b"");
    write("text", b"no model at all, only a text that is longer than a header");
    write("cut", &model[..model.len() / 2]);
    let mut version = model.clone();
    version[4] = 9;
    write("version", &version);
    let cases: [(&str, Expected); 6] = [
        ("missing", (Code::NotFound, "No such file", "missing", "check the path")),
        (".", (Code::NotAFile, "not a regular file", "/.", "give the path")),
        ("empty", (Code::GgufTruncated, "0 bytes", "empty", "fetch it again")),
        ("text", (Code::GgufMagic, "begins with \"no m\"", "text", "not a GGUF file")),
        ("cut", (Code::GgufTensorBounds, "cut short", "cut: tensor", "fetch it again")),
        ("version", (Code::GgufVersion, "version 9", "/version", "convert the model again")),
    ];
    for (name, expected) in cases {
        let source = source(&directory.path().join(name));
        let (mut model, mut json) = (null_mut(), null_mut());
        // SAFETY: a live handle, NULL where it may be, places for handles.
        unsafe {
            refused(nest_model_open(source, null(), null(), &mut model), expected);
            refused(nest_model_inspect(source, &mut json), expected);
            nest_source_free(source);
        }
        assert!(model.is_null() && json.is_null());
    }
}

#[test]
fn options() {
    use Code::{InvalidArgument as Argument, InvalidOption as Value, UnknownOption as Key};
    let cases: [(&str, &str, &str, Expected); 15] = [
        ("model", "device", "quantum", (Code::DeviceNotFound, "quantum", "device", "auto, cpu")),
        ("model", "use_mmap", "maybe", (Value, "\"maybe\"", "use_mmap", "true or false")),
        ("model", "n_gpu_layers", "-3", (Value, "-3", "n_gpu_layers", "\"auto\" or an integer")),
        ("session", "n_ctx", "7", (Value, "7", "n_ctx", "from 8")),
        ("session", "n_ctxx", "8", (Key, "n_ctxx", "session", "n_ctx,")),
        ("session", "kv_type", "q3", (Value, "\"q3\"", "kv_type", "one of f16")),
        ("session", "n_ubatch", "1e9", (Value, "1e9", "n_ubatch", "an integer from 1")),
        ("generation", "temperature", "hot", (Value, "\"hot\"", "temperature", "a number from 0")),
        ("generation", "top_p", "1.5", (Value, "1.5", "top_p", "from 0 to 1")),
        ("generation", "max_tokens", "", (Value, "\"\"", "max_tokens", "\"auto\"")),
        ("generation", "seeed", "1", (Key, "seeed", "generation", "seed,")),
        ("trainer", "lora_rank", "0", (Value, "\"0\"", "lora_rank", "an integer from 1")),
        ("trainer", "learning_rate", "10", (Value, "\"10\"", "learning_rate", "from 0 to 1")),
        ("evaluation", "kv_type", "q3", (Value, "\"q3\"", "kv_type", "one of f16")),
        (
            "weather",
            "",
            "",
            (Argument, "\"weather\"", "kind", "dataset, trainer, evaluation, adapter, merge"),
        ),
    ];
    for (kind, key, value, expected) in cases {
        let (mut options, kind, key, value) = (null_mut(), c(kind), c(key), c(value));
        // SAFETY: texts that end with NUL, a place for a handle, and the handle it got.
        unsafe {
            let made = nest_options_new(kind.as_ptr(), &mut options);
            if !made.is_null() {
                refused(made, expected);
                assert!(options.is_null());
                continue;
            }
            let set = nest_options_set_string(options, key.as_ptr(), value.as_ptr(), -1);
            // Whether there is such a device is asked when a model is opened.
            if expected.0 == Code::DeviceNotFound {
                fine(set);
                let directory = tempfile::tempdir().unwrap();
                let source = source(&Tiny::new(Family::Llama).write(directory.path()));
                let mut model = null_mut();
                refused(nest_model_open(source, options, null(), &mut model), expected);
                nest_source_free(source);
            } else {
                refused(set, expected);
            }
            nest_options_free(options);
        }
    }
}

#[test]
fn arguments() {
    use Code::{InvalidArgument, InvalidMessages, InvalidUtf8, NullPointer};
    let (text, bad) = (c("text"), c(b"a\xFFb"));
    let messages = |json: *const c_char, length: i64| {
        let mut messages = null_mut();
        // SAFETY: NULL or text that ends with NUL, and a place for a handle.
        unsafe { nest_messages_new_json(json, length, &mut messages) }
    };
    refused(messages(null(), -1), (NullPointer, "NULL", "`json`", "give text"));
    refused(messages(null(), 4), (NullPointer, "NULL", "`json`", "give 4 items"));
    refused(messages(bad.as_ptr(), -1), (InvalidUtf8, "not UTF-8", "byte 1", "convert"));
    refused(messages(text.as_ptr(), -2), (InvalidArgument, "-2", "`json`", "-1 if it ends"));
    refused(
        messages(text.as_ptr(), i64::MIN),
        (InvalidArgument, "-9223", "`json`", "give its bytes"),
    );
    refused(messages(text.as_ptr(), -1), (InvalidMessages, "not JSON", "line 1", ""));
    let role = c(r#"[{"content": "x"}]"#);
    refused(messages(role.as_ptr(), -1), (InvalidMessages, "no \"role\"", "messages[0]", "add"));
    let image = c(r#"[{"role": "user", "content": [{"type": "image"}]}]"#);
    let expected = (Code::Unsupported, "\"image\"", "messages[0].content[0]", "only \"text\"");
    refused(messages(image.as_ptr(), -1), expected);

    let mut source = null_mut();
    // SAFETY: the refused values are never used as descriptors or memory; a place for a handle.
    unsafe {
        let closed = nest_source_new_descriptor(1_000_000, 0, -1, &mut source);
        refused(closed, (Code::Io, "Bad file descriptor", "descriptor 1000000", "try again"));
        let negative = nest_source_new_descriptor(-7, 0, -1, &mut source);
        refused(negative, (InvalidArgument, "-7", "`descriptor`", "an open file"));
        let nothing = nest_source_new_memory(text.as_ptr().cast(), 0, &mut source);
        refused(nothing, (InvalidArgument, "0", "`length`", "a whole file"));
        let all = nest_source_new_memory(text.as_ptr().cast(), u64::MAX, &mut source);
        refused(all, (InvalidArgument, "more than memory", "`data`", "check the length"));
        refused(nest_cancel_new(null_mut()), (NullPointer, "NULL", "`cancel`", "the address"));
    }
    assert!(source.is_null());
}

/// A model that is open as long as the test runs.
struct Opened {
    session: *mut nest_session,
    model: *mut nest_model,
}

impl Opened {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = source(&Tiny::new(Family::Llama).write(directory.path()));
        let (mut options, mut model, mut session) = (null_mut(), null_mut(), null_mut());
        // SAFETY: live handles, texts that end with NUL, places for handles.
        unsafe {
            fine(nest_model_open(source, null(), null(), &mut model));
            fine(nest_options_new(c"session".as_ptr(), &mut options));
            fine(nest_options_set_int(options, c"n_ctx".as_ptr(), 32));
            fine(nest_session_new(model, options, &mut session));
            nest_options_free(options);
            nest_source_free(source);
        }
        Self { session, model }
    }

    fn evaluate(&self, tokens: &[i32]) -> *mut nest_error {
        let mut reused = 0;
        let n = tokens.len() as u64;
        // SAFETY: a live session, `n` tokens, a place for a number.
        unsafe { nest_session_evaluate(self.session, tokens.as_ptr(), n, null(), &mut reused) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the handles of `new`, freed once.
        unsafe {
            nest_session_free(self.session);
            nest_model_free(self.model);
        }
    }
}

#[test]
fn prompts_and_tokens() {
    let opened = Opened::new();
    let vocabulary = "vocabulary";
    refused(opened.evaluate(&[]), (Code::EmptyPrompt, "empty", "prompt", "give at least one"));
    refused(opened.evaluate(&[1; 33]), (Code::PromptTooLong, "33", "32", "shorten it"));
    refused(opened.evaluate(&[1, -1]), (Code::InvalidToken, "-1", vocabulary, "0 to"));
    refused(opened.evaluate(&[i32::MAX]), (Code::InvalidToken, "2147483647", vocabulary, "0 to"));
    fine(opened.evaluate(&[1, 2, 3]));
}

#[test]
fn evaluations() {
    let opened = Opened::new();
    let (mut examples, mut data, mut options) = (null_mut(), null_mut(), null_mut());
    let (mut evaluation, mut json) = (null_mut(), null_mut());
    let (good, bad) = (c("good"), c("fair"));
    // SAFETY: live handles, texts that end with NUL, places for handles.
    unsafe {
        fine(nest_examples_new(&mut examples));
        for text in [c("a"), c("b")] {
            let (text, label) = (text.as_ptr(), c"bad".as_ptr());
            fine(nest_examples_add_labelled(examples, text, -1, label, -1));
        }
        fine(nest_dataset_new(examples, null(), &mut data));
        fine(nest_options_new(c"evaluation".as_ptr(), &mut options));
        fine(nest_options_add_string(options, c"labels".as_ptr(), good.as_ptr(), -1));
        let one = nest_evaluation_new(opened.model, data, options, null(), &mut evaluation);
        refused(one, (Code::InvalidOption, "nothing to choose", "labels", "two or more"));
        fine(nest_options_add_string(options, c"labels".as_ptr(), bad.as_ptr(), -1));
        let unknown = nest_evaluation_new(opened.model, data, options, null(), &mut evaluation);
        refused(unknown, (Code::DatasetLabel, "\"bad\"", "example 1", "add it to them"));
        assert!(evaluation.is_null());
        fine(nest_evaluation_new(opened.model, data, null(), null(), &mut evaluation));
        let mut small = [8u32; 2];
        let small = nest_evaluation_get_report(evaluation, small.as_mut_ptr().cast());
        refused(small, (Code::StructSize, "is 8", "`report`", "sizeof"));
        let none = nest_evaluation_comparison_json(evaluation, null(), &mut json);
        refused(none, (Code::NullPointer, "NULL", "`adapter`", "nest_evaluation"));
        nest_evaluation_free(evaluation);
        nest_options_free(options);
        nest_dataset_free(data);
        nest_examples_free(examples);
    }
    assert!(json.is_null());
}

#[test]
fn structs_and_states() {
    let opened = Opened::new();
    let mut plan = [40u32, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let missing = c("/no/such/directory/state");
    let mut session = null_mut();
    let (mut logits, mut n) = (null(), 0);
    // SAFETY: live handles; the struct is as large as it says; texts that end with NUL; places for results.
    unsafe {
        let small = nest_model_plan(opened.model, null(), plan.as_mut_ptr().cast());
        refused(small, (Code::StructSize, "is 40", "`plan`", "sizeof"));
        let save = nest_session_save(opened.session, missing.as_ptr());
        refused(save, (Code::NotFound, "writing the state", "/no/such", "check the path"));
        let load = nest_session_load(opened.model, missing.as_ptr(), null(), &mut session);
        refused(load, (Code::NotFound, "reading the state", "/no/such", "check the path"));
        let early = nest_session_logits(opened.session, &mut logits, &mut n);
        refused(early, (Code::WrongState, "no logits", "", "evaluate a prompt first"));
    }
    assert!(session.is_null() && logits.is_null());
}
