//! Which kind of file, and which architecture.

use crate::error::{Result, bail, err};
use crate::format::gguf::Gguf;

/// Architectures that the engine runs by themselves.
const KNOWN: &[&str] = &[
    "afmoe",
    "apertus",
    "arcee",
    "arctic",
    "arwkv7",
    "baichuan",
    "bailingmoe",
    "bailingmoe2",
    "bailingmoe3",
    "bert",
    "bitnet",
    "bloom",
    "chameleon",
    "chatglm",
    "clef",
    "codeshell",
    "cogvlm",
    "cohere2",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deci",
    "deepseek",
    "deepseek2",
    "deepseek2-ocr",
    "deepseek32",
    "deepseek4",
    "dots1",
    "dots3note",
    "dream",
    "ernie4_5",
    "ernie4_5-moe",
    "eurobert",
    "exaone",
    "exaone-moe",
    "exaone4",
    "falcon",
    "falcon-h1",
    "gemma",
    "gemma-embedding",
    "gemma2",
    "gemma3",
    "gemma3n",
    "gemma4",
    "glm-dsa",
    "glm4",
    "glm4moe",
    "glm5-next",
    "gpt-oss",
    "gpt2",
    "gptneox",
    "granite",
    "granite_swa",
    "granitehybrid",
    "granitemoe",
    "graniteswitch",
    "grok",
    "grovemoe",
    "hrm_text",
    "hunyuan-dense",
    "hunyuan-moe",
    "hunyuan_vl",
    "hy_v3",
    "hy_v4",
    "internlm2",
    "jais",
    "jais2",
    "jamba",
    "jina-bert-v2",
    "jina-bert-v3",
    "kimi-k3",
    "kimi-linear",
    "laguna",
    "lfm2",
    "lfm2moe",
    "llada",
    "llada-moe",
    "llama",
    "llama-embed",
    "llama4",
    "maincoder",
    "mamba",
    "mamba2",
    "maple",
    "mellum",
    "mimo2",
    "minicpm",
    "minicpm3",
    "minimax-01",
    "minimax-m2",
    "minimax-m3",
    "mistral3",
    "mistral4",
    "modern-bert",
    "mpt",
    "muse-glimmer",
    "nanbeige",
    "nemotron",
    "nemotron_h",
    "nemotron_h_moe",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "olmo",
    "olmo2",
    "olmoe",
    "openelm",
    "orion",
    "paddleocr",
    "pangu-embedded",
    "phi2",
    "phi3",
    "phimoe",
    "plamo",
    "plamo2",
    "plamo3",
    "plm",
    "qwen",
    "qwen2",
    "qwen2moe",
    "qwen2vl",
    "qwen3",
    "qwen35",
    "qwen35moe",
    "qwen3moe",
    "qwen3next",
    "qwen3vl",
    "qwen3vlmoe",
    "qwen4exp",
    "refact",
    "rnd1",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
    "seed_oss",
    "smallthinker",
    "smollm3",
    "spark2_5",
    "stablelm",
    "starcoder",
    "starcoder2",
    "step35",
    "t5",
    "t5encoder",
    "talkie",
    "xverse",
];

/// Architectures that only work beside another model: vision towers, draft heads, speech codecs.
const COMPANIONS: &[&str] =
    &["clip", "dflash", "eagle3", "gemma4-assistant", "pockettts", "qwen3tts", "wavtokenizer-dec"];

/// The families whose tensors the gate knows one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Gpt2,
    Phi3,
}

/// A checked architecture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arch<'a> {
    /// The prefix of its metadata keys.
    pub name: &'a str,
    /// `None` for a family that is checked by general rules only.
    pub family: Option<Family>,
}

impl Arch<'_> {
    /// The full name of one of the architecture's keys.
    pub(super) fn key(self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
}

/// Refuses GGUF files that hold something else than a model.
pub(super) fn check_kind(gguf: &Gguf) -> Result<()> {
    match gguf.str("general.type")? {
        Some(kind @ ("adapter" | "mmproj" | "projector" | "imatrix" | "vocab" | "dataset")) => {
            bail!(
                GgufKind,
                "the file's general.type is {kind:?}, not \"model\"; give the model's own file"
            )
        }
        _ => Ok(()),
    }
}

/// The file's architecture, if the engine runs it.
pub(super) fn check(gguf: &Gguf) -> Result<Arch<'_>> {
    let name = gguf.str("general.architecture")?.ok_or_else(|| {
        err!(GgufKeyMissing, "general.architecture is missing; convert the model again")
    })?;
    if COMPANIONS.contains(&name) {
        bail!(
            GgufKind,
            "an architecture {name:?} is part of another model and cannot run alone; give the main \
             model's file"
        );
    }
    if !KNOWN.contains(&name) {
        bail!(
            GgufArchitecture,
            "the architecture {name:?} is unknown to this build's engine; a newer build may know it"
        );
    }
    let family = match name {
        "llama" => Some(Family::Llama),
        "qwen2" => Some(Family::Qwen2),
        "qwen3" => Some(Family::Qwen3),
        "gemma3" => Some(Family::Gemma3),
        "gpt2" => Some(Family::Gpt2),
        "phi3" => Some(Family::Phi3),
        _ => None,
    };
    Ok(Arch { name, family })
}
