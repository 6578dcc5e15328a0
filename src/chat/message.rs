//! A conversation: messages with a role, parts of content and the further fields that templates may read.

use serde_json::{Map, Value as Json, json};

use crate::error::{Result, bail};

/// One piece of a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text(String),
}

/// Why a message has no parts: templates can tell `null` from a field that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Parts,
    Null,
    Missing,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    role: String,
    parts: Vec<Part>,
    content: Content,
    fields: Map<String, Json>,
}

impl Message {
    /// A message of plain text. Usual roles are `system`, `user`, `assistant` and `tool`; the template decides.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self::from_parts(role, vec![Part::Text(text.into())])
    }

    /// A message with these parts.
    pub fn from_parts(role: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { role: role.into(), parts, content: Content::Parts, fields: Map::new() }
    }

    /// Adds a field such as `name`, `tool_calls` or `tool_call_id`, as the template reads it.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: Json) -> Self {
        self.fields.insert(name.into(), value);
        self
    }

    /// Adds a part at the end.
    pub fn push_part(&mut self, part: Part) {
        self.parts.push(part);
        self.content = Content::Parts;
    }

    /// Who speaks.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// What is said, in order. Empty when the content is missing or null.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The further fields (`tool_calls`, `name`, ...).
    pub fn fields(&self) -> &Map<String, Json> {
        &self.fields
    }

    /// The text of all parts, joined.
    pub fn text(&self) -> String {
        self.parts.iter().map(|Part::Text(text)| text.as_str()).collect()
    }

    /// Replaces the text of each part.
    pub(crate) fn map_text(&mut self, mut change: impl FnMut(&str) -> String) {
        for Part::Text(text) in &mut self.parts {
            *text = change(text);
        }
    }

    /// The message as templates see it. Content made of text only is a string, which every template understands,
    /// unless the template asks for a list (`as_list`).
    pub(super) fn to_json(&self, as_list: bool) -> Json {
        let mut object = Map::new();
        object.insert("role".into(), Json::from(self.role.as_str()));
        match self.content {
            Content::Missing => {}
            Content::Null => drop(object.insert("content".into(), Json::Null)),
            Content::Parts if as_list => {
                let parts = self.parts.iter();
                let list = parts.map(|Part::Text(text)| json!({"type": "text", "text": text}));
                object.insert("content".into(), list.collect());
            }
            Content::Parts => drop(object.insert("content".into(), Json::from(self.text()))),
        }
        for (name, value) in &self.fields {
            object.insert(name.clone(), value.clone());
        }
        Json::Object(object)
    }

    fn from_json(index: usize, value: Json) -> Result<Self> {
        let Json::Object(mut fields) = value else {
            bail!(
                InvalidMessages,
                "messages[{index}] is {}, not an object; write {{\"role\": ..., \"content\": ...}}",
                kind(&value)
            )
        };
        let role = match fields.shift_remove("role") {
            Some(Json::String(role)) => role,
            Some(other) => {
                bail!(InvalidMessages, "messages[{index}].role is {}, not a string", kind(&other))
            }
            None => bail!(
                InvalidMessages,
                "messages[{index}] has no \"role\"; add \"user\", \"assistant\" or \"system\""
            ),
        };
        let mut message = Self { role, parts: Vec::new(), content: Content::Parts, fields };
        match message.fields.shift_remove("content") {
            None => message.content = Content::Missing,
            Some(Json::Null) => message.content = Content::Null,
            Some(Json::String(text)) => message.parts.push(Part::Text(text)),
            Some(Json::Array(parts)) => {
                for (number, part) in parts.into_iter().enumerate() {
                    message.parts.push(part_from_json(index, number, &part)?);
                }
            }
            Some(other) => bail!(
                InvalidMessages,
                "messages[{index}].content is {}; give a string or a list of parts",
                kind(&other)
            ),
        }
        Ok(message)
    }
}

fn part_from_json(index: usize, number: usize, part: &Json) -> Result<Part> {
    let place = format!("messages[{index}].content[{number}]");
    if let Json::String(text) = part {
        return Ok(Part::Text(text.clone()));
    }
    match (part.get("type").and_then(Json::as_str), part.get("text").and_then(Json::as_str)) {
        (Some("text"), Some(text)) => Ok(Part::Text(text.to_owned())),
        (Some("text"), None) => bail!(InvalidMessages, "{place} has no string \"text\"; add one"),
        (Some(other), _) => {
            bail!(
                Unsupported,
                "{place} has the type \"{other}\"; only \"text\" parts are supported"
            )
        }
        (None, _) => bail!(
            InvalidMessages,
            "{place} is not a part; write {{\"type\": \"text\", \"text\": ...}}"
        ),
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A conversation, oldest message first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Messages(Vec<Message>);

impl Messages {
    /// An empty conversation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `[{"role": ..., "content": ...}, ...]`: content is a string, a list of text parts, or null; every other
    /// field is kept for the template.
    ///
    /// # Errors
    /// `InvalidMessages` names the index of the message that is malformed; `Unsupported` a part that is not text.
    pub fn from_json(text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(value) => Self::from_value(value),
            Err(error) => bail!(InvalidMessages, "messages are not JSON: {error}"),
        }
    }

    /// As [`Messages::from_json`], from parsed JSON.
    ///
    /// # Errors
    /// As [`Messages::from_json`].
    pub fn from_value(value: Json) -> Result<Self> {
        let Json::Array(list) = value else {
            bail!(InvalidMessages, "messages are {}, not a list of objects", kind(&value))
        };
        let messages = list.into_iter().enumerate().map(|(i, value)| Message::from_json(i, value));
        messages.collect::<Result<_>>().map(Self)
    }

    /// Appends a message.
    pub fn push(&mut self, message: Message) {
        self.0.push(message);
    }

    /// The messages, to be changed.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Message] {
        &mut self.0
    }

    /// The newest message.
    pub fn last_mut(&mut self) -> Option<&mut Message> {
        self.0.last_mut()
    }

    /// The messages.
    pub fn as_slice(&self) -> &[Message] {
        &self.0
    }

    /// The conversation as templates see it.
    pub(crate) fn to_json(&self, as_list: bool) -> Json {
        self.0.iter().map(|message| message.to_json(as_list)).collect()
    }
}

impl From<Vec<Message>> for Messages {
    fn from(messages: Vec<Message>) -> Self {
        Self(messages)
    }
}

impl FromIterator<Message> for Messages {
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Self {
        Self(messages.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn errors_name_the_message() {
        for (text, part) in [
            ("{}", "not a list"),
            ("[1]", "messages[0] is a number"),
            (r#"[{"role":"user","content":"a"},{"content":"b"}]"#, "messages[1] has no \"role\""),
            (r#"[{"role":3,"content":"b"}]"#, "messages[0].role is a number"),
            (r#"[{"role":"user","content":{}}]"#, "messages[0].content is an object"),
            (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0]"),
            ("[", "not JSON"),
        ] {
            let error = Messages::from_json(text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidMessages, "{text}");
            assert!(error.message().contains(part), "{text}: {error}");
        }
        let image = r#"[{"role":"user","content":[{"type":"image","url":"x"}]}]"#;
        assert_eq!(Messages::from_json(image).unwrap_err().code(), Code::Unsupported);
    }

    #[test]
    fn fields_and_the_kinds_of_missing_content_survive() {
        let text =
            r#"[{"role":"assistant","content":null,"tool_calls":[{"b":1,"a":2}]},{"role":"tool"}]"#;
        let messages = Messages::from_json(text).unwrap();
        assert_eq!(messages.to_json(false).to_string(), text);
        let parts = r#"[{"role":"user","content":[{"type":"text","text":"a"},"b"]}]"#;
        let messages = Messages::from_json(parts).unwrap();
        assert_eq!(messages.to_json(false), json!([{"role": "user", "content": "ab"}]));
        assert_eq!(messages.to_json(true)[0]["content"][1], json!({"type": "text", "text": "b"}));
    }
}
