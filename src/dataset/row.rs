//! The fields of a row become an example: the same keys in JSON and in CSV.

use serde_json::{Map, Value as Json};

use super::example::Example;
use crate::chat::{Messages, kind};

/// What a row must have.
pub(super) const SHAPES: &str =
    "give \"messages\", or \"prompt\" and \"completion\", or \"text\", or \"text\" and \"label\"";

/// An example of one line of JSON, or the reason why it is none.
pub(super) fn from_json(line: &str) -> Result<Example, String> {
    let value = serde_json::from_str::<Json>(line).map_err(|e| {
        let all = e.to_string();
        let what = all.rsplit_once(" at line ").map_or(all.as_str(), |(what, _)| what);
        format!("not JSON: {what} at column {}; write one object a line", e.column())
    })?;
    match value {
        Json::Object(fields) => from_fields(fields),
        Json::Array(_) => Err("the line is a list, not an object; write one object a line".into()),
        other => Err(format!("the line is {}, not an object; {SHAPES}", kind(&other))),
    }
}

/// Other keys are ignored. Of several shapes the first counts: messages, prompt and completion, text.
pub(super) fn from_fields(mut fields: Map<String, Json>) -> Result<Example, String> {
    if let Some(messages) = fields.shift_remove("messages") {
        let messages = Messages::from_value(messages).map_err(|e| e.message().to_owned())?;
        if messages.as_slice().is_empty() {
            return Err("\"messages\" is an empty list; add the turns".into());
        }
        let tools = match fields.shift_remove("tools") {
            None | Some(Json::Null) => None,
            Some(tools @ Json::Array(_)) => Some(tools),
            Some(other) => {
                return Err(format!("\"tools\" is {}; give a list of tools", kind(&other)));
            }
        };
        return Ok(Example::Messages { messages, tools });
    }
    match (fields.contains_key("prompt"), fields.contains_key("completion")) {
        (true, true) => {
            let prompt = text(&mut fields, "prompt")?;
            return Ok(Example::Completion {
                prompt,
                completion: text(&mut fields, "completion")?,
            });
        }
        (true, false) => return Err("\"prompt\" has no \"completion\" beside it; add it".into()),
        (false, true) => return Err("\"completion\" has no \"prompt\" beside it; add it".into()),
        (false, false) => {}
    }
    if !fields.contains_key("text") {
        let found: Vec<_> = fields.keys().take(8).map(|key| format!("{key:?}")).collect();
        let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
        return Err(format!("no key to learn from is there, but {found}; {SHAPES}"));
    }
    let body = text(&mut fields, "text")?;
    match fields.shift_remove("label") {
        None => Ok(Example::Text(body)),
        Some(label) => {
            let label = match label {
                Json::String(label) => label,
                Json::Bool(label) => label.to_string(),
                Json::Number(label) if !label.is_f64() => label.to_string(),
                other => {
                    return Err(format!(
                        "\"label\" is {}; give text, or leave the key out",
                        kind(&other)
                    ));
                }
            };
            if label.trim().is_empty() {
                return Err("\"label\" is empty; give the class of the text".into());
            }
            Ok(Example::Labelled { text: body, label })
        }
    }
}

fn text(fields: &mut Map<String, Json>, key: &str) -> Result<String, String> {
    match fields.shift_remove(key) {
        Some(Json::String(text)) => Ok(text),
        other => {
            let what = other.as_ref().map_or("missing", kind);
            Err(format!("{key:?} is {what}; give a string"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_row_says_which_key_and_what_is_wrong() {
        for (line, part) in [
            ("{\"text\": 3}", "\"text\" is a number; give a string"),
            ("{\"text\": \"a\", \"label\": null}", "\"label\" is null"),
            ("{\"text\": \"a\", \"label\": 1.5}", "\"label\" is a number"),
            ("{\"text\": \"a\", \"label\": \" \"}", "\"label\" is empty"),
            ("{\"prompt\": \"a\"}", "\"prompt\" has no \"completion\""),
            ("{\"completion\": \"a\"}", "\"completion\" has no \"prompt\""),
            ("{\"prompt\": [], \"completion\": \"a\"}", "\"prompt\" is a list"),
            ("{\"a\": 1, \"b\": 2}", "but \"a\", \"b\"; give \"messages\""),
            ("{}", "but nothing"),
            ("{\"messages\": []}", "empty list"),
            ("{\"messages\": [{\"content\": \"a\"}]}", "messages[0] has no \"role\""),
            ("{\"messages\": [{\"role\": \"user\"}], \"tools\": 1}", "\"tools\" is a number"),
            ("{\"text\": \"a\",}", "not JSON: trailing comma at column 14"),
            ("[1]", "the line is a list"),
            ("7", "the line is a number"),
        ] {
            let reason = from_json(line).unwrap_err();
            assert!(reason.contains(part), "{line}: {reason}");
        }
    }

    #[test]
    fn labels_may_be_numbers_and_further_keys_are_ignored() {
        let row = from_json("{\"id\": 4, \"text\": \"a\", \"label\": 1}");
        assert_eq!(row, Ok(Example::labelled("a", "1")));
        let row = from_json("{\"prompt\": \"\", \"completion\": \"b\", \"text\": \"c\"}");
        assert_eq!(row, Ok(Example::completion("", "b")));
    }
}
