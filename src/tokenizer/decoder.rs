//! Bytes that arrive in pieces, given out as whole characters.

/// Gives out only whole UTF-8 characters; the bytes of a started one wait for the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamDecoder {
    waiting: Vec<u8>,
}

impl StreamDecoder {
    /// Adds bytes and returns the text that is complete. Bytes that can never become a character are
    /// replaced by U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.waiting.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(bad) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = rest.get(bad..).unwrap_or_default();
                }
            }
        }
        self.waiting = rest.to_vec();
        text
    }

    /// Ends the stream: bytes of an unfinished character become one U+FFFD.
    pub fn finish(&mut self) -> String {
        if self.waiting.is_empty() {
            return String::new();
        }
        self.waiting.clear();
        char::REPLACEMENT_CHARACTER.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_are_never_split() {
        let mut decoder = StreamDecoder::default();
        let bytes = "a€😀".as_bytes();
        assert_eq!(decoder.push(&bytes[..2]), "a");
        assert_eq!(decoder.push(&bytes[2..5]), "€");
        assert_eq!(decoder.push(&bytes[5..]), "😀");
        assert_eq!(decoder.push(&[0xF0, 0x9F]), "");
        assert_eq!(decoder.finish(), "\u{FFFD}");
        assert_eq!(decoder.finish(), "");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_lossy_text(bytes: Vec<u8>, cuts: Vec<usize>) {
            let mut decoder = StreamDecoder::default();
            let mut text = String::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (now, later) = rest.split_at(cut % (rest.len() + 1));
                text += &decoder.push(now);
                rest = later;
            }
            text += &decoder.push(rest);
            text += &decoder.finish();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
