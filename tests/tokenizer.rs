//! Tokenizers: there and back, whole characters, bad ids.

mod support;

use nestling::Code;
use nestling::tokenizer::{EncodeOptions, TokenKind, Tokenizer};
use support::run::{open, tiny};
use support::{Family, gemma3, smollm2};

const TEXTS: [&str; 7] = [
    "Hello, world!",
    " leading and trailing ",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "日本語のテキストと한국어",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u{301}",
    "fn main() {\n\tprintln!(\"{}\", 1_000);\n}\n",
    "   \n\n\t\t  ",
];

#[test]
fn text_survives_the_round_trip() {
    for tokenizer in [open(smollm2()), open(gemma3())].iter().map(Tokenizer::new) {
        for text in TEXTS {
            let tokens = tokenizer.encode(text, EncodeOptions::default()).unwrap();
            assert_eq!(tokenizer.decode(&tokens, false).unwrap(), text);
            assert_eq!(tokenizer.count(text, EncodeOptions::default()).unwrap(), tokens.len());
            let mut decoder = tokenizer.decoder();
            let mut streamed: String = tokens
                .iter()
                .map(|&t| decoder.push(&tokenizer.decode_bytes(&[t], false).unwrap()))
                .collect();
            streamed += &decoder.finish();
            assert_eq!(streamed, text);
        }
        assert!(tokenizer.encode("", EncodeOptions::default()).unwrap().is_empty());
    }
}

#[test]
fn special_tokens_come_only_when_asked() {
    let tokenizer = Tokenizer::new(&open(gemma3()));
    let (bos, text) = (tokenizer.bos().unwrap(), "<end_of_turn>");
    let with = EncodeOptions { add_special: true, ..Default::default() };
    assert_eq!(tokenizer.encode("Hi", with).unwrap()[0], bos);
    assert_ne!(tokenizer.encode("Hi", EncodeOptions::default()).unwrap()[0], bos);
    let parse = EncodeOptions { parse_special: true, ..Default::default() };
    let [id] = tokenizer.encode(text, parse).unwrap()[..] else { panic!("one token") };
    let info = tokenizer.token(id).unwrap();
    assert_eq!((info.kind, info.text.as_str()), (TokenKind::Control, text));
    assert!(info.ends_generation);
    assert!(!tokenizer.encode(text, EncodeOptions::default()).unwrap().contains(&id));
    assert_eq!(tokenizer.decode(&[id], false).unwrap(), "");
    assert_eq!(tokenizer.decode(&[id], true).unwrap(), text);
}

#[test]
fn ids_outside_the_vocabulary_are_errors() {
    let tokenizer = Tokenizer::new(&tiny(Family::Llama));
    let n = tokenizer.n_vocab() as i32;
    for id in [-1, n, i32::MIN, i32::MAX] {
        assert_eq!(tokenizer.decode(&[id], true).unwrap_err().code(), Code::InvalidToken);
        assert_eq!(tokenizer.token(id).unwrap_err().code(), Code::InvalidToken);
        assert!(!tokenizer.ends_generation(id));
    }
    for id in 0..n {
        tokenizer.token(id).unwrap();
    }
}

#[test]
fn long_and_monotonous_text_is_no_problem() {
    for tokenizer in [open(smollm2()), open(gemma3())].iter().map(Tokenizer::new) {
        for unit in ["a", " ", "1", "\n", "é", "!?"] {
            let text = unit.repeat(200_000);
            let tokens = tokenizer.encode(&text, EncodeOptions::default()).unwrap();
            assert_eq!(tokenizer.decode_bytes(&tokens, false).unwrap(), text.as_bytes());
        }
    }
}
