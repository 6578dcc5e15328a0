//! Examples to tokens, and which of these are to be learned.

use super::augment::Augment;
use super::sequence::{Encoded, EncodingReport, Sequence};
use super::{Dataset, Example, LabelPattern, conversation};
use crate::cancel::CancelToken;
use crate::chat::Segment;
use crate::error::{Code, Error, Result, bail};
use crate::options::{BadData, EncodingOptions, LossOn, Options, TooLong};
use crate::tokenizer::{ChatFormat, EncodeOptions, Tokenizer};

/// Turns examples into tokens for one model.
///
/// - `text` begins with the vocabulary's BOS, if the model wants one, and ends with its EOS, if there is one. All is
///   learned.
/// - `prompt` and `completion` are tokenized apart, so that the tokens of the prompt are those that the model will be
///   given, and joined: BOS as above, prompt, completion, EOS. The completion and EOS are learned. Where the vocabulary
///   puts a space in front of every text, one that begins the completion is not doubled.
/// - `text` and `label` become a prompt and a completion by the label pattern.
/// - `messages` go through the chat template. An answer is what stands in the template's `{% generation %}` block.
///   A template without such blocks is asked twice for each assistant turn: how the turns before it are rendered when
///   the answer is to be begun, and how they are rendered with the answer; what lies between is learned, up to
///   the token that ends the turn, and without the line break that some templates write behind it. If the last turn is
///   the assistant's and the template ends it with no such token, the vocabulary's EOS is appended.
///
/// No text of an example can become a special token.
#[derive(Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
    n_ctx: usize,
    options: EncodingOptions,
    pattern: LabelPattern,
    /// A model without a template can still learn from texts.
    chat: Result<ChatFormat>,
}

impl Encoder {
    /// An encoder for the model of this tokenizer, and rows of `n_ctx` tokens.
    ///
    /// # Errors
    /// `InvalidOption`, `UnknownTemplate`, `NoTokenizer`; `InvalidArgument` for rows of fewer than 2 tokens.
    pub fn new(tokenizer: &Tokenizer, n_ctx: usize, options: &EncodingOptions) -> Result<Self> {
        options.validate()?;
        if n_ctx < 2 {
            bail!(InvalidArgument, "a row of n_ctx={n_ctx} tokens predicts nothing; give 2 or more")
        }
        if !tokenizer.exists() {
            bail!(
                NoTokenizer,
                "the model has no tokenizer, so texts cannot be learned; use a model that has one"
            )
        }
        let chat = ChatFormat::new(tokenizer, &options.chat_template);
        if let (Err(error), false) = (&chat, options.chat_template.is_empty()) {
            return Err(error.clone());
        }
        Ok(Self {
            tokenizer: tokenizer.clone(),
            n_ctx,
            options: options.clone(),
            pattern: LabelPattern::new(&options.label_pattern)?,
            chat,
        })
    }

    /// How labelled texts are put.
    pub fn label_pattern(&self) -> &LabelPattern {
        &self.pattern
    }

    /// The tokens with which every labelled text of this label ends: those of the label in the pattern, and EOS.
    ///
    /// # Errors
    /// `InvalidArgument` for a label of more than 2 GiB.
    pub fn label_tokens(&self, label: &str) -> Result<Vec<i32>> {
        let mut tokens = self.behind(&self.pattern.completion(label))?;
        tokens.extend(self.tokenizer.eos());
        Ok(tokens)
    }

    /// Whether the tokens of an epoch differ from those of another.
    pub fn augments(&self) -> bool {
        let o = &self.options;
        o.token_deletion > 0.0 || o.token_noise > 0.0 || o.word_swap > 0.0
    }

    /// The whole of one example, neither changed nor cut.
    ///
    /// # Errors
    /// `NoTemplate`, `TemplateSyntax` for a conversation and a model that cannot have one; `DatasetExample` for one
    /// without an assistant's turn or whose answers cannot be found in its text; `TemplateRender`, `InvalidMessages`.
    pub fn encode(&self, example: &Example) -> Result<Sequence> {
        self.sequence(example, None)
    }

    /// All examples of a dataset. Give the number of the epoch to learn from them: each epoch has its own random
    /// changes, if the options ask for any. Give `None` to measure with them, which changes nothing.
    ///
    /// Changes touch only what is read: texts, prompts, labelled texts and the user's messages, never completions,
    /// labels, answers, special tokens or the structure of a chat. Where what is read is learned, too, as in a text, a
    /// token that noise put in is not.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), with the example's place; `DatasetTooLong` with `too_long=error`; `DatasetEmpty`
    /// if no example is left; `Cancelled`.
    pub fn encode_all(
        &self,
        dataset: &Dataset,
        epoch: Option<u64>,
        cancel: &CancelToken,
    ) -> Result<Encoded> {
        let mut out = Encoded::default();
        for (index, example) in dataset.examples().enumerate() {
            cancel.check("encoding the dataset")?;
            let key = epoch.map(|epoch| [self.options.augment_seed as u64, epoch, index as u64]);
            let sequence = self
                .sequence(example, key)
                .and_then(|sequence| self.fit(sequence, &mut out.report));
            match sequence {
                Ok(None) => {}
                Ok(Some(sequence)) => out.push(index, sequence),
                Err(error) => {
                    let error = error.context(dataset.place(index)?);
                    if self.options.bad_examples == BadData::Error || !is_about_example(&error) {
                        return Err(error);
                    }
                    out.report.add_bad(&error);
                }
            }
        }
        if out.sequences.is_empty() {
            return Err(out.report.empty(self.n_ctx));
        }
        Ok(out)
    }

    /// Cuts or drops what is longer than a row, and drops what has nothing to learn.
    fn fit(&self, mut sequence: Sequence, report: &mut EncodingReport) -> Result<Option<Sequence>> {
        let (n, n_ctx) = (sequence.tokens.len(), self.n_ctx);
        if n > n_ctx {
            match self.options.too_long {
                TooLong::Truncate => {
                    sequence.tokens.truncate(n_ctx);
                    sequence.loss.truncate(n_ctx);
                }
                TooLong::Drop => {
                    report.too_long += 1;
                    return Ok(None);
                }
                TooLong::Error => bail!(
                    DatasetTooLong,
                    "it has {n} tokens, a row n_ctx={n_ctx}; raise n_ctx, shorten it, or set \
                     too_long=truncate or drop"
                ),
            }
        }
        if sequence.loss_tokens() == 0 {
            report.nothing_to_learn += 1;
            return Ok(None);
        }
        report.truncated += u64::from(n > n_ctx);
        Ok(Some(sequence))
    }

    fn sequence(&self, example: &Example, key: Option<[u64; 3]>) -> Result<Sequence> {
        let key = key.filter(|_| self.augments());
        let mut augment = key.map(|key| Augment::new(&self.tokenizer, &self.options, &key));
        let mut sequence = match example {
            Example::Messages { messages, tools } => {
                let chat = self.chat.as_ref().map_err(Error::clone)?;
                let mut messages = messages.clone();
                if let Some(augment) = &mut augment {
                    augment.messages(&mut messages)?;
                }
                conversation::encode(
                    &self.tokenizer,
                    chat,
                    messages,
                    tools.clone(),
                    !self.learns_all(),
                )?
            }
            Example::Completion { prompt, completion } => {
                self.joined(prompt, completion, &mut augment)?
            }
            Example::Labelled { text, label } => {
                let mut text = text.clone();
                if let Some(augment) = &mut augment {
                    text = augment.text(&text)?;
                }
                let completion = self.pattern.completion(label);
                self.joined(&self.pattern.prompt(&text), &completion, &mut None)?
            }
            Example::Text(text) => self.front(text, true, &mut augment)?,
        };
        if !matches!(example, Example::Messages { .. })
            && let Some(eos) = self.tokenizer.eos()
        {
            sequence.push(eos, true);
        }
        Ok(sequence)
    }

    /// The text at the front of a sequence: with BOS, if the model wants one, and never with EOS.
    fn front(&self, text: &str, learned: bool, augment: &mut Option<Augment>) -> Result<Sequence> {
        let text = augment.as_mut().map_or_else(|| text.to_owned(), |a| a.words(text));
        let tokens = self.tokenizer.encode_segments(&[Segment::Literal(&text)])?;
        let own = self.tokenizer.bos().filter(|bos| tokens.first() == Some(bos));
        let mut sequence = Sequence::default();
        if let Some(bos) = own {
            sequence.push(bos, false);
        }
        let body = tokens.get(usize::from(own.is_some())..).unwrap_or_default();
        match augment {
            None => body.iter().for_each(|&token| sequence.push(token, learned)),
            Some(augment) => {
                for (token, noise) in augment.tokens(body)? {
                    sequence.push(token, learned && !noise);
                }
            }
        }
        Ok(sequence)
    }

    fn learns_all(&self) -> bool {
        self.options.loss_on == LossOn::All
    }

    /// A prompt, and a completion that is learned.
    fn joined(
        &self,
        prompt: &str,
        completion: &str,
        augment: &mut Option<Augment>,
    ) -> Result<Sequence> {
        let mut sequence = self.front(prompt, self.learns_all(), augment)?;
        for token in self.behind(completion)? {
            sequence.push(token, true);
        }
        Ok(sequence)
    }

    /// The tokens of a text that follows another one.
    fn behind(&self, text: &str) -> Result<Vec<i32>> {
        let spaced = self.tokenizer.adds_space();
        let text = text.strip_prefix(' ').filter(|_| spaced).unwrap_or(text);
        self.tokenizer.encode(text, EncodeOptions::default())
    }
}

/// Whether an error is about one example, so that others may still be good.
fn is_about_example(error: &Error) -> bool {
    matches!(error.code(), Code::DatasetExample | Code::TemplateRender | Code::InvalidMessages)
}
