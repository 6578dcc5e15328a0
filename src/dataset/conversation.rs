//! Conversations to tokens: where the assistant's answers are in the rendered text.

use std::ops::Range;

use serde_json::Value as Json;

use super::sequence::Sequence;
use crate::chat::{Message, Messages, RenderRequest, Rendered};
use crate::error::{Result, bail, err};
use crate::tokenizer::{ChatFormat, Tokenizer};

/// Who gives the answers that are learned.
const ASSISTANT: &str = "assistant";

/// Where an answer is in the rendered text, in bytes.
struct Answer {
    start: usize,
    /// `None`: up to the first token that ends a turn.
    end: Option<usize>,
}

/// The tokens of a conversation; with `mask` only the answers are learned, else everything.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    format: &ChatFormat,
    messages: Messages,
    tools: Option<Json>,
    mask: bool,
) -> Result<Sequence> {
    let answered = messages.as_slice().last().is_some_and(|last| last.role() == ASSISTANT);
    let request = RenderRequest { tools, add_generation_prompt: false, ..format.request(messages) };
    let rendered = format.render_guarded(&request)?;
    let tokens = tokenizer.encode_segments(&rendered.segments())?;
    let mut spans: Vec<Range<usize>> = Vec::new();
    if !mask {
        spans.push(0..tokens.len());
    } else if rendered.generated().is_empty() {
        for answer in by_prefixes(format, &request, rendered.text())? {
            spans.push(answer.tokens(tokenizer, &rendered, &tokens)?);
        }
    } else {
        for bytes in rendered.generated() {
            let start = border(tokenizer, &rendered, &tokens, bytes.start)?.start;
            spans.push(start..border(tokenizer, &rendered, &tokens, bytes.end)?.end);
        }
    }
    // Without an end to its turn the model would learn to go on for ever.
    let last = spans.last().map_or(0, |span| span.start);
    let ends = |token: &i32| tokenizer.ends_generation(*token);
    let unended = answered && !tokens.iter().skip(last).any(ends);
    let mut sequence = Sequence::default();
    for (index, token) in tokens.into_iter().enumerate() {
        sequence.push(token, spans.iter().any(|span| span.contains(&index)));
    }
    if let (Some(eos), true) = (tokenizer.eos(), unended) {
        sequence.push(eos, true);
    }
    Ok(sequence)
}

impl Answer {
    /// Which tokens are the answer's, the one that ends the turn included and what a template writes behind it not.
    fn tokens(
        &self,
        tokenizer: &Tokenizer,
        rendered: &Rendered,
        tokens: &[i32],
    ) -> Result<Range<usize>> {
        let ends = |token: &i32| tokenizer.ends_generation(*token);
        let start = border(tokenizer, rendered, tokens, self.start)?.start;
        let end = match self.end {
            Some(end) => {
                let end = border(tokenizer, rendered, tokens, end)?.end;
                let answer = tokens.get(start..end).unwrap_or_default();
                answer.iter().rposition(ends).map_or(end, |at| start + at + 1)
            }
            None => {
                let rest = tokens.get(start..).unwrap_or_default();
                rest.iter().position(ends).map_or(tokens.len(), |at| start + at + 1)
            }
        };
        Ok(start..end)
    }
}

/// Where byte `at` of the text falls among the tokens: `start` is the first token with a byte at or behind it, `end`
/// follows the last token with a byte before it. They differ by one when a token spans the border.
///
/// The text before the border is tokenized on its own; as far as both agree, the tokens are of that text only. This
/// holds for every vocabulary, also for those whose tokens do not spell the text (added spaces, stripped ones).
fn border(
    tokenizer: &Tokenizer,
    rendered: &Rendered,
    tokens: &[i32],
    at: usize,
) -> Result<Range<usize>> {
    let front = tokenizer.encode_segments(&rendered.segments_until(at))?;
    let same = front.iter().zip(tokens).take_while(|(a, b)| a == b).count();
    let spans = usize::from(same < front.len() && same < tokens.len());
    Ok(same..same + spans)
}

/// The answers of a template without `{% generation %}` blocks.
fn by_prefixes(format: &ChatFormat, whole: &RenderRequest, text: &str) -> Result<Vec<Answer>> {
    let messages = whole.messages.as_slice();
    let render = |messages: &[Message], add_generation_prompt: bool| -> Result<String> {
        let messages = Messages::from(messages.to_vec());
        let request = RenderRequest { messages, add_generation_prompt, ..whole.clone() };
        Ok(format.render_guarded(&request)?.text().to_owned())
    };
    // A prefix of the conversation counts only if its text is a prefix of the conversation's.
    let prefix = |messages: &[Message], add_generation_prompt: bool| {
        let front = render(messages, add_generation_prompt).ok()?;
        text.starts_with(&front).then_some(front.len())
    };
    let mut answers = Vec::new();
    for (index, message) in messages.iter().enumerate().filter(|(_, m)| m.role() == ASSISTANT) {
        let (before, with) = (messages.get(..index), messages.get(..=index));
        let start = prefix(before.unwrap_or_default(), true)
            .or_else(|| by_difference(messages, index, message, text, &render))
            .ok_or_else(|| {
                err!(
                    DatasetExample,
                    "the chat template's text does not show where messages[{index}] begins; use a template with \
                     {{% generation %}} blocks, or set chat_template to a built-in one"
                )
            })?;
        let end = if index + 1 == messages.len() {
            Some(text.len())
        } else {
            prefix(with.unwrap_or_default(), false)
        };
        answers.push(Answer { start, end: end.filter(|&end| end >= start) });
    }
    if answers.is_empty() {
        bail!(
            DatasetExample,
            "no message has the role {ASSISTANT:?}, so there is nothing to learn; add the answer, or set loss_on=all"
        )
    }
    Ok(answers)
}

/// Where the text first depends on what a message says: templates that render a part of a conversation unlike the
/// whole leave no other trace.
fn by_difference(
    messages: &[Message],
    index: usize,
    message: &Message,
    text: &str,
    render: &impl Fn(&[Message], bool) -> Result<String>,
) -> Option<usize> {
    const OTHER: char = '\u{e000}';
    if message.text().is_empty() || message.text().contains(OTHER) {
        return None;
    }
    let mut changed = messages.to_vec();
    changed.get_mut(index)?.map_text(|_| OTHER.to_string());
    let other = render(&changed, false).ok()?;
    let differ = text.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    differ.map(|((at, _), _)| at)
}
