//! Opening a model: the gate, the devices, then the engine.

use std::sync::{Arc, OnceLock};

use super::{Inner, Model, ModelInfo, pool};
use crate::cancel::CancelToken;
use crate::device;
use crate::error::{Code, Result, bail};
use crate::format::{Access, ModelFiles, Source};
use crate::ggml::{Input, LoadParams, RawDevice, RawModel};
use crate::job::{Job, Monitor};
use crate::options::{ModelOptions, Options, Repack};

impl Model {
    /// Opens a model: checks the files, then maps or reads the weights.
    ///
    /// # Errors
    /// `Gguf...` for a bad file, `ModelLoad` if the engine refuses it, `DeviceNotFound`,
    /// `InvalidOption`, and the codes of files.
    pub fn open(source: impl Into<Source>, options: &ModelOptions) -> Result<Self> {
        Self::open_with(source, options, &Monitor::default())
    }

    /// As [`open`](Self::open), reporting progress to `monitor` and stopping when its token is triggered.
    pub fn open_with(
        source: impl Into<Source>,
        options: &ModelOptions,
        monitor: &Monitor,
    ) -> Result<Self> {
        options.validate()?;
        monitor.cancel().check("loading the model")?;
        let access = if options.use_mmap { Access::Map } else { Access::Read };
        let files = ModelFiles::open(&source.into(), access)?;
        check_alignment(&files, options)?;
        let info = ModelInfo::read(&files);
        let devices = device::choose(&options.device)?;
        let n_gpu_layers = gpu_layers(options, &info, &devices)?;
        let raw = Arc::new(load(&files, options, &devices, n_gpu_layers, false, monitor)?);
        Ok(Self(Arc::new(Inner {
            pool: pool::Pool::default(),
            raw,
            files,
            info,
            options: options.clone(),
            n_gpu_layers,
            fingerprint: OnceLock::new(),
            special: OnceLock::new(),
        })))
    }

    /// As [`open`](Self::open), on a worker thread.
    pub fn open_job(
        source: impl Into<Source>,
        options: &ModelOptions,
        cancel: CancelToken,
    ) -> Result<Job<Self>> {
        let (source, options) = (source.into(), options.clone());
        Job::spawn("loading the model", cancel, move |monitor| {
            Self::open_with(source, &options, monitor)
        })
    }

    /// A copy of the model that has metadata but no weights, to count memory with.
    pub(crate) fn hollow(&self) -> Result<Arc<RawModel>> {
        let devices = device::choose(&self.0.options.device)?;
        let monitor = Monitor::default();
        let options = &self.0.options;
        load(&self.0.files, options, &devices, self.0.n_gpu_layers, true, &monitor).map(Arc::new)
    }
}

fn load(
    files: &ModelFiles,
    options: &ModelOptions,
    devices: &[RawDevice],
    n_gpu_layers: i32,
    no_alloc: bool,
    monitor: &Monitor,
) -> Result<RawModel> {
    let progress = |fraction: f32| {
        monitor.report(fraction);
        !monitor.cancel().is_triggered()
    };
    let params = LoadParams {
        devices,
        n_gpu_layers,
        // The engine asserts that nothing is mapped when nothing is allocated.
        mmap: options.use_mmap && !no_alloc,
        mlock: options.use_mlock && !no_alloc,
        repack: options.repack != Repack::Off,
        check_tensors: options.check_tensors,
        vocab_only: options.vocab_only,
        no_alloc,
        progress: &progress,
    };
    let memory = files.parts().first().and_then(|p| p.memory());
    let input = match files.parts() {
        [part] => match (&memory, part.file()) {
            (Some(bytes), _) => Input::Memory(bytes),
            (None, Some(file)) if cfg!(unix) => Input::File { file, offset: part.offset() },
            _ => Input::Paths(paths(files)?),
        },
        _ => Input::Paths(paths(files)?),
    };
    let loaded = RawModel::load(&input, &params);
    // The engine reports a stopped load like any failed one.
    monitor.cancel().check("loading the model")?;
    loaded
}

/// The engine maps tensors where they are, and needs them at multiples of 32 bytes.
fn check_alignment(files: &ModelFiles, options: &ModelOptions) -> Result<()> {
    let Some(part) = files.parts().first().filter(|p| p.file().is_some()) else { return Ok(()) };
    if options.use_mmap && part.offset() % 32 != 0 {
        bail!(
            InvalidArgument,
            "the model begins at byte {} of its file, which is no multiple of 32: it cannot be mapped \
             there; align it when packing the file, or set use_mmap=false",
            part.offset()
        )
    }
    Ok(())
}

fn paths(files: &ModelFiles) -> Result<Vec<std::path::PathBuf>> {
    let mut paths = Vec::new();
    for part in files.parts() {
        match part.path() {
            Some(path) => paths.push(path.to_owned()),
            None => bail!(Unsupported, "a split model can only be opened by path"),
        }
    }
    Ok(paths)
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
