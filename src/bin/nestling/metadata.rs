//! Metadata values, for people and for programs.

use nestling::format::gguf::{Array, Value};
use serde_json::{Value as Json, json};

/// People see this many elements of an array, programs all.
const SHOWN: usize = 8;
/// People see this many characters of a text.
const SHOWN_TEXT: usize = 120;

/// The value on one line, long ones cut.
pub fn text(value: &Value) -> String {
    match value {
        Value::Array(array) => {
            let shown: Vec<_> = elements(array).take(SHOWN).map(|v| v.to_string()).collect();
            let more = array.len().saturating_sub(SHOWN as _);
            let rest = if more > 0 { format!(", ... {more} more") } else { String::new() };
            format!("[{}{rest}]", shown.join(", "))
        }
        Value::String(text) => {
            let line: String = text.chars().take(SHOWN_TEXT).collect();
            let rest = if line.len() < text.len() { " ..." } else { "" };
            format!("{}{rest}", line.replace('\n', "\\n"))
        }
        scalar => json(scalar).to_string(),
    }
}

/// The value, whole.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Array(array) => elements(array).collect(),
        Value::String(text) => json!(text),
        Value::Bool(flag) => json!(flag),
        // Through its text, so that 1e-5 does not become 0.000009999999747378752.
        Value::F32(x) => x.to_string().parse::<f64>().map_or(Json::Null, |x| json!(x)),
        Value::F64(x) => json!(x),
        Value::I8(n) => json!(n),
        Value::I16(n) => json!(n),
        Value::I32(n) => json!(n),
        Value::I64(n) => json!(n),
        unsigned => json!(unsigned.as_u64()),
    }
}

fn elements(array: &Array) -> Box<dyn Iterator<Item = Json> + '_> {
    match array.iter_strings() {
        // Tokens of a vocabulary need not be text.
        Some(strings) => Box::new(strings.map(|bytes| json!(String::from_utf8_lossy(bytes)))),
        None => Box::new(array.iter_scalars().into_iter().flatten().map(|scalar| json(&scalar))),
    }
}
