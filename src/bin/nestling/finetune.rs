//! `nestling finetune`: trains a LoRA adapter on examples.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, DatasetReport};
use nestling::device;
use nestling::model::Model;
use nestling::options::{DatasetOptions, TrainerOptions};
use nestling::train::{StepReport, TrainPlan, Trainer};
use nestling::{Code, Error};
use serde_json::{Value as Json, json};

use crate::failure::{Failure, Outcome};
use crate::finetune_plan::Estimate;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes};
use crate::progress::Steps;
use crate::{file, finetune_plan, flags, load, loss_curve, report};

pub fn command() -> Command {
    let path = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name(name)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help(help)
    };
    let command = Command::new("finetune")
        .about("Train a LoRA adapter on examples, on the quantized weights")
        .after_help(
            "Examples:\n  \
             nestling finetune -m MODEL.gguf --data chats.jsonl -o adapter.gguf\n  \
             nestling finetune -m MODEL.gguf --data train.jsonl --validation held-out.jsonl \
             --epochs 5 --early-stopping-patience 2 -o adapter.gguf\n  \
             nestling finetune -m MODEL.gguf --data chats.jsonl -o adapter.gguf --plan\n  \
             nestling finetune -m MODEL.gguf --data chats.jsonl -o adapter.gguf --resume\n\n\
             A line of a JSONL file holds \"messages\", or \"prompt\" and \"completion\", or \"text\", or \
             \"text\" and \"label\". With validation data the adapter written is the best one, without it the last.\n\n\
             Ctrl-C writes a checkpoint; --resume goes on from it, with its own options. The checkpoint of the best \
             validation stays beside it, with the name's end .best.",
        )
        .arg(flags::model())
        .arg(
            path("data", "FILE", "Examples to learn: JSONL, CSV or text; may be given several times")
                .required(true)
                .action(ArgAction::Append),
        )
        .arg(path("validation", "FILE", "Examples to validate with").action(ArgAction::Append))
        .arg(path("output", "FILE", "The adapter to write (GGUF)").short('o').required(true))
        .arg(path("init-adapter", "FILE", "Continue this adapter instead of a new one"))
        .arg(path("checkpoint", "FILE", "Where checkpoints go [the output's name and .checkpoint]"))
        .arg(switch("resume", "Go on from the checkpoint").conflicts_with("init-adapter"))
        .args(loss_curve::args())
        .arg(switch("plan", "Only say how much memory it would take, and, after one step, how long"))
        .arg(flags::json("Print one JSON object per line: each step, then a summary"));
    flags::add_keys(flags::add::<DatasetOptions>(flags::add::<TrainerOptions>(command)))
}

fn switch(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let options: TrainerOptions = flags::read(matches)?;
    let files = Files::read(matches)?;
    let data = dataset(matches, "data")?;
    let validation = match matches.contains_id("validation") {
        true => Some(dataset(matches, "validation")?),
        false => None,
    };
    interrupt::install(Idle::End)?;
    let work = Work::begin();
    // The trainer maps the weights itself: a second copy for sessions is not needed.
    let model = &load::tokenizer(matches)?;
    let validation = validation.as_ref();
    let as_json = matches.get_flag("json");
    if matches.get_flag("plan") {
        let plan = plan(matches, &files, model, &data, validation, &options)?;
        let estimate = match plan.fits {
            true => Estimate::measure(
                &mut trainer(matches, &files, model, &data, validation, &options)?,
                &work.token(),
            )?,
            false => None,
        };
        return finetune_plan::print(&plan, estimate.as_ref(), as_json);
    }
    files.check()?;
    let mut trainer = trainer(matches, &files, model, &data, validation, &options)?;
    report::encoding("data", trainer.encoding());
    train(&mut trainer, &files, as_json, &work.token())?;
    summary(&trainer, &files, data.report(), as_json)
}

/// Where the results go.
struct Files {
    output: PathBuf,
    checkpoint: PathBuf,
    /// The checkpoint of the best validation.
    best: PathBuf,
    loss_curve: Option<PathBuf>,
}

impl Files {
    fn read(matches: &ArgMatches) -> Outcome<Self> {
        // Clap has refused a command line without it.
        let output = matches.get_one::<PathBuf>("output").cloned().unwrap_or_default();
        let given = matches.get_one::<PathBuf>("checkpoint").cloned();
        let checkpoint = given.unwrap_or_else(|| with_suffix(&output, ".checkpoint"));
        let best = with_suffix(&checkpoint, ".best");
        Ok(Self { best, checkpoint, loss_curve: loss_curve::path(matches, &output)?, output })
    }

    /// Refuses what could not be written after the training.
    fn check(&self) -> Outcome {
        file::check(&self.output, "writing the adapter")?;
        file::check(&self.checkpoint, "writing the checkpoint")?;
        file::check(&self.best, "writing the checkpoint")?;
        self.loss_curve.iter().try_for_each(|path| file::check(path, "writing the loss curve"))
    }

    /// The adapter's name in its file.
    fn name(&self) -> String {
        self.output.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn dataset(matches: &ArgMatches, id: &str) -> Outcome<Dataset> {
    let options: DatasetOptions = flags::read(matches)?;
    let paths = matches.get_many::<PathBuf>(id).into_iter().flatten().map(PathBuf::as_path);
    let dataset = Dataset::open(paths, &options)?;
    report::dataset(id, dataset.report());
    Ok(dataset)
}

fn trainer(
    matches: &ArgMatches,
    files: &Files,
    model: &Model,
    data: &Dataset,
    validation: Option<&Dataset>,
    options: &TrainerOptions,
) -> Outcome<Trainer> {
    if matches.get_flag("resume") {
        return Ok(Trainer::resume(model, data, validation, files.checkpoint.as_path())?);
    }
    Ok(match matches.get_one::<PathBuf>("init-adapter") {
        Some(path) => Trainer::continue_adapter(model, data, validation, options, path.as_path())?,
        None => Trainer::new(model, data, validation, options)?,
    })
}

fn plan(
    matches: &ArgMatches,
    files: &Files,
    model: &Model,
    data: &Dataset,
    validation: Option<&Dataset>,
    options: &TrainerOptions,
) -> Outcome<TrainPlan> {
    if matches.get_flag("resume") {
        return Ok(TrainPlan::resume(model, data, validation, files.checkpoint.as_path())?);
    }
    Ok(match matches.get_one::<PathBuf>("init-adapter") {
        Some(path) => {
            TrainPlan::continue_adapter(model, data, validation, options, path.as_path())?
        }
        None => TrainPlan::new(model, data, validation, options)?,
    })
}

fn train(trainer: &mut Trainer, files: &Files, as_json: bool, cancel: &CancelToken) -> Outcome {
    let mut bar = Steps::new(trainer.progress().step, trainer.total_steps(), as_json);
    loop {
        let step = match trainer.step(cancel) {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(error) if error.code() == Code::Cancelled => return Err(stop(trainer, files)),
            Err(error) if error.code() == Code::TrainingDiverged => {
                return Err(diverged(trainer, files, &error));
            }
            Err(error) => return Err(error.into()),
        };
        bar.show(&step);
        if as_json {
            output::json_line(&step_json(&step)?)?;
        }
        if step.best {
            trainer.save_adapter(&files.output, &files.name())?;
            trainer.save(&files.best)?;
        }
        let every = trainer.options().checkpoint_every.unsigned_abs();
        let ends_epoch = trainer.progress().cursor == 0;
        let is_due = if every > 0 { step.step % every == 0 } else { ends_epoch };
        if is_due {
            trainer.save(&files.checkpoint)?;
        }
    }
    bar.finish();
    if trainer.progress().best_validation_loss.is_none() {
        trainer.save_adapter(&files.output, &files.name())?;
    }
    loss_curve::write(files.loss_curve.as_deref(), trainer.progress())
}

/// Writes a checkpoint, and says how to go on.
fn stop(trainer: &Trainer, files: &Files) -> Failure {
    if let Err(error) = trainer.save(&files.checkpoint) {
        return error.into();
    }
    if let Err(failure) = loss_curve::write(files.loss_curve.as_deref(), trainer.progress()) {
        return failure;
    }
    Failure::new(
        Code::Cancelled,
        format!(
            "stopped after {} of {} steps; the same command with --resume goes on from {}",
            trainer.progress().step,
            trainer.total_steps(),
            files.checkpoint.display()
        ),
    )
}

/// Keeps the adapter of before the step: a lower learning rate can go on from it, as the checkpoint cannot, whose
/// options stay.
fn diverged(trainer: &Trainer, files: &Files, error: &Error) -> Failure {
    let kept = match trainer.progress().best_validation_loss {
        None => trainer.save_adapter(&files.output, &files.name()),
        // That is the adapter of the best validation.
        Some(_) => Ok(()),
    };
    if let Err(error) = kept {
        return error.into();
    }
    if let Err(failure) = loss_curve::write(files.loss_curve.as_deref(), trainer.progress()) {
        return failure;
    }
    let output = files.output.display();
    Failure::new(
        error.code(),
        format!(
            "{}; the last good adapter is in {output}: go on from it with --init-adapter {output} and a lower \
             --learning-rate",
            error.message()
        ),
    )
}

fn step_json(step: &StepReport) -> Outcome<Json> {
    let mut value = output::value(step)?;
    value["event"] = json!("step");
    Ok(value)
}

fn summary(trainer: &Trainer, files: &Files, data: &DatasetReport, as_json: bool) -> Outcome {
    let progress = trainer.progress();
    let (first_loss, last_loss) = (progress.losses.first(), progress.losses.last());
    if as_json {
        return output::json_line(&json!({
            "event": "done", "adapter": files.output, "loss_curve": files.loss_curve, "steps": progress.step, "tokens": progress.tokens,
            "first_loss": first_loss, "last_loss": last_loss,
            "best_validation_loss": progress.best_validation_loss,
            "dataset": output::value(data)?,
            "encoding": output::value(trainer.encoding())?,
            "peak_memory_bytes": device::peak_memory(),
        }));
    }
    let loss = |loss: Option<&f64>| loss.map_or_else(|| "none".into(), |l| format!("{l:.4}"));
    output::facts(&[
        ("adapter", files.output.display().to_string()),
        ("steps", format!("{} of {}", progress.step, trainer.total_steps())),
        ("loss", format!("{} at first, {} at last", loss(first_loss), loss(last_loss))),
        ("validation", loss(progress.best_validation_loss.as_ref())),
        (
            "loss curve",
            files.loss_curve.as_ref().map_or("none".into(), |p| p.display().to_string()),
        ),
        ("tokens", output::count(progress.tokens)),
        ("peak memory", bytes(device::peak_memory())),
    ])
}
