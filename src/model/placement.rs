//! Where a model's weights go: on which devices, and in what form on the host.

use super::ModelInfo;
use crate::device;
use crate::error::{Code, Result, bail};
use crate::format::ModelFiles;
use crate::ggml::{self, RawDevice};
use crate::options::{Accel, ModelOptions, Repack};

/// What was decided when the model was opened.
pub(super) struct Placement {
    pub devices: Vec<RawDevice>,
    pub n_gpu_layers: i32,
    pub accel: bool,
    pub repack: bool,
}

impl Placement {
    /// # Errors
    /// `DeviceNotFound`, `InvalidOption`, `DoesNotFit`.
    pub(super) fn choose(
        options: &ModelOptions,
        files: &ModelFiles,
        info: &ModelInfo,
    ) -> Result<Self> {
        let devices = device::choose(&options.device)?;
        let n_gpu_layers = gpu_layers(options, info, &devices)?;
        let available = device::host_memory().available;
        let on_host = on_host(info, n_gpu_layers);
        let mapped = options.use_mmap && files.parts().iter().all(|p| p.memory().is_none());
        if !mapped && !options.vocab_only && on_host > available {
            bail!(
                DoesNotFit,
                "the model's weights take {} MiB and {} MiB of memory are free; open a file with \
                 use_mmap=true, or use a smaller or more strongly quantized model",
                on_host >> 20,
                available >> 20
            )
        }
        // Beside a device, the engine itself decides what the CPU computes: it sends large batches to the device.
        let accel = options.accel == Accel::Auto && devices.is_empty();
        let repack = match options.repack {
            // Repacked weights are out of the kernels' reach.
            Repack::Auto => on_host < available && !(accel && ggml::replaces_repacking()),
            Repack::On => true,
            Repack::Off => false,
        };
        Ok(Self { devices, n_gpu_layers, accel, repack })
    }
}

/// Bytes of weights that stay on the host: each layer, and the output matrix, counts the same.
fn on_host(info: &ModelInfo, n_gpu_layers: i32) -> u64 {
    let all = u64::from(info.n_layer) + 1;
    let left = all.saturating_sub(u64::from(n_gpu_layers.unsigned_abs()));
    info.weight_bytes / all * left
}

/// The number of layers to put on the devices.
fn gpu_layers(options: &ModelOptions, info: &ModelInfo, devices: &[RawDevice]) -> Result<i32> {
    if devices.is_empty() {
        return match options.n_gpu_layers.value() {
            Some(n) if n > 0 && options.device != "auto" => Err(crate::error::Error::new(
                Code::InvalidOption,
                format!(
                    "n_gpu_layers={n} with device={}: that device runs no layers; choose a GPU that \
                     `nestling devices` lists, or set n_gpu_layers=0",
                    options.device
                ),
            )),
            _ => Ok(0),
        };
    }
    // One more than the layers: the output matrix counts as one.
    let all = i64::from(info.n_layer) + 1;
    let wanted = match options.n_gpu_layers.value() {
        Some(n) => n,
        None => fitting(info, devices.iter().map(|d| d.memory().0).sum(), all),
    };
    Ok(i32::try_from(wanted.min(all)).unwrap_or(i32::MAX))
}

/// How many layers fit in `free` bytes, with a fifth left for the cache and the computation.
fn fitting(info: &ModelInfo, free: u64, all: i64) -> i64 {
    let per_layer = info.weight_bytes / all.unsigned_abs().max(1) + 1;
    i64::try_from(free / 5 * 4 / per_layer).unwrap_or(all).min(all)
}
