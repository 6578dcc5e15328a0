//! The tokens one by one: each text occurs once, byte tokens are byte tokens.

use std::borrow::Cow;
use std::collections::HashMap;

use super::arch::Arch;
use super::vocab::{Kind, until_nul};
use crate::error::{Result, bail};
use crate::format::gguf::{Array, Gguf};

/// The format's type of a token that stands for one byte.
const BYTE: i32 = 6;

pub(super) fn check(
    gguf: &Gguf,
    arch: Arch,
    kind: Kind,
    tokens: &Array,
    types: Option<&Array>,
) -> Result<()> {
    if tokens.is_empty() {
        bail!(GgufVocabLength, "the vocabulary is empty; convert the model with its tokenizer");
    }
    let list = tokens.iter_strings().into_iter().flatten().map(until_nul).collect::<Vec<_>>();
    check_unique(&list)?;
    if let Some(types) = types {
        check_byte_tokens(kind, &list, types)?;
    }
    check_bytes(kind, &list)?;
    check_names(gguf, arch, &list)
}

/// The engine ends the process when two tokens have the same text. An empty one it names itself.
fn check_unique(list: &[&[u8]]) -> Result<()> {
    // A quarter of a million strings in a few milliseconds: two bitmaps that fit in the cache find the
    // few tokens whose hashes meet, and only those are compared.
    let mut seen = Bitmap::new(list.len() * 16);
    let mut met = Bitmap::new(list.len() * 16);
    for (i, token) in list.iter().enumerate() {
        let hash = hash(&named(i, token));
        if seen.set(hash) {
            met.set(hash);
        }
    }
    let mut exact = HashMap::new();
    for (i, token) in list.iter().enumerate() {
        let text = named(i, token);
        if !met.has(hash(&text)) {
            continue;
        }
        if let Some(other) = exact.insert(text, i) {
            bail!(
                GgufToken,
                "tokens {other} and {i} have the same text {:?}; convert the model again",
                String::from_utf8_lossy(token)
            );
        }
    }
    Ok(())
}

/// The text under which the engine knows a token.
fn named(index: usize, token: &[u8]) -> Cow<'_, [u8]> {
    match token {
        [] => Cow::Owned(format!("[EMPTY_{index}]").into_bytes()),
        _ => Cow::Borrowed(token),
    }
}

/// A set of hashes, by some of their bits.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn new(bits: usize) -> Self {
        Self(vec![0; (bits / 64).next_power_of_two()])
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize & (self.0.len() - 1), 1 << (hash & 63))
    }

    /// Sets a bit and says whether it was set before.
    fn set(&mut self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        let before = self.has(hash);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
        before
    }

    fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }
}

/// Mixes eight bytes at a time; the constant is 2^64 divided by the golden ratio.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |h: u64, v: u64| (h ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut h = mix(0, bytes.len() as u64);
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        h = mix(h, u64::from_le_bytes(*chunk));
        rest = after;
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let h = mix(mix(h, u64::from_le_bytes(last)), 0);
    h ^ (h >> 31)
}

/// `<0x0A>` to its byte.
fn byte_of(text: &[u8]) -> Option<u8> {
    let hex = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let hex = std::str::from_utf8(hex).ok().filter(|h| h.len() == 2)?;
    u8::from_str_radix(hex, 16).ok()
}

fn check_byte_tokens(kind: Kind, list: &[&[u8]], types: &Array) -> Result<()> {
    let types = types.bytes().chunks_exact(4);
    for (i, (token, value)) in list.iter().zip(types).enumerate() {
        if value != BYTE.to_le_bytes() {
            continue;
        }
        let good = match kind {
            Kind::Spm | Kind::Ugm | Kind::Bpe => byte_of(token).is_some(),
            Kind::Wpm => false,
            Kind::Rwkv | Kind::Plamo2 | Kind::Test => true,
        };
        if !good {
            bail!(
                GgufByteToken,
                "token {i} ({:?}) is marked as a byte but is not written as one (<0x0A>); convert the \
                 model again",
                String::from_utf8_lossy(token)
            );
        }
    }
    Ok(())
}

/// Tokenizers that fall back to bytes must have all of them, or text that needs one ends the process.
fn check_bytes(kind: Kind, list: &[&[u8]]) -> Result<()> {
    let mut found = [false; 256];
    for token in list {
        let byte = match (kind, *token) {
            (Kind::Spm, [byte]) => Some(*byte),
            (Kind::Spm | Kind::Plamo2, token) => byte_of(token),
            // Escaped by its own rules.
            (Kind::Rwkv, b"\n" | b"\\n" | b"\\x0a") => Some(b'\n'),
            _ => None,
        };
        if let Some(slot) = byte.and_then(|b| found.get_mut(usize::from(b))) {
            *slot = true;
        }
    }
    let missing = match kind {
        Kind::Spm | Kind::Plamo2 => found.iter().position(|f| !f),
        Kind::Rwkv => found.iter().skip(10).take(1).position(|f| !f).map(|i| i + 10),
        _ => None,
    };
    match missing {
        Some(byte) => bail!(
            GgufTokenizer,
            "the vocabulary has no token for the byte 0x{byte:02X}; convert the model with its whole \
             tokenizer"
        ),
        None => Ok(()),
    }
}

/// For a model called Phi-3 the engine looks up four tokens by name.
fn check_names(gguf: &Gguf, arch: Arch, list: &[&[u8]]) -> Result<()> {
    let name = gguf.str("general.name")?.unwrap_or("").to_ascii_lowercase();
    let pre = gguf.str("tokenizer.ggml.pre")?.unwrap_or("");
    let jina =
        ["jina-v2-de", "jina-v2-es", "jina-v2-code", "mmbert"].iter().any(|p| pre.contains(p));
    let other = jina || ["nomic-bert-moe", "jina-bert-v3"].contains(&arch.name);
    if other || !(name.contains("phi-3") || name.contains("phi3")) {
        return Ok(());
    }
    for wanted in ["</s>", "<unk>", "<s>", "<|endoftext|>"] {
        if !list.contains(&wanted.as_bytes()) {
            bail!(
                GgufTokenizer,
                "the model is called {name:?}, and the engine needs the token {wanted} in every Phi-3: \
                 rename the model (general.name) or convert it again"
            );
        }
    }
    Ok(())
}
