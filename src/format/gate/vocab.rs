//! The vocabulary: its arrays, its tokenizer, its merges.

use super::arch::Arch;
use super::{special, token_list};
use crate::error::{Result, bail, err};
use crate::format::gguf::{Array, Gguf, ValueType};

/// How the engine tokenizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SentencePiece BPE with byte tokens, as Llama 2.
    Spm,
    /// Byte-level BPE, as GPT-2.
    Bpe,
    /// WordPiece, as BERT.
    Wpm,
    /// SentencePiece unigram, as T5.
    Ugm,
    /// RWKV's longest match.
    Rwkv,
    Plamo2,
    Test,
}

/// The pre-tokenizers that the engine knows; BPE only.
const PRE_TOKENIZERS: &[&str] = &[
    "a.x-4.0",
    "afmoe",
    "bailingmoe",
    "bailingmoe2",
    "bloom",
    "chameleon",
    "chatglm-bpe",
    "codeshell",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deepseek-coder",
    "deepseek-llm",
    "deepseek-r1-qwen",
    "deepseek-v3",
    "default",
    "exaone",
    "exaone-moe",
    "exaone4",
    "f2llmv2",
    "falcon",
    "falcon-h1",
    "falcon3",
    "gemma4",
    "gigachat",
    "glm4",
    "glm5",
    "gpt-2",
    "gpt-4o",
    "gpt3-finnish",
    "granite-docling",
    "granite-embed-multi-311m",
    "granite-embed-multi-97m",
    "grok-2",
    "hunyuan",
    "hunyuan-dense",
    "hy_v4",
    "jais",
    "jais-2",
    "jina-de",
    "jina-es",
    "jina-v1-en",
    "jina-v2-code",
    "jina-v2-de",
    "jina-v2-es",
    "jina-v5-nano",
    "joyai-llm",
    "kanana2",
    "kimi-k2",
    "kormo",
    "laguna",
    "lfm2",
    "llada-moe",
    "llama-bpe",
    "llama-v3",
    "llama3",
    "llama4",
    "megrez",
    "mellum",
    "mellum2",
    "midm-2.0",
    "minerva-7b",
    "minicpm5",
    "minimax-m2",
    "mmbert",
    "modern-bert",
    "mpt",
    "olmo",
    "phi-2",
    "pixtral",
    "poro-chat",
    "qwen2",
    "qwen35",
    "refact",
    "roberta-bpe",
    "sarvam-moe",
    "seed-coder",
    "smaug-bpe",
    "smollm",
    "solar-open",
    "spark2_5",
    "stablelm2",
    "starcoder",
    "superbpe",
    "talkie",
    "tekken",
    "tiny_aya",
    "trillion",
    "ufakzeka",
    "viking",
    "whitespace",
    "youtu",
];

/// Checks everything about the vocabulary and returns its size.
pub(super) fn check(gguf: &Gguf, arch: Arch) -> Result<u32> {
    let model = gguf.str("tokenizer.ggml.model")?.ok_or_else(|| {
        err!(
            GgufKeyMissing,
            "tokenizer.ggml.model is missing; convert the model with its tokenizer"
        )
    })?;
    let pre = gguf.str("tokenizer.ggml.pre")?.unwrap_or("");
    let kind = match model {
        "none" | "no_vocab" => return without_tokens(gguf, arch),
        "llama" => Kind::Spm,
        "gpt2" | "hybriddna" | "whitespace" | "gemma4" => Kind::Bpe,
        "bert" => Kind::Wpm,
        "t5" => Kind::Ugm,
        "rwkv" => Kind::Rwkv,
        "plamo2" => Kind::Plamo2,
        "test" => Kind::Test,
        other => bail!(
            GgufTokenizer,
            "the tokenizer {other:?} is unknown to this build's engine; a newer build may know it"
        ),
    };
    // This tokenizer overrides whatever pre-tokenizer the file names.
    let pre = if model == "gemma4" { "gemma4" } else { pre };
    if kind == Kind::Bpe {
        check_pre(pre)?;
        check_merges(gguf, pre)?;
    }
    let tokens = strings(gguf, "tokenizer.ggml.tokens")?.ok_or_else(|| {
        err!(
            GgufKeyMissing,
            "tokenizer.ggml.tokens is missing; convert the model with its tokenizer"
        )
    })?;
    check_scores(gguf, tokens.len())?;
    let types = token_types(gguf, tokens.len())?;
    token_list::check(gguf, arch, kind, tokens, types)?;
    let n_vocab = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    special::check(gguf, kind, pre, n_vocab)?;
    Ok(n_vocab)
}

/// A model without tokenizer names its vocabulary's size instead.
fn without_tokens(gguf: &Gguf, arch: Arch) -> Result<u32> {
    let key = arch.key("vocab_size");
    gguf.u32(&key)?.ok_or_else(|| {
        err!(GgufKeyMissing, "the model has no tokenizer, and {key} is missing: one must be there")
    })
}

fn check_pre(pre: &str) -> Result<()> {
    if pre.is_empty() || PRE_TOKENIZERS.contains(&pre) {
        return Ok(());
    }
    bail!(
        GgufTokenizer,
        "the pre-tokenizer {pre:?} is unknown to this build's engine; a newer build may know it"
    )
}

fn check_merges(gguf: &Gguf, pre: &str) -> Result<()> {
    let key = "tokenizer.ggml.merges";
    let Some(merges) = strings(gguf, key)? else {
        if pre == "kimi-k2" {
            return Ok(());
        }
        bail!(GgufKeyMissing, "{key} is missing; convert the model with its tokenizer");
    };
    for (i, merge) in merges.iter_strings().into_iter().flatten().enumerate() {
        // The engine looks for a space after the first byte and ends at a NUL.
        let merge = until_nul(merge);
        let space = merge.iter().skip(1).position(|b| *b == b' ');
        if space.is_none_or(|at| at + 2 >= merge.len()) {
            bail!(
                GgufMerge,
                "merge {i} ({:?}) is not two pieces with a space between; convert the model again",
                String::from_utf8_lossy(merge)
            );
        }
    }
    Ok(())
}

fn check_scores(gguf: &Gguf, n_tokens: usize) -> Result<()> {
    let key = "tokenizer.ggml.scores";
    let Some(scores) = gguf.array(key)? else { return Ok(()) };
    if !matches!(scores.element(), ValueType::F32 | ValueType::I32) {
        bail!(GgufArrayType, "{key} holds elements of type {}, not f32", scores.element().name());
    }
    check_length(key, scores, n_tokens)
}

fn token_types(gguf: &Gguf, n_tokens: usize) -> Result<Option<&Array>> {
    let key = "tokenizer.ggml.token_type";
    let Some(types) = gguf.array(key)? else { return Ok(None) };
    if types.element() != ValueType::I32 {
        bail!(GgufArrayType, "{key} holds elements of type {}, not i32", types.element().name());
    }
    check_length(key, types, n_tokens)?;
    Ok(Some(types))
}

fn check_length(key: &str, array: &Array, n_tokens: usize) -> Result<()> {
    if array.len() != n_tokens {
        bail!(
            GgufVocabLength,
            "{key} has {} elements for {n_tokens} tokens; convert the model again",
            array.len()
        );
    }
    Ok(())
}

/// An array of strings, or the rule's error.
fn strings<'a>(gguf: &'a Gguf, key: &str) -> Result<Option<&'a Array>> {
    match gguf.array(key)? {
        Some(a) if a.element() != ValueType::String => {
            bail!(GgufArrayType, "{key} holds elements of type {}, not strings", a.element().name())
        }
        array => Ok(array),
    }
}

/// A string as C code sees it.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|b| *b == 0).and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}
