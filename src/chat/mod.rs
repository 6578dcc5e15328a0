//! Chat templates: a conversation in, the text that the model was trained to see out.
//!
//! ```text
//! Messages -> RenderRequest -> Template::render ------------------------> String
//!                           -> Template::render_guarded -> Rendered -> [Template | Literal]
//! ```
//!
//! A [`Template`] is the model's own `tokenizer.chat_template`, or one of the [`Builtin`] ones. It is rendered in an
//! environment that behaves as Hugging Face's, for which such templates are written. A template comes from a model
//! file and is not trusted: how long it runs, how deep it recurses and how much it writes are bounded.

mod builtin;
mod environment;
mod escape;
mod failure;
mod filters;
mod json;
mod message;
mod method;
mod python;
mod source;
mod template;

pub use builtin::Builtin;
pub use escape::{Rendered, Segment, SpecialTexts};
pub(crate) use message::kind;
pub use message::{Message, Messages, Part};
pub use template::{RenderRequest, Template};
