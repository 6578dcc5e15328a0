//! Korean syllables to their letters: part of taking accents off, which the engine leaves out.

use std::borrow::Cow;

use unicode_normalization::char::decompose_canonical;

/// The text with each syllable block as its letters; everything else stays.
pub(super) fn decompose(text: &str) -> Cow<'_, str> {
    let is_syllable = |c: char| ('\u{ac00}'..='\u{d7a3}').contains(&c);
    if !text.contains(is_syllable) {
        return text.into();
    }
    let mut out = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if is_syllable(c) {
            decompose_canonical(c, |letter| out.push(letter));
        } else {
            out.push(c);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::decompose;

    #[test]
    fn only_syllables_change() {
        assert_eq!(decompose("é 猫"), "é 猫");
        assert_eq!(decompose("a 각é"), "a \u{1100}\u{1161}\u{11a8}é");
    }
}
