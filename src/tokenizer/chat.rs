//! Conversations to tokens: a template, and the special texts that only the template may write.

use super::Tokenizer;
use crate::chat::{Builtin, Messages, RenderRequest, Rendered, Segment, SpecialTexts, Template};
use crate::error::{Result, bail};

/// A model's tokenizer with one chat template. Sessions and datasets both make their tokens here, so that a model
/// is trained on exactly what it will see.
#[derive(Debug, Clone)]
pub(crate) struct ChatFormat {
    tokenizer: Tokenizer,
    template: Template,
    specials: SpecialTexts,
    bos: Option<String>,
    eos: Option<String>,
}

impl ChatFormat {
    /// The built-in template of that name; for an empty name the model's own.
    pub fn new(tokenizer: &Tokenizer, name: &str) -> Result<Self> {
        let model = tokenizer.model();
        let template = if !name.is_empty() {
            Builtin::by_name(name)?.template()?
        } else if let Some(own) = &model.info().chat_template {
            Template::new(own.as_str()).map_err(|e| e.context("the model's chat template"))?
        } else {
            let names: Vec<_> = Builtin::names().collect();
            bail!(
                NoTemplate,
                "the model has no chat template; name a built-in one with chat_template: {}",
                names.join(", ")
            )
        };
        let text = |token: Option<i32>| -> Result<Option<String>> {
            token.map(|t| Ok(tokenizer.token(t)?.text)).transpose()
        };
        Ok(Self {
            template,
            specials: SpecialTexts::new(model.special_texts()),
            bos: text(tokenizer.bos())?,
            eos: text(tokenizer.eos())?,
            tokenizer: tokenizer.clone(),
        })
    }

    /// A request for these messages, with the texts of the vocabulary's BOS and EOS.
    pub fn request(&self, messages: Messages) -> RenderRequest {
        RenderRequest {
            bos_token: self.bos.clone(),
            eos_token: self.eos.clone(),
            ..RenderRequest::new(messages)
        }
    }

    /// The text of a conversation, for people to read.
    pub fn render(&self, request: &RenderRequest) -> Result<String> {
        self.template.render(request)
    }

    /// The text of a conversation, in which special texts that a message holds are told apart.
    pub fn render_guarded(&self, request: &RenderRequest) -> Result<Rendered> {
        self.template.render_guarded(request, &self.specials)
    }

    /// The tokens of a conversation. The text of messages can become special tokens only if `parse_special`.
    pub fn encode(&self, request: &RenderRequest, parse_special: bool) -> Result<Vec<i32>> {
        let rendered = self.render_guarded(request)?;
        if parse_special {
            return self.tokenizer.encode_segments(&[Segment::Template(rendered.text())]);
        }
        self.tokenizer.encode_segments(&rendered.segments())
    }
}
