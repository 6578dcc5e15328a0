//! Nestling: a language model inside an app. Conventions of this header:
//!
//! Objects. Every object is an opaque handle. A function whose name ends in `_new`, `_open`, `_load`, `_fork` or
//! `_take_...`, or that gives handles through its last parameters, gives them to the caller, who frees each with its
//! object's `_free`. `_free(NULL)` does nothing. Handles may be freed in any order: what one still needs of another
//! stays alive. Freeing a handle while another thread is in a call with it cancels that call, which then returns and
//! releases. A handle must not be used after its `_free` returned. There is no global set-up and no shutdown.
//!
//! Errors. A function that can fail returns `nest_error *`: NULL is success; anything else is owned by the caller,
//! who reads `nest_error_code` (a `NEST_ERROR_...` number, never reused) and `nest_error_message` (what was wrong,
//! where, and what to do) and calls `nest_error_free`. On error every handle given out is NULL. The end of an answer
//! is not an error. When there is no memory even for an error, a static one is returned, whose free does nothing. A
//! mistake inside the library never ends the process: it is the error `NEST_ERROR_PANIC`, and the exclusive handles
//! of that call then give `NEST_ERROR_POISONED` until they are freed. Each of the few functions that cannot return an
//! error says what it returns instead.
//!
//! Threads. No handle is tied to a thread. `const T *` may be used by many threads at once. `T *` is exclusive: a
//! call that finds it in use by another thread returns `NEST_ERROR_BUSY` at once. Nothing is called back.
//!
//! Text. Text is UTF-8. A `const char *` alone ends with NUL; with an `int64_t` length it may hold NUL, and a length
//! of -1 says that it ends with NUL. Text given out is whole characters, with a NUL after its last byte. Text lent by
//! a `const` handle lives as long as the handle; text lent by an exclusive one lives until the next call with it.
//!
//! Structs. A struct to be filled begins with `struct_size`: set it to `sizeof` of the struct before each call. What
//! both sides know is written, and `struct_size` becomes the number of bytes written. Structs only ever grow.
//!
//! Numbers. A flag is an `int32_t`, 0 or 1; a choice is an `int32_t` constant; others are refused. Parameters named
//! `options` and `cancel` may be NULL: the defaults, and never cancelled. No other parameter may be, where not said.
//!
//! Cancelling. A `nest_cancel` stops what it was given to, from any thread, within one micro-batch of tokens
//! (`n_ubatch`), or one operation of a layer in training. A cancelled session or trainer stays usable.
#![allow(unsafe_code, reason = "the C border: raw pointers come in, and are checked here")]
#![allow(non_camel_case_types, reason = "the names are C's")]

mod adapter;
mod adapter_files;
mod argument;
mod cancel;
mod compare;
mod convert;
mod dataset;
mod dataset_parts;
mod decoder;
mod device;
mod embedding;
mod error;
mod evaluation;
mod examples;
mod generation;
mod guard;
mod handle;
mod imatrix;
mod job;
mod log;
mod messages;
mod model;
mod option_set;
mod options;
mod out;
mod prune;
mod quantize;
mod seal;
mod session;
mod source;
mod string;
mod tokenizer;
mod tokens;
mod trainer;
mod trainer_plan;
mod trainer_report;
mod trainer_step;
mod version;

pub use adapter::*;
pub use adapter_files::*;
pub use cancel::*;
pub use compare::*;
pub use convert::*;
pub use dataset::*;
pub use dataset_parts::*;
pub use decoder::*;
pub use device::*;
pub use error::*;
pub use evaluation::*;
pub use examples::*;
pub use generation::*;
pub use imatrix::*;
pub use job::*;
pub use log::*;
pub use messages::*;
pub use model::*;
pub use options::*;
pub use prune::*;
pub use quantize::*;
pub use seal::*;
pub use session::*;
pub use source::*;
pub use string::*;
pub use tokenizer::*;
pub use tokens::*;
pub use trainer::*;
pub use trainer_plan::*;
pub use trainer_report::*;
pub use trainer_step::*;
pub use version::*;

#[cfg(panic = "abort")]
compile_error!(
    "the C functions catch panics: build with panic = \"unwind\", or without the feature capi"
);
