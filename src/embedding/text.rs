//! Texts to the tokens that are embedded.

use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::model::Model;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// The tokens of each text, with what the model wants around it, and no longer than the model reads.
pub(super) fn encode(
    model: &Model,
    texts: &[impl AsRef<str>],
    truncate: bool,
    cancel: &CancelToken,
) -> Result<Vec<Vec<i32>>> {
    let tokenizer = Tokenizer::new(model);
    let most = model.embedding_length();
    let mut all = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        cancel.check("embedding texts")?;
        let text = text.as_ref();
        let with = |add_special| {
            tokenizer.encode(text, EncodeOptions { add_special, parse_special: false })
        };
        let mut tokens = with(true)?;
        if tokens.is_empty() {
            bail!(EmptyPrompt, "text {i} has no tokens; leave it out")
        }
        if tokens.len() > most {
            if !truncate {
                bail!(
                    EmbeddingTooLong,
                    "text {i} has {} tokens, the model reads {most} at once; split it, or set truncate=true to \
                     embed its beginning",
                    tokens.len()
                )
            }
            let end = ending(&tokens, &with(false)?).to_vec();
            tokens.truncate(most.saturating_sub(end.len()));
            tokens.extend(end);
        }
        all.push(tokens);
    }
    Ok(all)
}

/// What stands behind a text: it stays when the text is cut.
fn ending<'a>(tokens: &'a [i32], text: &[i32]) -> &'a [i32] {
    let around = tokens.len().saturating_sub(text.len());
    let at = (0..=around).find(|&n| tokens.get(n..).is_some_and(|rest| rest.starts_with(text)));
    at.and_then(|n| tokens.get(n + text.len()..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::ending;

    #[test]
    fn the_ending_is_what_follows_the_text() {
        assert_eq!(ending(&[101, 7, 8, 102], &[7, 8]), [102]);
        assert_eq!(ending(&[7, 8, 1], &[7, 8]), [1]);
        assert_eq!(ending(&[2, 7, 8], &[7, 8]), [0; 0]);
        assert_eq!(ending(&[7, 9], &[7, 8]), [0; 0]);
    }
}
