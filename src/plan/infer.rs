//! Memory for a model and a session, before anything is allocated.

use serde::Serialize;

use crate::device::{self, HostMemory};
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Value};
use crate::ggml::{self, ContextParams, RawContext};
use crate::model::Model;
use crate::options::{FlashAttn, KvType, Options, SessionOptions};

/// Context length that `n_ctx=auto` does not exceed.
const AUTO_MAX: u64 = 8192;

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
    /// What it has free. For the host, weights of the already open model count as free again.
    pub free: u64,
}

impl Model {
    /// What a session with these options would take. Nothing is allocated for it, no weights are read.
    ///
    /// # Errors
    /// As making the session would give: `InvalidOption`, `Unsupported`.
    pub fn plan(&self, options: &SessionOptions) -> Result<Plan> {
        options.validate()?;
        let params = context_params(self, options)?;
        // A context over a model without weights: the engine counts, but allocates nothing.
        let context = RawContext::new(&self.hollow()?, &params)?;
        let parts = ggml::breakdown(&context)?;
        drop(context);

        let sum = |f: fn(&ggml::MemoryPart) -> u64| parts.iter().map(f).sum::<u64>();
        let (weights, kv_cache, compute) =
            (sum(|p| p.weights), sum(|p| p.kv_cache), sum(|p| p.compute));
        let on_host: u64 = parts.iter().filter(|p| p.device.is_none()).map(|p| p.weights).sum();
        let host = device::host_memory();
        let devices = needs(&parts, host, on_host);
        let fits = devices.iter().all(|d| d.needed <= d.free);
        Ok(Plan {
            n_ctx: params.n_ctx,
            weights,
            weights_mapped: if self.options().use_mmap { self.mapped(&parts) } else { 0 },
            kv_cache,
            compute,
            total: weights + kv_cache + compute,
            host,
            advice: if fits { String::new() } else { advice(self, options, kv_cache, &devices) },
            devices,
            fits,
        })
    }

    /// Weights that stay in the mapped file: all that is not repacked or on a device.
    fn mapped(&self, parts: &[ggml::MemoryPart]) -> u64 {
        let private = |p: &&ggml::MemoryPart| p.device.is_some() || p.name.contains("REPACK");
        let private: u64 = parts.iter().filter(private).map(|p| p.weights).sum();
        self.info().weight_bytes.saturating_sub(private)
    }
}

fn needs(parts: &[ggml::MemoryPart], host: HostMemory, loaded: u64) -> Vec<DeviceNeed> {
    let need = |p: &ggml::MemoryPart| p.weights + p.kv_cache + p.compute;
    let needed = parts.iter().filter(|p| p.device.is_none()).map(need).sum();
    let mut all = vec![DeviceNeed {
        device: "CPU".into(),
        needed,
        // The open model's weights are in memory already.
        free: (host.available + loaded).min(host.total),
    }];
    for device in device::devices() {
        let of_it = parts.iter().filter(|p| p.device.as_deref() == Some(&device.name));
        let (needed, weights) = of_it.fold((0, 0), |(n, w), p| (n + need(p), w + p.weights));
        if needed > 0 {
            let free = device.memory_free + weights;
            all.push(DeviceNeed { device: device.name, needed, free });
        }
    }
    all
}

fn advice(model: &Model, o: &SessionOptions, kv: u64, devices: &[DeviceNeed]) -> String {
    let mut advice = Vec::new();
    let over: u64 = devices.iter().map(|d| d.needed.saturating_sub(d.free)).sum();
    if over < kv {
        advice.push("set a smaller n_ctx");
        if !matches!(o.kv_type, KvType::Q8_0 | KvType::Q4_0) {
            advice.push("set kv_type=q8_0");
        }
        if o.swa_full && model.info().n_swa.is_some() {
            advice.push("set swa_full=false");
        }
    }
    if devices.iter().skip(1).any(|d| d.needed > d.free) {
        advice.push("set a smaller n_gpu_layers");
    }
    if over >= kv {
        advice.push("use a smaller or more strongly quantized model");
    }
    advice.join(", or ")
}

/// The engine's parameters for a session's options.
pub(crate) fn context_params(model: &Model, options: &SessionOptions) -> Result<ContextParams> {
    let kv_type = ggml_type(options.kv_type);
    check_kv_type(model, options, kv_type)?;
    let n_ctx = match options.n_ctx.value() {
        Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        None => auto_context(model, options),
    };
    check_positions(model, n_ctx)?;
    Ok(ContextParams {
        n_ctx,
        n_ubatch: (options.n_ubatch as u32).min(n_ctx),
        kv_type: kv_type as u32,
        flash_attn: match options.flash_attn {
            FlashAttn::Auto => None,
            FlashAttn::On => Some(true),
            FlashAttn::Off => Some(false),
        },
        swa_full: options.swa_full,
        offload_kqv: options.offload_kqv,
    })
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
fn kv_bytes_per_token(model: &Model, options: &SessionOptions) -> u64 {
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
        Some(value) => (layer as u64 + 1) % value.as_u64().unwrap_or(6).max(1) != 0,
        None => model.info().architecture != "gemma3" || (layer + 1) % 6 != 0,
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
