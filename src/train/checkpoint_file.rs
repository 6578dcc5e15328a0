//! A checkpoint's keys and tensors.

use super::checkpoint::{Checkpoint, CheckpointView, Progress};
use super::lora::LoraParams;
use super::optimizer::{Optimizer, OptimizerOptions};
use super::seal::DIGEST;
use super::target::Target;
use crate::error::{Code, Error, Result, bail, err};
use crate::format::gguf::{Array, GgmlType, Gguf, TensorInfo, Value, Writer};
use crate::options::{Input, Options, TrainerOptions};

const TYPE: &str = "general.type";
const CHECKPOINT: &str = "nestling.checkpoint";
const VERSION: u32 = 1;
const VERSION_KEY: &str = "nestling.checkpoint.version";
const MODEL: &str = "nestling.checkpoint.model";
const DATASET: &str = "nestling.checkpoint.dataset";
/// Before each option's key.
const OPTION: &str = "nestling.trainer.";
const OPTIMIZER_STEPS: &str = "nestling.optimizer.steps";
const STEP: &str = "nestling.progress.step";
const EPOCH: &str = "nestling.progress.epoch";
const CURSOR: &str = "nestling.progress.cursor";
const TOKENS: &str = "nestling.progress.tokens";
const LOSSES: &str = "nestling.progress.losses";
const VALIDATION_STEPS: &str = "nestling.progress.validation_steps";
const VALIDATION_LOSSES: &str = "nestling.progress.validation_losses";
const BEST: &str = "nestling.progress.best_validation_loss";
const WITHOUT_IMPROVEMENT: &str = "nestling.progress.without_improvement";
/// Before each generator's name.
const RNG: &str = "nestling.rng.";
/// The last tensor: its bytes are the last of the file.
const SEAL: &str = "sha256";

/// Everything but the digest, for which there is place at the end.
pub(super) fn writer<'a>(view: &CheckpointView<'a>) -> Result<Writer<'a>> {
    view.params.check_finite()?;
    if OptimizerOptions::from(view.options) != *view.optimizer.options() {
        bail!(InvalidArgument, "the optimizer was not made from the checkpoint's options")
    }
    let mut w = Writer::new();
    w.set(TYPE, CHECKPOINT).set(VERSION_KEY, VERSION);
    w.set(MODEL, view.model).set(DATASET, view.dataset);
    for spec in TrainerOptions::specs() {
        w.set(format!("{OPTION}{}", spec.key), view.options.get(spec.key).unwrap_or_default());
    }
    put_progress(&mut w, view.progress);
    view.params.put(&mut w);
    w.set(OPTIMIZER_STEPS, view.optimizer.steps());
    let tensors: Vec<_> = view.params.named().map(|(name, dims, _)| (name, dims)).collect();
    for (state, i, values) in view.optimizer.state() {
        let Some((name, dims)) = tensors.get(i) else {
            bail!(InvalidArgument, "the optimizer was not made for the checkpoint's parameters")
        };
        w.tensor_f32(format!("{state}.{name}"), dims, values);
    }
    // As long as the alignment, so that no padding follows.
    w.tensor(SEAL, &[DIGEST as u64], GgmlType::I8, vec![0; DIGEST]);
    Ok(w)
}

fn put_progress(w: &mut Writer<'_>, p: &Progress) {
    w.set(STEP, p.step).set(EPOCH, p.epoch).set(CURSOR, p.cursor).set(TOKENS, p.tokens);
    w.set(LOSSES, Array::from(&p.losses[..]));
    let (steps, losses): (Vec<u64>, Vec<f64>) = p.validation.iter().copied().unzip();
    w.set(VALIDATION_STEPS, Array::from(&steps[..]));
    w.set(VALIDATION_LOSSES, Array::from(&losses[..]));
    if let Some(best) = p.best_validation_loss {
        w.set(BEST, best);
    }
    w.set(WITHOUT_IMPROVEMENT, p.without_improvement);
    for (name, state) in &p.rng {
        w.set(format!("{RNG}{name}"), state.as_str());
    }
}

/// Whether a file is a checkpoint of a version that this build reads.
pub(super) fn check_kind(gguf: &Gguf) -> Result<()> {
    let found = gguf.str(TYPE)?.unwrap_or("");
    if found != CHECKPOINT {
        bail!(
            CheckpointFormat,
            "{TYPE} is {found:?}, not {CHECKPOINT:?}; give a checkpoint that a training saved"
        )
    }
    let version = gguf.u32(VERSION_KEY)?.unwrap_or(0);
    if version != VERSION {
        bail!(
            CheckpointFormat,
            "checkpoint version {version}, this build reads {VERSION}; resume with the version that saved it"
        )
    }
    Ok(())
}

/// Reads a file whose kind and checksum were checked.
pub(super) fn read(gguf: &Gguf) -> Result<Checkpoint> {
    let options = options(gguf)?;
    let params = params(gguf)?;
    let mut optimizer = Optimizer::new(OptimizerOptions::from(&options), &params.sizes());
    let names: Vec<_> = params.named().map(|(name, ..)| name).collect();
    optimizer.restore(required(gguf.u64(OPTIMIZER_STEPS)?, OPTIMIZER_STEPS)?, |state, i| {
        let name = format!("{state}.{}", names.get(i).map_or("", String::as_str));
        floats(gguf, tensor(gguf, &name)?)
    })?;
    let text = |key| Ok::<_, Error>(required(gguf.str(key)?, key)?.to_owned());
    let (model, dataset) = (text(MODEL)?, text(DATASET)?);
    Ok(Checkpoint { options, params, optimizer, progress: progress(gguf)?, model, dataset })
}

fn options(gguf: &Gguf) -> Result<TrainerOptions> {
    let mut options = TrainerOptions::default();
    for (key, value) in with_prefix(gguf, OPTION) {
        options.set(key, Input::Str(required(value.as_str(), key)?))?;
    }
    Ok(options)
}

fn params(gguf: &Gguf) -> Result<LoraParams> {
    let mut pairs = Vec::new();
    for a in gguf.tensors() {
        // The optimizer's state has the same names, but another beginning.
        let weight = a.name.strip_suffix(".lora_a").filter(|w| Target::of_weight(w).is_some());
        if let Some(weight) = weight {
            pairs.push((weight, a, tensor(gguf, &format!("{weight}.lora_b"))?));
        }
    }
    LoraParams::read(gguf, pairs.into_iter())
}

fn progress(gguf: &Gguf) -> Result<Progress> {
    let count = |key| required(gguf.u64(key)?, key);
    let losses = |key| {
        let values = required(gguf.array(key)?, key)?.iter_scalars();
        required(values, key)?.map(|v| required(v.as_f64(), key)).collect::<Result<Vec<f64>>>()
    };
    let steps = required(gguf.array(VALIDATION_STEPS)?, VALIDATION_STEPS)?.iter_scalars();
    let steps = required(steps, VALIDATION_STEPS)?
        .map(|v| required(v.as_u64(), VALIDATION_STEPS))
        .collect::<Result<Vec<u64>>>()?;
    let rng = with_prefix(gguf, RNG)
        .map(|(name, state)| Ok((name.to_owned(), required(state.as_str(), name)?.to_owned())));
    Ok(Progress {
        step: count(STEP)?,
        epoch: count(EPOCH)?,
        cursor: count(CURSOR)?,
        tokens: count(TOKENS)?,
        losses: losses(LOSSES)?,
        validation: steps.into_iter().zip(losses(VALIDATION_LOSSES)?).collect(),
        best_validation_loss: gguf.f64(BEST)?,
        without_improvement: count(WITHOUT_IMPROVEMENT)?,
        rng: rng.collect::<Result<_>>()?,
    })
}

/// The metadata whose keys begin with `prefix`, by the rest of their keys.
fn with_prefix<'a>(gguf: &'a Gguf, prefix: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    gguf.kv().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
}

fn required<T>(found: Option<T>, key: &str) -> Result<T> {
    found.ok_or_else(|| err!(CheckpointFormat, "{key} is missing or of another type"))
}

fn tensor<'a>(gguf: &'a Gguf, name: &str) -> Result<&'a TensorInfo> {
    required(gguf.tensor(name).filter(|t| t.ggml_type == GgmlType::F32), name)
}

/// A tensor's numbers as they are: a second moment may be infinite.
fn floats(gguf: &Gguf, tensor: &TensorInfo) -> Result<Vec<f32>> {
    let data = gguf.read_data(tensor)?;
    let float = |c: &[u8]| f32::from_le_bytes(c.try_into().unwrap_or_default());
    Ok(data.chunks_exact(4).map(float).collect())
}

/// What a bad file means here. Errors of the operating system keep their code.
pub(super) fn damaged(error: Error) -> Error {
    let of_the_system = (100..200).contains(&error.code().number());
    if of_the_system || error.code() == Code::CheckpointFormat {
        return error;
    }
    err!(
        CheckpointFormat,
        "the checkpoint is damaged or is none, resume from another one ({error})"
    )
}
