//! Special tokens: ids inside the vocabulary, and there when the tokenizer must add them.

use super::vocab::Kind;
use crate::error::{Result, bail};
use crate::format::gguf::{Gguf, ValueType};

const IDS: &[&str] = &[
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "unknown_token_id",
    "seperator_token_id",
    "padding_token_id",
    "cls_token_id",
    "mask_token_id",
    "fim_pre_token_id",
    "fim_suf_token_id",
    "fim_mid_token_id",
    "fim_pad_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
    "prefix_token_id",
    "suffix_token_id",
    "middle_token_id",
];

const FLAGS: &[&str] = &[
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
];

pub(super) fn check(gguf: &Gguf, kind: Kind, pre: &str, n_vocab: u32) -> Result<()> {
    for name in IDS {
        let key = format!("tokenizer.ggml.{name}");
        if let Some(id) = gguf.u32(&key)?.filter(|id| *id >= n_vocab) {
            bail!(
                GgufSpecialToken,
                "{key} is {id}, outside the vocabulary of {n_vocab} tokens; convert the model again"
            );
        }
    }
    for name in FLAGS {
        gguf.bool(&format!("tokenizer.ggml.{name}"))?;
    }
    let key = "tokenizer.ggml.suppress_tokens";
    if let Some(a) = gguf.array(key)?.filter(|a| a.element() != ValueType::I32) {
        bail!(GgufArrayType, "{key} holds elements of type {}, not i32", a.element().name());
    }
    let defaults = Defaults::of(kind, pre);
    for (flag, added, id, default) in [
        ("add_bos_token", defaults.add_bos, "bos_token_id", defaults.bos),
        ("add_eos_token", defaults.add_eos, "eos_token_id", defaults.eos),
        ("add_sep_token", defaults.add_sep, "seperator_token_id", defaults.sep),
    ] {
        let set = gguf.bool(&format!("tokenizer.ggml.{flag}"))?;
        // One pre-tokenizer adds the begin token whatever the file says.
        let forced = flag == "add_bos_token" && defaults.forces_bos;
        let named = gguf.u32(&format!("tokenizer.ggml.{id}"))?.or(default);
        if (forced || set.unwrap_or(added)) && named.is_none_or(|id| id >= n_vocab) {
            bail!(
                GgufSpecialToken,
                "the tokenizer adds a token that the vocabulary does not have: set tokenizer.ggml.{id}, \
                 or tokenizer.ggml.{flag} to false"
            );
        }
    }
    Ok(())
}

/// What the engine assumes for keys that are missing.
#[derive(Default)]
struct Defaults {
    add_bos: bool,
    forces_bos: bool,
    add_eos: bool,
    add_sep: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    sep: Option<u32>,
}

impl Defaults {
    fn of(kind: Kind, pre: &str) -> Self {
        let none = Self::default();
        match kind {
            Kind::Spm => Self { add_bos: true, bos: Some(1), eos: Some(2), ..none },
            Kind::Wpm => {
                let sep = Some(102);
                Self { add_bos: true, add_sep: true, bos: Some(101), sep, ..none }
            }
            Kind::Ugm => Self { add_eos: true, eos: Some(1), ..none },
            Kind::Plamo2 => Self { bos: Some(1), eos: Some(2), ..none },
            Kind::Rwkv | Kind::Test => none,
            Kind::Bpe if pre == "gemma4" => Self { add_bos: true, forces_bos: true, ..none },
            Kind::Bpe => {
                let no_bos = matches!(pre, "chatglm-bpe" | "glm4" | "glm5");
                Self {
                    add_bos: ADDS_BOS.contains(&pre),
                    forces_bos: pre == "granite-embed-multi-311m",
                    bos: if no_bos { None } else { Some(11) },
                    eos: Some(11),
                    ..none
                }
            }
        }
    }
}

/// Pre-tokenizers that add the begin token unless the file says otherwise.
const ADDS_BOS: &[&str] = &[
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "tekken",
    "chameleon",
];
