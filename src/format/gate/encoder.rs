//! What encoders of the families BERT and T5 must have: the engine would read beyond a table, or end the process.

use super::files::Tensors;
use super::hparams::Hparams;
use crate::error::{Result, bail};
use crate::format::gguf::{Gguf, Shape};

/// The engine divides distances up to this one into buckets.
const MAX_DISTANCE: u32 = 128;

pub(super) fn check(gguf: &Gguf, h: &Hparams, tensors: &Tensors) -> Result<()> {
    match h.arch.as_str() {
        "bert" => bert(h, tensors),
        "t5" | "t5encoder" => t5(gguf, h, tensors),
        _ => Ok(()),
    }
}

fn bert(h: &Hparams, tensors: &Tensors) -> Result<()> {
    check_heads(h)?;
    let width = u64::from(h.n_embd);
    required(tensors, "token_embd.weight", &[width, h.n_vocab.into()])?;
    required(tensors, "position_embd.weight", &[width, h.n_ctx_train.into()])?;
    required(tensors, "token_embd_norm.weight", &[width])?;
    required(tensors, "token_embd_norm.bias", &[width])?;
    if let Some(types) = tensors.get("token_types.weight")
        && types.dims.first() != Some(&width)
    {
        bail!(
            GgufTensorMismatch,
            "tensor token_types.weight has the shape {}, but rows of {width} follow from the hyper-parameters; \
             convert the model again",
            Shape(&types.dims)
        );
    }
    Ok(())
}

fn t5(gguf: &Gguf, h: &Hparams, tensors: &Tensors) -> Result<()> {
    check_heads(h)?;
    let int = |key: &str| gguf.u32(&format!("{}.{key}", h.arch));
    let key = format!("{}.attention.relative_buckets_count", h.arch);
    let Some(buckets) = int("attention.relative_buckets_count")? else {
        bail!(GgufKeyMissing, "{key} is missing; convert the model again");
    };
    // Half of them for each direction, half of these for single distances, all below the largest distance.
    if !(4..2 * MAX_DISTANCE).contains(&buckets) {
        bail!(
            GgufHyperParameter,
            "{key} is {buckets}; it must be from 4 to {}: the file is damaged or was converted wrongly",
            2 * MAX_DISTANCE - 1
        );
    }
    let heads = u64::from(h.n_head.first().copied().unwrap_or(0));
    let bias = [heads, u64::from(buckets)];
    required(tensors, "token_embd.weight", &[h.n_embd.into(), h.n_vocab.into()])?;
    required(tensors, "enc.output_norm.weight", &[h.n_embd.into()])?;
    required(tensors, "enc.blk.0.attn_rel_b.weight", &bias)?;
    if h.arch == "t5encoder" {
        return Ok(());
    }
    required(tensors, "dec.output_norm.weight", &[h.n_embd.into()])?;
    required(tensors, "dec.blk.0.attn_rel_b.weight", &bias)?;
    let decoders = int("decoder_block_count")?.unwrap_or(h.n_layer);
    if decoders == 0 || decoders > h.n_layer {
        bail!(
            GgufHyperParameter,
            "t5.decoder_block_count is {decoders}, of {} layers of the encoder; the engine runs 1 to as many: use \
             another model",
            h.n_layer
        );
    }
    match int("decoder_start_token_id")? {
        Some(id) if id >= h.n_vocab => bail!(
            GgufSpecialToken,
            "t5.decoder_start_token_id is {id}, outside the vocabulary of {} tokens; convert the model again",
            h.n_vocab
        ),
        _ => Ok(()),
    }
}

/// Every layer has the same heads, each with a key and a value of the same width.
fn check_heads(h: &Hparams) -> Result<()> {
    let first = h.n_head.first().copied().unwrap_or(0);
    let uniform = h.n_head.iter().chain(&h.n_head_kv).all(|&n| n == first);
    let square =
        h.arch != "bert" || u64::from(first) * u64::from(h.n_embd_head_k) == u64::from(h.n_embd);
    if first == 0
        || !uniform
        || h.n_embd_head_k == 0
        || h.n_embd_head_k != h.n_embd_head_v
        || !square
    {
        bail!(
            GgufHeadCount,
            "{} needs the same number of heads, above zero, in every layer, with keys and values of the same width; \
             found {first} heads of {} (keys) and {} (values) in an embedding of {}: convert the model again",
            h.arch,
            h.n_embd_head_k,
            h.n_embd_head_v,
            h.n_embd
        );
    }
    Ok(())
}

fn required(tensors: &Tensors, name: &str, shape: &[u64]) -> Result<()> {
    let Some(t) = tensors.get(name) else {
        bail!(GgufTensorMissing, "tensor {name} is missing; convert the model again");
    };
    let padded = |i: usize, dims: &[u64]| dims.get(i).copied().unwrap_or(1);
    if (0..4).any(|i| padded(i, &t.dims) != padded(i, shape)) {
        bail!(
            GgufTensorMismatch,
            "tensor {name} has the shape {}, but {} follows from the hyper-parameters; convert the model again",
            Shape(&t.dims),
            Shape(shape)
        );
    }
    Ok(())
}
