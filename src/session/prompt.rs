//! What a generation answers: text, tokens or messages, turned into tokens.

use serde_json::{Map, Value as Json};

use super::Session;
use crate::chat::{Messages, RenderRequest};
use crate::error::{Code, Result, bail};
use crate::options::GenerationOptions;
use crate::tokenizer::{ChatFormat, EncodeOptions};

/// What a generation answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Prompt {
    /// Raw text, continued as it is.
    Text(String),
    /// Token ids.
    Tokens(Vec<i32>),
    /// A conversation, put into the model's chat format.
    Messages(Messages),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Prompt::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Prompt::Text(text)
    }
}

impl From<Vec<i32>> for Prompt {
    fn from(tokens: Vec<i32>) -> Self {
        Prompt::Tokens(tokens)
    }
}

impl From<&[i32]> for Prompt {
    fn from(tokens: &[i32]) -> Self {
        Prompt::Tokens(tokens.to_owned())
    }
}

impl From<Messages> for Prompt {
    fn from(messages: Messages) -> Self {
        Prompt::Messages(messages)
    }
}

/// A prompt's tokens, and how many at the front a shift should keep.
pub(crate) struct Encoded {
    pub tokens: Vec<i32>,
    pub n_keep: usize,
}

impl Session {
    /// The tokens of a prompt, as [`generate`](Self::generate) would evaluate them.
    ///
    /// # Errors
    /// `NoTokenizer`, `NoTemplate`, `UnknownTemplate`, `TemplateSyntax`, `TemplateRender`,
    /// `InvalidOption`.
    pub fn encode_prompt(&mut self, prompt: &Prompt, o: &GenerationOptions) -> Result<Vec<i32>> {
        Ok(self.encode(prompt, o)?.tokens)
    }

    /// The text that messages become in the model's chat format.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt).
    pub fn render(&mut self, messages: &Messages, o: &GenerationOptions) -> Result<String> {
        let request = self.request(messages, o)?;
        self.chat(&o.chat_template)?.render(&request)
    }

    pub(crate) fn encode(&mut self, prompt: &Prompt, o: &GenerationOptions) -> Result<Encoded> {
        match prompt {
            Prompt::Tokens(tokens) => Ok(Encoded { tokens: tokens.clone(), n_keep: 1 }),
            Prompt::Text(text) => {
                let options = EncodeOptions {
                    add_special: o.add_special && !o.append,
                    parse_special: o.parse_special,
                };
                let mut tokens = self.tokenizer.encode(text, options)?;
                if options.add_special && self.tokenizer.adds_eos() && !self.has_encoder() {
                    // A text that goes on must not begin with its end, which the vocabulary put there.
                    tokens.pop();
                }
                Ok(Encoded { tokens, n_keep: 1 })
            }
            Prompt::Messages(messages) => self.encode_messages(messages, o),
        }
    }

    fn encode_messages(&mut self, messages: &Messages, o: &GenerationOptions) -> Result<Encoded> {
        if messages.as_slice().is_empty() {
            bail!(EmptyPrompt, "there are no messages; give at least one")
        }
        let request = self.request(messages, o)?;
        let tokens = self.chat(&o.chat_template)?.encode(&request, o.parse_special)?;
        let system: Vec<_> =
            messages.as_slice().iter().take_while(|m| m.role() == "system").cloned().collect();
        let mut n_keep = 1;
        if !system.is_empty() {
            let request = RenderRequest {
                messages: Messages::from(system),
                add_generation_prompt: false,
                ..request
            };
            // Some templates refuse a system message alone: then only the first token is kept.
            if let Ok(front) = self.chat(&o.chat_template)?.encode(&request, o.parse_special) {
                n_keep = front.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
            }
        }
        Ok(Encoded { tokens, n_keep })
    }

    fn request(&mut self, messages: &Messages, o: &GenerationOptions) -> Result<RenderRequest> {
        let tools = json("tools", &o.tools)?;
        if tools.as_ref().is_some_and(|t| !t.is_array()) {
            bail!(InvalidOption, "generation option tools: not a JSON array; give a list of tools")
        }
        let variables = match json("chat_template_args", &o.chat_template_args)? {
            None => Map::new(),
            Some(Json::Object(map)) => map,
            Some(_) => bail!(
                InvalidOption,
                "generation option chat_template_args: not a JSON object; give {{\"name\": value}}"
            ),
        };
        Ok(RenderRequest {
            tools,
            variables,
            add_generation_prompt: o.add_generation_prompt,
            ..self.chat(&o.chat_template)?.request(messages.clone())
        })
    }

    /// The built-in template of that name, or the model's own; parsed once.
    fn chat(&mut self, name: &str) -> Result<&ChatFormat> {
        let format = match self.chat.take() {
            Some((known, format)) if known == name => format,
            _ => ChatFormat::new(&self.tokenizer, name)?,
        };
        Ok(&self.chat.insert((name.to_owned(), format)).1)
    }
}

fn json(key: &str, text: &str) -> Result<Option<Json>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|e| {
        crate::error::Error::new(
            Code::InvalidOption,
            format!("generation option {key}: not JSON: {e}; check the text"),
        )
    })
}
