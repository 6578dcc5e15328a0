//! One thing to learn from, and the bytes by which two of them are compared.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::row;
use crate::chat::Messages;
use crate::error::{Result, err};

/// One thing to learn from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Example {
    /// A conversation, put into the model's chat format. The assistant's turns are what is learned.
    Messages {
        /// The turns, oldest first.
        messages: Messages,
        /// Tools for the template: a JSON array.
        tools: Option<Json>,
    },
    /// Raw text and what follows it; the completion is what is learned.
    Completion {
        /// What is read. It may be empty.
        prompt: String,
        /// What is to be written, with the white space that parts it from the prompt.
        completion: String,
    },
    /// Raw text, all of which is learned.
    Text(String),
    /// A text of a class. The label is what is learned.
    Labelled {
        /// What is read.
        text: String,
        /// The class it belongs to.
        label: String,
    },
}

impl Example {
    /// A conversation without tools.
    pub fn messages(messages: impl Into<Messages>) -> Self {
        Self::Messages { messages: messages.into(), tools: None }
    }

    /// A prompt and what follows it.
    pub fn completion(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        Self::Completion { prompt: prompt.into(), completion: completion.into() }
    }

    /// A text of a class.
    pub fn labelled(text: impl Into<String>, label: impl Into<String>) -> Self {
        Self::Labelled { text: text.into(), label: label.into() }
    }

    /// What a line of a JSONL file says.
    ///
    /// # Errors
    /// `DatasetLine` says what is wrong with it.
    pub fn from_json(line: &str) -> Result<Self> {
        row::from_json(line).map_err(|reason| err!(DatasetLine, "the example: {reason}"))
    }

    /// The class, of a labelled text.
    pub fn label(&self) -> Option<&str> {
        if let Self::Labelled { label, .. } = self { Some(label) } else { None }
    }

    /// The number of characters of all its texts.
    pub fn chars(&self) -> usize {
        let count = |text: &str| text.chars().count();
        match self {
            Self::Messages { messages, .. } => {
                messages.as_slice().iter().map(|message| count(&message.text())).sum()
            }
            Self::Completion { prompt, completion } => count(prompt) + count(completion),
            Self::Text(text) => count(text),
            Self::Labelled { text, label } => count(text) + count(label),
        }
    }

    /// Whether nothing can be learned from it: there is no text where the answer should be.
    pub(super) fn is_empty(&self) -> bool {
        let blank = |text: &str| text.trim().is_empty();
        match self {
            Self::Messages { messages, .. } => messages
                .as_slice()
                .iter()
                .all(|message| blank(&message.text()) && message.fields().is_empty()),
            Self::Completion { completion, .. } => blank(completion),
            Self::Text(text) => blank(text),
            Self::Labelled { text, label } => blank(text) || blank(label),
        }
    }

    /// Feeds the example to a hash, so that different examples never feed the same bytes: a tag, and each text after
    /// its length.
    pub(super) fn hash_into(&self, hash: &mut Sha256) {
        let mut text = |tag: u8, text: &str| {
            hash.update([tag]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        match self {
            Self::Messages { messages, tools } => {
                text(b'm', &messages.to_json(true).to_string());
                text(b't', &tools.as_ref().map(Json::to_string).unwrap_or_default());
            }
            Self::Completion { prompt, completion } => {
                text(b'p', prompt);
                text(b'c', completion);
            }
            Self::Text(all) => text(b'x', all),
            Self::Labelled { text: body, label } => {
                text(b'b', body);
                text(b'l', label);
            }
        }
    }
}

impl From<Messages> for Example {
    fn from(messages: Messages) -> Self {
        Self::messages(messages)
    }
}

impl From<&str> for Example {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The SHA-256 of examples in their order, as hexadecimal text.
pub(super) fn digest<'a>(examples: impl Iterator<Item = &'a Example>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"nestling dataset 1\n");
    examples.for_each(|example| example.hash_into(&mut hash));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
