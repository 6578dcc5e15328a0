//! Two small vocabularies that can spell every byte.

use nestling::format::gguf::{Array, Writer};

/// Token types of the format.
pub const NORMAL: i32 = 1;
pub const UNKNOWN: i32 = 2;
pub const CONTROL: i32 = 3;
pub const BYTE: i32 = 6;

/// A vocabulary before it is written: one entry per token.
#[derive(Default, Clone)]
pub struct Vocab {
    pub texts: Vec<String>,
    pub types: Vec<i32>,
    pub scores: Vec<f32>,
    pub merges: Vec<String>,
}

impl Vocab {
    fn add(&mut self, text: impl Into<String>, kind: i32, score: f32) -> u32 {
        self.texts.push(text.into());
        self.types.push(kind);
        self.scores.push(score);
        self.texts.len() as u32 - 1
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }
}

/// Byte-level BPE as GPT-2's: 256 bytes, some merges, three control tokens.
pub fn bpe(writer: &mut Writer, pre: &str) -> Vocab {
    let mut v = Vocab::default();
    for byte in 0..=255u8 {
        v.add(byte_letter(byte), NORMAL, 0.0);
    }
    for (a, b) in [
        ("Ġ", "t"),
        ("h", "e"),
        ("i", "n"),
        ("Ġ", "a"),
        ("e", "r"),
        ("o", "n"),
        ("Ġt", "he"),
        ("o", "r"),
        ("Ġ", "w"),
        ("l", "l"),
        ("he", "ll"),
        ("hell", "o"),
        ("Ġw", "or"),
        ("l", "d"),
        ("Ġwor", "ld"),
        ("u", "s"),
        ("us", "er"),
    ] {
        v.merges.push(format!("{a} {b}"));
        v.add(format!("{a}{b}"), NORMAL, 0.0);
    }
    let end = v.add("<|endoftext|>", CONTROL, 0.0);
    v.add("<|im_start|>", CONTROL, 0.0);
    let im_end = v.add("<|im_end|>", CONTROL, 0.0);
    writer.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre);
    put(writer, &v);
    writer.set("tokenizer.ggml.merges", Array::strings(&v.merges));
    writer.set("tokenizer.ggml.bos_token_id", end).set("tokenizer.ggml.eos_token_id", im_end);
    writer.set("tokenizer.ggml.add_bos_token", false);
    v
}

/// SentencePiece as Llama 2's: unknown, begin, end, 256 byte tokens, letters and a few pieces.
pub fn spm(writer: &mut Writer) -> Vocab {
    let mut v = Vocab::default();
    v.add("<unk>", UNKNOWN, 0.0);
    let bos = v.add("<s>", CONTROL, 0.0);
    v.add("</s>", CONTROL, 0.0);
    v.add("<|im_start|>", CONTROL, 0.0);
    let im_end = v.add("<|im_end|>", CONTROL, 0.0);
    // The engine looks this one up by name in every Phi-3.
    v.add("<|endoftext|>", CONTROL, 0.0);
    for byte in 0..=255u8 {
        v.add(format!("<0x{byte:02X}>"), BYTE, 0.0);
    }
    let pieces = ["▁", "▁t", "he", "▁the", "in", "er", "ll", "hell", "hello", "▁w", "or", "▁wor"];
    let letters = ('a'..='z').map(String::from);
    for (i, piece) in pieces.map(String::from).into_iter().chain(letters).enumerate() {
        v.add(piece, NORMAL, -(i as f32) - 1.0);
    }
    writer.set("tokenizer.ggml.model", "llama");
    put(writer, &v);
    writer.set("tokenizer.ggml.scores", Array::from(&v.scores[..]));
    writer.set("tokenizer.ggml.bos_token_id", bos).set("tokenizer.ggml.eos_token_id", im_end);
    writer.set("tokenizer.ggml.unknown_token_id", 0u32);
    writer.set("tokenizer.ggml.add_bos_token", true).set("tokenizer.ggml.add_eos_token", false);
    v
}

fn put(writer: &mut Writer, v: &Vocab) {
    writer.set("tokenizer.ggml.tokens", Array::strings(&v.texts));
    writer.set("tokenizer.ggml.token_type", Array::from(&v.types[..]));
}

/// GPT-2's printable stand-in for a byte.
fn byte_letter(byte: u8) -> String {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte).to_string();
    }
    let rank = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(256 + rank).unwrap().to_string()
}
