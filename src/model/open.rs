//! Opening a model: the gate, the devices, then the engine.

use std::sync::{Arc, OnceLock};

use super::placement::Placement;
use super::{Inner, Model, ModelInfo, pool};
use crate::cancel::CancelToken;
use crate::device;
use crate::error::{Result, bail};
use crate::format::{Access, ModelFiles, Source};
use crate::ggml::{Input, LoadParams, RawModel};
use crate::job::{Job, Monitor};
use crate::options::{ModelOptions, Options, Secret};

impl Model {
    /// Opens a model: checks the files, then maps or reads the weights.
    ///
    /// # Errors
    /// `Gguf...` for a bad file, `ModelLoad` if the engine refuses it, `DoesNotFit` if its weights must be
    /// in memory and there is not enough, `DeviceNotFound`, `InvalidOption`, and the codes of files.
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
        let source = source.into().with_keys(&options.key, &options.public_key);
        let source = source.unseal(monitor, enough_memory)?;
        let files = match options.vocab_only {
            true => ModelFiles::open_tokenizer(&source, access)?,
            false => ModelFiles::open(&source, access)?,
        };
        // The keys end here: nothing that the model makes needs them.
        let options =
            &ModelOptions { key: Secret::none(), public_key: Secret::none(), ..options.clone() };
        check_alignment(&files, options)?;
        let info = ModelInfo::read(&files);
        let placement = Placement::choose(options, &files, &info)?;
        let raw = Arc::new(load(&files, options, &placement, Read::Weights, monitor)?);
        Ok(Self(Arc::new(Inner {
            pool: pool::Pool::default(),
            raw,
            files,
            info,
            options: options.clone(),
            placement,
            fingerprint: OnceLock::new(),
            special: OnceLock::new(),
            word_pieces: OnceLock::new(),
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

    /// A copy of the model that has all tensors but no memory for them, to count memory with.
    pub(crate) fn hollow(&self) -> Result<Arc<RawModel>> {
        let inner = &*self.0;
        if inner.files.tensors().next().is_none() {
            bail!(
                Unsupported,
                "the file holds a vocabulary without weights, whose memory cannot be planned; give the model's file"
            )
        }
        load(&inner.files, &inner.options, &inner.placement, Read::Nothing, &Monitor::default())
            .map(Arc::new)
    }
}

/// Whether a sealed file that holds so many bytes can be decrypted.
fn enough_memory(bytes: u64) -> Result<()> {
    let available = device::host_memory().available;
    if bytes > available {
        bail!(
            DoesNotFit,
            "the sealed model takes {} MiB in memory and {} MiB are free; use a smaller or more strongly quantized model",
            bytes >> 20,
            available >> 20
        )
    }
    Ok(())
}

/// What the engine reads of a model's tensors.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// All, or none for `vocab_only`.
    Weights,
    /// Their table: nothing is allocated.
    Nothing,
}

fn load(
    files: &ModelFiles,
    options: &ModelOptions,
    placement: &Placement,
    read: Read,
    monitor: &Monitor,
) -> Result<RawModel> {
    let progress = |fraction: f32| {
        monitor.report(fraction);
        !monitor.cancel().is_triggered()
    };
    let no_alloc = read == Read::Nothing;
    let params = LoadParams {
        devices: &placement.devices,
        n_gpu_layers: placement.n_gpu_layers,
        // The engine asserts that nothing is mapped when nothing is allocated, and refuses to map a vocabulary
        // without weights.
        mmap: options.use_mmap && !no_alloc && files.tensors().next().is_some(),
        mlock: options.use_mlock && !no_alloc,
        accel: placement.accel,
        repack: placement.repack,
        check_tensors: options.check_tensors,
        vocab_only: options.vocab_only && !no_alloc,
        no_alloc,
        progress: &progress,
    };
    let memory = files.parts().first().and_then(|p| p.memory());
    let input = match files.parts() {
        [part] => match (memory, part.file()) {
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
