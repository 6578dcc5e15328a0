//! How wide heads are, in architectures whose tensors the gate does not know one by one: the engine takes for granted that
//! these numbers fit together.

use std::collections::HashSet;

use super::arch::Arch;
use super::files::Tensors;
use super::hparams::Hparams;
use crate::error::{Result, bail};
use crate::format::gguf::Gguf;

/// Architectures whose keys and values may have different widths.
const MAY_DIFFER: &[&str] = &[
    "bailingmoe3",
    "deepseek2",
    "deepseek32",
    "dots3note",
    "glm-dsa",
    "glm5-next",
    "hy_v4",
    "kimi-k3",
    "kimi-linear",
    "mimo2",
    "minicpm3",
    "mistral4",
    "plm",
    "step35",
];

/// Architectures that rotate the whole of a head.
const ROTATE_ALL: &[&str] = &[
    "apertus",
    "arcee",
    "arctic",
    "baichuan",
    "chameleon",
    "codeshell",
    "cogvlm",
    "cohere2moe",
    "dbrx",
    "deci",
    "deepseek",
    "dots1",
    "dream",
    "ernie4_5",
    "ernie4_5-moe",
    "exaone",
    "exaone-moe",
    "exaone4",
    "falcon",
    "granite",
    "granite_swa",
    "granitemoe",
    "graniteswitch",
    "grok",
    "grovemoe",
    "hunyuan-dense",
    "hunyuan-moe",
    "hunyuan_vl",
    "hy_v3",
    "internlm2",
    "jais2",
    "llada",
    "llada-moe",
    "llama-embed",
    "llama4",
    "maincoder",
    "mellum",
    "minicpm",
    "mistral3",
    "olmo",
    "olmo2",
    "olmoe",
    "orion",
    "paddleocr",
    "pangu-embedded",
    "plamo",
    "qwen2moe",
    "qwen2vl",
    "qwen3moe",
    "qwen3vl",
    "qwen3vlmoe",
    "rnd1",
    "seed_oss",
    "smallthinker",
    "smollm3",
    "starcoder2",
    "talkie",
    "xverse",
];

/// Architectures that rotate nothing, or what follows from their heads alone, whatever their files say.
const ROTATE_NONE: &[&str] = &[
    "arwkv7",
    "bloom",
    "deepseek2-ocr",
    "glm5-next",
    "jais",
    "jamba",
    "jina-bert-v2",
    "kimi-k3",
    "kimi-linear",
    "mamba",
    "mamba2",
    "mpt",
    "nemotron_h",
    "nemotron_h_moe",
    "refact",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
    "t5",
    "t5encoder",
];

/// Architectures without attention.
const HEADLESS: &[&str] = &["arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"];

/// The widths of heads: in all layers, or in those with a sliding window.
#[derive(Clone, Copy)]
struct Widths {
    key: u32,
    value: u32,
    rotated: u32,
}

/// Both kinds.
fn widths(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<[Widths; 2]> {
    let all = Widths { key: h.n_embd_head_k, value: h.n_embd_head_v, rotated: h.n_rot };
    let int = |key: &str, or: u32| Ok(gguf.u32(&arch.key(key))?.unwrap_or(or));
    let sliding = Widths {
        key: int("attention.key_length_swa", all.key)?,
        value: int("attention.value_length_swa", all.value)?,
        rotated: int("rope.dimension_count_swa", all.rotated)?,
    };
    Ok([all, sliding])
}

/// Checks them against each other.
pub(super) fn check(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    if h.n_head.iter().all(|n| *n == 0) && !HEADLESS.contains(&arch.name) {
        bail!(
            GgufHeadCount,
            "{} gives no layer a head; convert the model again",
            arch.key("attention.head_count")
        );
    }
    let both = widths(gguf, arch, h)?;
    for Widths { key, value, rotated } in both {
        if key != value && !MAY_DIFFER.contains(&arch.name) {
            bail!(
                GgufHeadCount,
                "keys of {key} and values of {value} elements, which {} models cannot have ({}); convert the \
                 model again",
                arch.name,
                arch.key("attention.key_length")
            );
        }
        let all = ROTATE_ALL.contains(&arch.name);
        let fits = rotated.is_multiple_of(2) && (1..=key).contains(&rotated);
        if key > 0 && !ROTATE_NONE.contains(&arch.name) && (!fits || (all && rotated != key)) {
            bail!(
                GgufHeadCount,
                "{} is {rotated} for heads of {key}; convert the model again",
                arch.key("rope.dimension_count")
            );
        }
    }
    let [all, sliding] = both;
    check_latent(gguf, arch, "", all)?;
    check_latent(gguf, arch, "_swa", sliding)
}

/// Attention over a latent vector (multi-head latent attention): the cache keeps it, with the rotated part behind it.
fn check_latent(gguf: &Gguf, arch: Arch, suffix: &str, head: Widths) -> Result<()> {
    let int = |key: &str| Ok(gguf.u32(&arch.key(&format!("{key}{suffix}")))?.unwrap_or(0));
    let (key, value) = (int("attention.key_length_mla")?, int("attention.value_length_mla")?);
    let rank = int("attention.kv_lora_rank")?;
    if key == 0 && value == 0 {
        return Ok(());
    }
    let Widths { key: kept, rotated, .. } = head;
    let fits = value > 0 && key > rotated && rank.checked_add(rotated) == Some(kept);
    if !fits {
        bail!(
            GgufHeadCount,
            "latent attention of rank {rank} with {rotated} rotated elements, keys of {key} and values of {value} \
             does not fit {kept} elements in the cache ({}{suffix}); convert the model again",
            arch.key("attention.key_length_mla")
        );
    }
    Ok(())
}

/// Checks that queries, keys and values are as wide as the heads together.
pub(super) fn check_tensors(gguf: &Gguf, h: &Hparams, tensors: &Tensors) -> Result<()> {
    let arch = Arch { name: &h.arch, family: h.family };
    let both = widths(gguf, arch, h)?;
    let latent = gguf.u32(&arch.key("attention.key_length_mla"))?.map_or(0, u64::from);
    // Layers that keep a state: what is projected there are no keys and values.
    let states: HashSet<&str> = tensors
        .keys()
        .filter_map(|name| name.split_once(".ssm_"))
        .map(|(layer, _)| layer)
        .collect();
    for (i, (q, kv)) in h.n_head.iter().zip(&h.n_head_kv).enumerate() {
        let layer = format!("blk.{i}");
        if *kv == 0 || states.contains(layer.as_str()) {
            continue;
        }
        let [q, kv] = [q, kv].map(|n| u64::from(*n));
        // As many rows as the first says, or the others: queries may have gates beside them or meet a latent vector, and
        // layers with linear attention have all heads three times.
        let rows = |w: Widths, part: &str| {
            let [keys, values] = [w.key, w.value].map(|n| u64::from(n) * kv);
            let queries = u64::from(w.key) * q;
            match part {
                "attn_q" => [queries, 2 * queries, latent * q],
                "attn_k" => [keys; 3],
                "attn_v" => [values; 3],
                _ => [queries + keys + values, 2 * queries + keys + values, 3 * queries],
            }
        };
        for part in ["attn_q", "attn_k", "attn_v", "attn_qkv"] {
            let name = format!("{layer}.{part}.weight");
            let Some(found) = tensors.get(name.as_str()).and_then(|t| t.dims.get(1)) else {
                continue;
            };
            if both.iter().all(|w| !rows(*w, part).contains(found)) {
                bail!(
                    GgufTensorMismatch,
                    "tensor {name} has {found} rows, but the heads make {}; convert the model again",
                    rows(both[0], part)[0]
                );
            }
        }
    }
    Ok(())
}
