//! Memory for a model and a session, before anything is allocated.

use serde::Serialize;

use super::context::{context_params, kv_bytes_per_token, n_threads};
use super::measure::measure;
use crate::device::{self, HostMemory};
use crate::error::{Result, bail};
use crate::ggml::{ContextParams, MemoryPart, Work};
use crate::model::Model;
use crate::options::{KvType, Options, SessionOptions};

/// What a session would take, as the engine counts it, and whether it fits. Bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The context length in tokens that the session would have.
    pub n_ctx: u32,
    /// The model's weights. Mapped ones count too, though the system can drop and read them again.
    pub weights: u64,
    /// The part of the weights that is mapped from the file and shared with other processes.
    pub weights_mapped: u64,
    /// The KV cache, one per session.
    pub kv_cache: u64,
    /// Buffers to compute with, one set per session.
    pub compute: u64,
    /// All of it.
    pub total: u64,
    /// What the host has.
    pub host: HostMemory,
    /// Each device's share; the host's is named `CPU`.
    pub devices: Vec<DeviceNeed>,
    /// Whether every share fits in what its device has free.
    pub fits: bool,
    /// What to change if it does not fit; empty if it does.
    pub advice: String,
}

/// What one device must hold. Bytes.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceNeed {
    /// The device's name.
    pub device: String,
    /// What it must hold.
    pub needed: u64,
    /// What it has free; the memory that the open model's weights take counts as free for them.
    pub free: u64,
}

impl Model {
    /// What a session with these options would take, with the weights; also for a model opened with
    /// `vocab_only`, so that a plan can come before the weights are loaded. Nothing is allocated for it, no weights are read. For
    /// contexts of more than 131,072 tokens `compute` is extrapolated.
    ///
    /// # Errors
    /// As making the session would give: `InvalidOption`, `Unsupported`.
    pub fn plan(&self, options: &SessionOptions) -> Result<Plan> {
        options.validate()?;
        self.plan_context(options, &context_params(self, options)?)
    }

    /// What a context with these parameters, which were made from the options, would take.
    fn plan_context(&self, options: &SessionOptions, params: &ContextParams) -> Result<Plan> {
        let mut parts = measure(self, params, n_threads(options.n_threads))?;
        // The engine makes room for the logits of one token; the room for more comes with the first use.
        let more = u64::from(params.n_outputs.saturating_sub(1)) * self.row_bytes();
        if let Some(host) = parts.iter_mut().find(|p| p.device.is_none()) {
            host.compute += more;
        }
        let sum = |f: fn(&MemoryPart) -> u64| parts.iter().map(f).sum::<u64>();
        let (weights, kv_cache, compute) =
            (sum(|p| p.weights), sum(|p| p.kv_cache), sum(|p| p.compute));
        let host = device::host_memory();
        let devices = needs(&parts, host, !self.options().vocab_only);
        let fits = devices.iter().all(|d| d.needed <= d.free);
        Ok(Plan {
            n_ctx: params.n_ctx,
            weights,
            weights_mapped: self.mapped(&parts),
            kv_cache,
            compute,
            total: weights + kv_cache + compute,
            host,
            advice: if fits {
                String::new()
            } else {
                advice(self, options, (kv_cache, compute), &devices)
            },
            devices,
            fits,
        })
    }

    /// Bytes of one token's logits.
    fn row_bytes(&self) -> u64 {
        4 * u64::from(self.files().hparams().n_vocab)
    }

    /// Weights that stay in the mapped file: all that is not repacked or on a device.
    fn mapped(&self, parts: &[MemoryPart]) -> u64 {
        if !self.options().use_mmap || self.files().parts().iter().any(|p| p.in_memory()) {
            return 0;
        }
        let private = |p: &&MemoryPart| p.device.is_some() || p.name.contains("REPACK");
        let private: u64 = parts.iter().filter(private).map(|p| p.weights).sum();
        self.info().weight_bytes.saturating_sub(private)
    }
}

/// What each device must hold. Weights that are `loaded` are in its memory already.
fn needs(parts: &[MemoryPart], host: HostMemory, loaded: bool) -> Vec<DeviceNeed> {
    let on_host = parts.iter().filter(|p| p.device.is_none());
    let held = if loaded { on_host.map(|p| p.weights).sum() } else { 0 };
    let need = |p: &MemoryPart| p.weights + p.kv_cache + p.compute;
    let needed = parts.iter().filter(|p| p.device.is_none()).map(need).sum();
    let mut all = vec![DeviceNeed {
        device: "CPU".into(),
        needed,
        free: (host.available + held).min(host.total),
    }];
    for device in device::devices() {
        let of_it = parts.iter().filter(|p| p.device.as_deref() == Some(&device.name));
        let (needed, weights) = of_it.fold((0, 0), |(n, w), p| (n + need(p), w + p.weights));
        if needed > 0 {
            let free = device.memory_free + if loaded { weights } else { 0 };
            all.push(DeviceNeed { device: device.name, needed, free });
        }
    }
    all
}

/// What to change, given the bytes of the KV cache and of the buffers to compute with.
fn advice(
    model: &Model,
    o: &SessionOptions,
    (kv, compute): (u64, u64),
    devices: &[DeviceNeed],
) -> String {
    let mut advice = Vec::new();
    let over: u64 = devices.iter().map(|d| d.needed.saturating_sub(d.free)).sum();
    if over < kv + compute {
        advice.push("set a smaller n_ctx");
        if !matches!(o.kv_type, KvType::Q8_0 | KvType::Q4_0) {
            advice.push("set kv_type=q8_0");
        }
        if o.swa_full && model.info().n_swa.is_some() {
            advice.push("set swa_full=false");
        }
        if compute > kv {
            advice.push("set a smaller n_ubatch");
        }
    }
    if devices.iter().skip(1).any(|d| d.needed > d.free) {
        advice.push("set a smaller n_gpu_layers");
    }
    if over >= kv + compute {
        advice.push("use a smaller or more strongly quantized model");
    }
    advice.join(", or ")
}

/// Refuses a session that would not fit: allocating it could end the process where memory is overcommitted.
///
/// # Errors
/// `DoesNotFit`.
pub(crate) fn ensure_fits(
    model: &Model,
    options: &SessionOptions,
    params: &ContextParams,
) -> Result<()> {
    if clearly_fits(model, options, params) {
        return Ok(());
    }
    let plan = model.plan_context(options, params)?;
    let Some(short) = plan.devices.iter().find(|d| d.needed > d.free) else { return Ok(()) };
    bail!(
        DoesNotFit,
        "a session of {} tokens does not fit: {} would hold {} MiB with the model and has {} MiB free; {}",
        plan.n_ctx,
        short.device,
        short.needed >> 20,
        short.free >> 20,
        plan.advice
    )
}

/// Whether a generous estimate is far below what is free, so that nothing needs to be counted.
fn clearly_fits(model: &Model, options: &SessionOptions, params: &ContextParams) -> bool {
    let h = model.files().hparams();
    let widest = |widths: &[u32]| u64::from(widths.iter().copied().max().unwrap_or(0));
    let heads = widest(&h.n_head) + 4;
    // A token's cache and its record in it; its column in the attention scores of a micro-batch.
    let ubatch = u64::from(params.n_ubatch);
    let per_token = kv_bytes_per_token(model, options) + 64 + ubatch * 4 * heads;
    let per_row =
        4 * (8 * u64::from(h.n_embd) + 4 * widest(&h.n_ff) * u64::from(h.n_expert.max(1)));
    let logits = 2 * u64::from(params.n_outputs) * model.row_bytes();
    // A decoder sees what an encoder read in every micro-batch: the engine makes room for the training length.
    let seen = match params.work {
        Work::EncodeDecode => u64::from(h.n_ctx_train) * ubatch * 4 * heads,
        Work::Decode | Work::Embed { .. } => 0,
    };
    let estimate = u64::from(params.n_ctx) * per_token + ubatch * per_row + logits + seen;
    let least = match model.n_gpu_layers() {
        0 => None,
        _ => device::devices().iter().map(|d| d.memory_free).filter(|&free| free > 0).min(),
    };
    let available = device::host_memory().available;
    estimate < least.unwrap_or(available).min(available) / 4
}
