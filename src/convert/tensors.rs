//! The tensors of a checkpoint, by an architecture's lines, as pieces of a model file.

use std::borrow::Cow;
use std::collections::HashMap;

use super::arch::{Arch, Dim, How, Line};
use super::checkpoint::{Checkpoint, Found};
use super::config::Config;
use super::fp8::Scale;
use super::rows::{Made, PlusOne, Rotary, Scaled, Stored, Transposed, ggml_type};
use crate::error::{Result, bail, err};
use crate::format::gguf::GgmlType;
use crate::quantize::{Piece, Rows};

/// Beginnings and ends of names that no architecture needs: what rounding to 8 bits left for kernels of its own.
const IGNORED: &[&str] =
    &["*.input_scale", "*.activation_scale", "*.qscale_act", "*.k_scale", "*.v_scale"];
/// What the name of a matrix of 8-bit floats is followed by in the name of its scales.
const SCALES: &[&str] = &["_scale_inv", "_scale"];
/// Ends of names in checkpoints that were made from TensorFlow's, and what transformers calls them now.
const OLD_ENDS: &[(&str, &str)] =
    &[("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];
/// The most blocks that a configuration may claim: far more than any model has.
const MAX_BLOCKS: u64 = 4096;

/// Pieces, and the names of tensors that were left out.
pub(super) struct Tensors {
    pub pieces: Vec<Piece<'static>>,
    pub ignored: Vec<String>,
}

/// Looks every tensor up.
///
/// # Errors
/// `CheckpointTensor` for one that is missing or of no known use, `CheckpointShape`, `CheckpointConfig`, `Safetensors`.
pub(super) fn pieces(
    checkpoint: &Checkpoint,
    arch: &'static Arch,
    config: &Config,
) -> Result<Tensors> {
    let lines = expand(arch, config)?;
    let by_name: HashMap<&str, usize> =
        lines.iter().enumerate().map(|(i, l)| (l.from.as_str(), i)).collect();
    let tied = config.bool(&["tie_word_embeddings"])? == Some(true);
    let mut sources: Vec<Option<&str>> = vec![None; lines.len()];
    let mut ignored = Vec::new();
    for name in checkpoint.names() {
        let bare = without_prefix(name, arch);
        let bare = &*current(bare);
        if let Some(slot) = by_name.get(bare).and_then(|i| sources.get_mut(*i)) {
            if let Some(other) = slot.replace(name) {
                bail!(
                    CheckpointTensor,
                    "the tensors {other} and {name} would both become the same one; keep one of them"
                )
            }
            continue;
        }
        let known = || arch.ignored.iter().chain(IGNORED).any(|p| fits(p, name) || fits(p, bare));
        if !known() && !is_scale(name, checkpoint) {
            bail!(
                CheckpointTensor,
                "the tensor {name} has no place in the architecture {}; the checkpoint has parts that cannot be converted",
                arch.name
            )
        }
        ignored.push(name.to_owned());
    }
    let mut pieces = Vec::new();
    for (line, source) in lines.iter().zip(sources) {
        let Some(source) = source else {
            if line.line.needed {
                bail!(
                    CheckpointTensor,
                    "the tensor {} is missing; download the checkpoint again",
                    line.from
                )
            }
            continue;
        };
        if tied && line.to == "output.weight" {
            // The engine takes the embedding, which holds the same numbers.
            ignored.push(source.to_owned());
            continue;
        }
        pieces.push(piece(source, line, checkpoint, config)?);
    }
    Ok(Tensors { pieces, ignored })
}

/// A vector that was calculated, as a piece.
pub(super) fn made(name: String, values: Vec<f32>) -> Piece<'static> {
    let dims = vec![values.len() as u64];
    Piece { name, dims, ggml_type: GgmlType::F32, rows: Box::new(Made(values)) }
}

/// The output matrix of a model whose embedding, scaled, is that, too.
pub(super) fn scaled_head(
    checkpoint: &Checkpoint,
    arch: &'static Arch,
    config: &Config,
    scale: f64,
) -> Result<Piece<'static>> {
    let lines = expand(arch, config)?;
    let line = lines.into_iter().find(|line| line.to == "token_embd.weight");
    let name = |line: &Expanded| {
        checkpoint.names().find(|name| without_prefix(name, arch) == line.from).map(str::to_owned)
    };
    let found = line.and_then(|line| Some((name(&line)?, line)));
    let (name, line) = found.ok_or_else(|| err!(Internal, "the embedding was there before"))?;
    let embedding = piece(&name, &line, checkpoint, config)?;
    let rows = Box::new(Scaled(embedding.rows, scale as f32));
    Ok(Piece { name: "output.weight".to_owned(), rows, ..embedding })
}

/// A line for one block.
struct Expanded {
    line: &'static Line,
    from: String,
    to: String,
}

/// Every line for every block: those without blocks first, then block by block.
fn expand(arch: &'static Arch, config: &Config) -> Result<Vec<Expanded>> {
    let lines = || arch.lines.iter().copied().flatten();
    let holds = |line: &Line, mark: &str| line.from.contains(mark);
    let mut all: Vec<_> = lines()
        .filter(|line| !arch.blocks.iter().any(|(mark, _)| holds(line, mark)))
        .map(|line| Expanded { line, from: line.from.to_owned(), to: line.to.to_owned() })
        .collect();
    for (mark, keys) in arch.blocks {
        let n = config.need_u64(keys)?;
        if n > MAX_BLOCKS {
            bail!(
                CheckpointConfig,
                "config.json: {} is {n}; no model has so many",
                keys.join(" or ")
            )
        }
        for i in (0..n).map(|i| i.to_string()) {
            let of_block = lines().filter(|line| holds(line, mark));
            all.extend(of_block.map(|line| Expanded {
                line,
                from: line.from.replace(mark, &i),
                to: line.to.replace(mark, &i),
            }));
        }
    }
    Ok(all)
}

fn without_prefix<'a>(name: &'a str, arch: &Arch) -> &'a str {
    arch.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// The name that a tensor has today.
fn current(name: &str) -> Cow<'_, str> {
    let renamed = |(old, new): &(&str, &str)| Some(format!("{}{new}", name.strip_suffix(old)?));
    OLD_ENDS.iter().find_map(renamed).map_or(Cow::Borrowed(name), Cow::Owned)
}

/// Whether a name is the pattern, or has the end or beginning that it says.
fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

fn is_scale(name: &str, checkpoint: &Checkpoint) -> bool {
    SCALES
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .any(|of| checkpoint.tensor(of).is_some_and(|found| bits_are_8(&found)))
}

fn bits_are_8(found: &Found) -> bool {
    found.info.dtype.bitsize() == 8
}

fn piece(
    name: &str,
    line: &Expanded,
    checkpoint: &Checkpoint,
    config: &Config,
) -> Result<Piece<'static>> {
    let found = checkpoint.tensor(name);
    let found = found.ok_or_else(|| err!(Internal, "the tensor {name} was there before"))?;
    check_shape(name, &found, line.line.shape, config)?;
    let scale = scale(name, &found, checkpoint, config)?;
    let mut dims: Vec<u64> = found.info.shape.iter().rev().map(|n| *n as u64).collect();
    if dims.is_empty() {
        dims.push(1);
    }
    let from = ggml_type(found.info.dtype).unwrap_or(GgmlType::F32);
    let stored = Stored::new(name, found, scale)?;
    let rows: Box<dyn Rows> = match line.line.how {
        How::Same => Box::new(stored),
        How::PlusOne => Box::new(PlusOne(stored)),
        How::Rotary(heads) => Box::new(Rotary::new(stored, config.need_u64(heads)?)?),
        How::Transposed => {
            dims.reverse();
            Box::new(Transposed(stored))
        }
    };
    Ok(Piece { name: line.to.clone(), dims, ggml_type: from, rows })
}

/// The scales of a matrix of 8-bit floats.
fn scale(
    name: &str,
    found: &Found,
    checkpoint: &Checkpoint,
    config: &Config,
) -> Result<Option<Scale>> {
    if !bits_are_8(found) {
        return Ok(None);
    }
    let scales = SCALES.iter().map(|end| format!("{name}{end}"));
    let Some((scales, values)) =
        scales.filter_map(|n| Some((n.clone(), checkpoint.tensor(&n)?))).next()
    else {
        return Ok(None);
    };
    let block = config.map(&["quantization_config"])?.and_then(|q| {
        let [rows, columns] = q.get("weight_block_size")?.as_array()?.as_slice() else {
            return None;
        };
        Some((rows.as_u64()?, columns.as_u64()?))
    });
    Scale::read(&scales, &values, &found.info.shape, block).map(Some)
}

fn check_shape(name: &str, found: &Found, wanted: &[Dim], config: &Config) -> Result<()> {
    let shape = &found.info.shape;
    let wanted: Vec<_> = wanted.iter().map(|dim| size(*dim, config)).collect::<Result<_>>()?;
    let fits = shape.len() == wanted.len()
        && shape.iter().zip(&wanted).all(|(n, w)| w.is_none_or(|w| w == *n as u64) && *n > 0);
    if fits {
        return Ok(());
    }
    let wanted: Vec<_> =
        wanted.iter().map(|w| w.map_or_else(|| "any".to_owned(), |w| w.to_string())).collect();
    bail!(
        CheckpointShape,
        "the tensor {name} has the shape {shape:?}, but config.json says [{}]; both must be of one checkpoint",
        wanted.join(", ")
    )
}

/// A dimension's size; `None` is any.
fn size(dim: Dim, config: &Config) -> Result<Option<u64>> {
    let heads = |keys| Ok(config.need_u64(keys)?.saturating_mul(head(config)?));
    Ok(match dim {
        Dim::Of(keys) => Some(config.need_u64(keys)?),
        Dim::Times(n, keys) => Some(config.need_u64(keys)?.saturating_mul(n)),
        Dim::Heads(keys) => Some(heads(keys)?),
        Dim::Fused(q, kv) => Some(heads(q)?.saturating_add(heads(kv)?.saturating_mul(2))),
    })
}

/// The width of a head.
fn head(config: &Config) -> Result<u64> {
    if let Some(width) = config.u64(&["head_dim"])? {
        return Ok(width);
    }
    let (width, n) =
        (config.need_u64(&["hidden_size"])?, config.need_u64(&["num_attention_heads"])?);
    width.checked_div(n).ok_or_else(|| {
        err!(CheckpointConfig, "config.json: num_attention_heads is 0; get the checkpoint again")
    })
}
