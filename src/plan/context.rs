//! A session's options, as the engine's parameters.

use crate::device;
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Value};
use crate::ggml::{ContextParams, Pooling, Work};
use crate::model::Model;
use crate::options::{Auto, FlashAttn, KvType, SessionOptions};

/// Context length that `n_ctx=auto` does not exceed.
const AUTO_MAX: u64 = 8192;

/// The engine's parameters for a session's options.
pub(crate) fn context_params(model: &Model, options: &SessionOptions) -> Result<ContextParams> {
    let kv_type = ggml_type(options.kv_type);
    check_kv_type(model, options, kv_type)?;
    let n_ctx = match options.n_ctx.value() {
        Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        None => auto_context(model, options),
    };
    check_positions(model, n_ctx)?;
    let encodes = model.raw().is_encoder_decoder();
    // An encoder reads a prompt as a whole.
    let n_ubatch = if encodes { n_ctx } else { (options.n_ubatch as u32).min(n_ctx) };
    Ok(ContextParams {
        n_ctx,
        n_ubatch,
        // A session looks at the last token's logits alone. The engine makes room for a whole text's behind an encoder.
        n_outputs: if encodes { n_ubatch } else { 1 },
        kv_type: kv_type as u32,
        flash_attn: flash_attn(options.flash_attn),
        swa_full: options.swa_full,
        offload_kqv: options.offload_kqv,
        work: if encodes { Work::EncodeDecode } else { Work::Decode },
    })
}

/// The engine's parameters to embed `n_texts` texts at a time, of `n_tokens` in all.
pub(crate) fn embedding_params(
    pooling: Pooling,
    n_texts: u32,
    n_tokens: u32,
    flash: FlashAttn,
) -> ContextParams {
    ContextParams {
        n_ctx: n_tokens,
        n_ubatch: n_tokens,
        n_outputs: n_tokens,
        kv_type: GgmlType::F16 as u32,
        flash_attn: flash_attn(flash),
        swa_full: true,
        offload_kqv: true,
        work: Work::Embed { pooling, n_texts },
    }
}

fn flash_attn(option: FlashAttn) -> Option<bool> {
    match option {
        FlashAttn::Auto => None,
        FlashAttn::On => Some(true),
        FlashAttn::Off => Some(false),
    }
}

/// The number of threads that an option asks for.
pub(crate) fn n_threads(option: Auto) -> i32 {
    let n = option.value().and_then(|n| i32::try_from(n).ok());
    n.unwrap_or_else(|| device::performance_cores() as i32)
}

/// Learned positions end where their table ends: the engine would read beyond it.
fn check_positions(model: &Model, n_ctx: u32) -> Result<()> {
    let Some((_, table)) = model.files().tensor("position_embd.weight") else { return Ok(()) };
    let positions = table.dims.get(1).copied().unwrap_or(1);
    if u64::from(n_ctx) > positions {
        bail!(
            InvalidOption,
            "session option n_ctx: this model has learned positions for {positions} tokens, not {n_ctx}; \
             give at most that"
        )
    }
    Ok(())
}

/// `n_ctx=auto`: the training length, at most 8192, and a cache of at most half of the free memory.
fn auto_context(model: &Model, options: &SessionOptions) -> u32 {
    let trained = u64::from(model.info().n_ctx_train).max(8);
    let half = device::host_memory().available / 2;
    let per_token = kv_bytes_per_token(model, options).max(1);
    let fitting = (half / per_token).max(8);
    trained.min(AUTO_MAX).min(fitting) as u32
}

/// Bytes of KV cache that one more token of context takes.
pub(super) fn kv_bytes_per_token(model: &Model, options: &SessionOptions) -> u64 {
    let h = model.files().hparams();
    let kv_type = ggml_type(options.kv_type);
    let window = model.info().n_swa.is_some() && !options.swa_full;
    let layers =
        h.n_head_kv.iter().enumerate().filter(|(i, _)| !(window && is_windowed(model, *i)));
    layers
        .map(|(_, &heads)| {
            let width = |head: u32| u64::from(heads) * u64::from(head);
            let bytes = |n| kv_type.row_bytes(n).unwrap_or(n * 4);
            bytes(width(h.n_embd_head_k)) + bytes(width(h.n_embd_head_v))
        })
        .sum()
}

/// Whether a layer has a sliding window: by the model's own list or period, else every layer.
fn is_windowed(model: &Model, layer: usize) -> bool {
    let key = format!("{}.attention.sliding_window_pattern", model.info().architecture);
    match model.files().gguf().get(&key) {
        Some(Value::Array(array)) => {
            let flags = array.iter_scalars();
            flags.and_then(|mut f| f.nth(layer)).and_then(|v| v.as_bool()).unwrap_or(true)
        }
        // gemma3's period when the file names none.
        Some(value) => !(layer as u64 + 1).is_multiple_of(value.as_u64().unwrap_or(6).max(1)),
        None => model.info().architecture != "gemma3" || !(layer + 1).is_multiple_of(6),
    }
}

fn ggml_type(kv_type: KvType) -> GgmlType {
    match kv_type {
        KvType::F16 => GgmlType::F16,
        KvType::F32 => GgmlType::F32,
        KvType::Bf16 => GgmlType::BF16,
        KvType::Q8_0 => GgmlType::Q8_0,
        KvType::Q5_1 => GgmlType::Q5_1,
        KvType::Q5_0 => GgmlType::Q5_0,
        KvType::Q4_1 => GgmlType::Q4_1,
        KvType::Q4_0 => GgmlType::Q4_0,
    }
}

fn check_kv_type(model: &Model, options: &SessionOptions, kv_type: GgmlType) -> Result<()> {
    let block = kv_type.block_size();
    if block == 1 {
        return Ok(());
    }
    let word = options.kv_type.word();
    if options.flash_attn == FlashAttn::Off {
        bail!(
            InvalidOption,
            "kv_type={word} needs flash attention; set flash_attn=auto or kv_type=f16"
        )
    }
    let h = model.files().hparams();
    for width in [h.n_embd_head_k, h.n_embd_head_v] {
        if u64::from(width) % block != 0 {
            bail!(
                InvalidOption,
                "kv_type={word} has blocks of {block}, which do not divide this model's heads of \
                 {width}; set kv_type=f16"
            )
        }
    }
    Ok(())
}
