//! What the modules of a layer are called by PEFT (as transformers does) and in GGUF files.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Result, bail};

/// The architectures whose adapters can be converted.
pub(super) const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3", "gemma3", "phi3", "gpt2"];

/// A layer's part in GGUF, and the module.
type Table = &'static [(&'static str, &'static str)];

const GATED: Table = &[
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
const PHI3: Table = &[
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_up", "mlp.gate_up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
const GPT2: Table = &[
    ("attn_qkv", "attn.c_attn"),
    ("attn_output", "attn.c_proj"),
    ("ffn_up", "mlp.c_fc"),
    ("ffn_down", "mlp.c_proj"),
];
/// The matrix that makes logits.
const OUTPUT: (&str, &str) = ("output.weight", "lm_head");
/// What may stand before the layers: models without a head, and those that also see pictures, have names of their own.
const PREFIXES: &[&str] =
    &["model.language_model.", "language_model.model.", "model.", "transformer.", ""];

fn table(architecture: &str) -> Result<Table> {
    Ok(match architecture {
        "llama" | "qwen2" | "qwen3" | "gemma3" => GATED,
        "phi3" => PHI3,
        "gpt2" => GPT2,
        _ => bail!(
            Unsupported,
            "adapters of the architecture {architecture:?} cannot be converted; those of {} can",
            SUPPORTED.join(", ")
        ),
    })
}

fn layers(architecture: &str) -> &'static str {
    if architecture == "gpt2" { "h." } else { "layers." }
}

/// The weight in a GGUF file that a module is.
///
/// # Errors
/// `PeftTensor` for a module that this table does not know, `Unsupported` for an architecture.
pub(super) fn to_gguf(architecture: &str, module: &str) -> Result<String> {
    let table = table(architecture)?;
    if module == OUTPUT.1 {
        return Ok(OUTPUT.0.to_owned());
    }
    let found = PREFIXES.iter().find_map(|prefix| {
        let rest = module.strip_prefix(prefix)?.strip_prefix(layers(architecture))?;
        let (layer, rest) = rest.split_once('.')?;
        let layer: u32 = layer.parse().ok()?;
        let (part, _) = table.iter().find(|(_, name)| *name == rest)?;
        Some(format!("blk.{layer}.{part}.weight"))
    });
    match found {
        Some(weight) => Ok(weight),
        None => bail!(
            PeftTensor,
            "the adapter changes the module {module}, which cannot be carried into a GGUF adapter of the \
             architecture {architecture}; train with target_modules out of {}",
            table.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The module that a weight in a GGUF file is.
///
/// # Errors
/// `AdapterTensor` for a weight that this table does not know, `Unsupported` for an architecture.
pub(super) fn to_peft(architecture: &str, weight: &str) -> Result<String> {
    let table = table(architecture)?;
    if weight == OUTPUT.0 {
        return Ok(OUTPUT.1.to_owned());
    }
    if let Some((layer, part)) = of_layer(weight)
        && let Some((_, module)) = table.iter().find(|(name, _)| *name == part)
    {
        return Ok(path(architecture, layer, module));
    }
    bail!(
        AdapterTensor,
        "the adapter changes {weight}, which cannot be carried into a PEFT adapter of the architecture \
         {architecture}; only {} of a layer and output.weight can",
        table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    )
}

/// Layer and part of a weight: 3 and `attn_q` of `blk.3.attn_q.weight`.
pub(super) fn of_layer(weight: &str) -> Option<(u32, &str)> {
    let (layer, rest) = weight.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, rest.strip_suffix(".weight")?))
}

fn path(architecture: &str, layer: u32, module: &str) -> String {
    let top = if architecture == "gpt2" { "transformer" } else { "model" };
    format!("{top}.{}{layer}.{module}", layers(architecture))
}

/// The `target_modules` that give PEFT exactly these weights: short names where all layers have them.
pub(super) fn target_modules<'a>(
    architecture: &str,
    n_layer: u32,
    weights: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>> {
    let table = table(architecture)?;
    let mut parts: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut targets = Vec::new();
    for weight in weights {
        match of_layer(weight) {
            Some((layer, part)) => drop(parts.entry(part).or_default().insert(layer)),
            None => targets.push(to_peft(architecture, weight)?),
        }
    }
    let last = |module: &'static str| module.rsplit('.').next().unwrap_or(module);
    let whole = |part: &str| parts.get(part).is_some_and(|l| l.len() == n_layer as usize);
    for (part, module) in table {
        let Some(of_layers) = parts.get(part) else { continue };
        // PEFT takes a target for the end of a module's path.
        let alike = table.iter().filter(|(_, other)| last(other) == last(module));
        if !whole(part) {
            targets.extend(of_layers.iter().map(|layer| path(architecture, *layer, module)));
        } else if alike.into_iter().all(|(other, _)| whole(other)) {
            targets.push(last(module).to_owned());
        } else {
            targets.push((*module).to_owned());
        }
    }
    targets.sort();
    targets.dedup();
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn every_part_has_a_module_and_back() {
        for architecture in SUPPORTED {
            for (part, _) in table(architecture).unwrap() {
                let weight = format!("blk.11.{part}.weight");
                let module = to_peft(architecture, &weight).unwrap();
                assert_eq!(to_gguf(architecture, &module).unwrap(), weight, "{architecture}");
            }
        }
        let picture = "model.language_model.layers.3.mlp.up_proj";
        assert_eq!(to_gguf("gemma3", picture).unwrap(), "blk.3.ffn_up.weight");
        assert_eq!(to_gguf("llama", "lm_head").unwrap(), "output.weight");
        for module in
            ["model.layers.x.mlp.up_proj", "model.layers.0.mlp.fc", "score", "h.0.attn.c_attn"]
        {
            assert_eq!(to_gguf("llama", module).unwrap_err().code(), Code::PeftTensor, "{module}");
        }
        let error = to_peft("llama", "blk.0.attn_qkv.weight").unwrap_err();
        assert_eq!(error.code(), Code::AdapterTensor);
        assert_eq!(to_gguf("bert", "x").unwrap_err().code(), Code::Unsupported);
    }

    #[test]
    fn targets_match_these_modules_and_no_others() {
        let targets =
            |weights: &[&str]| target_modules("gpt2", 2, weights.iter().copied()).unwrap();
        let (a, b) = ("blk.0.attn_output.weight", "blk.1.attn_output.weight");
        assert_eq!(targets(&[a, b]), ["attn.c_proj"]);
        assert_eq!(targets(&[b]), ["transformer.h.1.attn.c_proj"]);
        let (c, d) = ("blk.0.ffn_down.weight", "blk.1.ffn_down.weight");
        assert_eq!(targets(&[a, b, c, d, "output.weight"]), ["c_proj", "lm_head"]);
    }
}
