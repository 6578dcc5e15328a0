//! The engine's errors in our words: which line, what, and what to do.

use std::error::Error as _;

use minijinja::{Error as EngineError, ErrorKind};

use super::filters::REFUSED;
use crate::error::{Code, Error};

/// `chat template, line 3: reason; remedy`.
pub(super) fn describe(error: &EngineError, code: Code) -> Error {
    // An error inside a macro or block is the source of the error at its call; the innermost says most.
    let mut innermost = error;
    while let Some(inner) = innermost.source().and_then(|e| e.downcast_ref::<EngineError>()) {
        innermost = inner;
    }
    let line = innermost.line().or_else(|| error.line());
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    let cause = innermost.source().map(ToString::to_string);
    let detail = cause.or_else(|| innermost.detail().map(str::to_owned));
    let kind = innermost.kind();
    let reason = match (kind, detail) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail,
        (_, Some(detail)) => format!("{kind}: {detail}"),
        (_, None) => kind.to_string(),
    };
    let remedy = if code == Code::TemplateSyntax {
        "correct the template or name a built-in one"
    } else if reason.starts_with(REFUSED) {
        "change the messages, or use another template"
    } else {
        "check the messages and variables, or use another template"
    };
    Error::new(code, format!("chat template{line}: {reason}; {remedy}"))
}
