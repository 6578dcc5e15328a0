//! The calls of datasets, training and evaluation.

use std::fs;
use std::path::Path;

use nestling::Result;
use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Example};
use nestling::eval::{Evaluation, evaluate};
use nestling::job::Monitor;
use nestling::options::{DatasetOptions, EvaluationOptions, TrainerOptions};
use nestling::train::{TrainPlan, Trainer};
use serde_json::Value;

use super::{Rust, options, text};

const JSONL: &str = "{\"text\": \"  the cat sat \"}\n{\"prompt\": \"red\", \"completion\": \" green\"}\n\
    {\"text\": \"good\", \"label\": \"yes\"}\n{\"text\": \"bad\", \"label\": \"no\"}\n{\"text\": \"the cat sat\"}\n\
    {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Ho\"}]}\n";

/// The files that the cases name.
pub fn prepare(directory: &Path) {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("data.jsonl", JSONL);
    write("bad.jsonl", &JSONL.replace("\"good\"", "3"));
    write("list.jsonl", "[\n{\"text\": \"a\"}\n]\n");
    write("data.csv", "text,label\ngood,yes\nbad,no\n");
    write("data.txt", "one\ntwo\n\nthree\n");
    write("empty.jsonl", "");
}

/// What the line of a case holds after its call.
pub fn fields(call: &str, case: &Value) -> Vec<String> {
    let shown = |key: &str| case[key].to_string();
    match call {
        "dataset" => vec![text(case, "path")],
        "examples" => vec![text(case, "rows")],
        "labels" | "plan" | "evaluate" => vec![],
        "split" => vec![shown("fraction"), shown("seed")],
        "fold" => vec![shown("k"), shown("index"), shown("seed")],
        "train" => vec![shown("steps")],
        other => panic!("no call {other}"),
    }
}

/// What a case gives through the Rust API.
pub fn call(rust: &mut Rust<'_>, call: &str, case: &Value) -> Result<String> {
    let number = |key: &str| case[key].as_u64().unwrap();
    match call {
        "dataset" => {
            let sources = [rust.directory.join(text(case, "path"))];
            let data = Dataset::open(sources, &options::<DatasetOptions>(case)?)?;
            Ok(kept(rust, data))
        }
        "examples" => {
            let rows = text(case, "rows");
            let examples = rows.lines().map(Example::from_json).collect::<Result<Vec<_>>>()?;
            let data = Dataset::from_examples(examples, &options::<DatasetOptions>(case)?)?;
            Ok(kept(rust, data))
        }
        "labels" => Ok(rust.data().labels().iter().fold("labels".into(), |out, l| out + " " + l)),
        "split" => {
            let parts = rust.data().split(case["fraction"].as_f64().unwrap(), number("seed"))?;
            Ok(shown(&parts))
        }
        "fold" => {
            let (k, index) = (number("k") as usize, number("index") as usize);
            Ok(shown(&rust.data().fold(k, index, number("seed"))?))
        }
        "plan" => {
            let options: TrainerOptions = options(case)?;
            let data = rust.data().clone();
            let plan = TrainPlan::new(rust.session().model(), &data, None, &options)?;
            let fits = u8::from(plan.fits);
            Ok(format!("fits {fits} n_ctx {} parameters {}", plan.n_ctx, plan.n_parameters))
        }
        "train" => train(rust, number("steps"), &options(case)?),
        "evaluate" => {
            let options: EvaluationOptions = options(case)?;
            let (data, model) = (rust.data().clone(), rust.session().model());
            Ok(measured(&evaluate(model, &[], &data, &options, &Monitor::default())?))
        }
        other => panic!("no call {other}"),
    }
}

fn train(rust: &mut Rust<'_>, steps: u64, options: &TrainerOptions) -> Result<String> {
    let data = rust.data().clone();
    let mut trainer = Trainer::new(rust.session().model(), &data, None, options)?;
    let mut out = String::new();
    for _ in 0..steps {
        let Some(step) = trainer.step(&CancelToken::new())? else {
            return Ok(out + "finished");
        };
        // One decimal is the same on every machine, with or without our kernels.
        out += &format!(
            "{}/{} epoch {} tokens {}/{} loss {:.1}; ",
            step.step, step.total_steps, step.epoch, step.loss_tokens, step.tokens, step.loss
        );
    }
    let adapter = trainer.adapter()?;
    let info = adapter.info();
    Ok(out + &format!("rank {} pairs {} scale {}", info.rank, info.n_pairs, info.scale))
}

impl Rust<'_> {
    fn data(&self) -> &Dataset {
        self.data.as_ref().expect("a case before makes the dataset")
    }
}

fn measured(found: &Evaluation) -> String {
    let labels = found.classification.as_ref();
    let labels = labels.map(|c| format!("{:.2} {:.2}", c.accuracy, c.macro_f1));
    format!(
        "loss {:.1} tokens {} examples {} labels {}",
        found.loss,
        found.tokens,
        found.examples,
        labels.unwrap_or("none".into())
    )
}

fn kept(rust: &mut Rust<'_>, data: Dataset) -> String {
    let report = data.report();
    let removed = report.cleaning.removed();
    let shown = format!(
        "{} of {} rows, {} bad, {removed} removed, {}",
        data.len(),
        report.rows,
        report.bad_lines,
        data.digest()
    );
    rust.data = Some(data);
    shown
}

fn shown((training, validation): &(Dataset, Dataset)) -> String {
    let part = |d: &Dataset| format!("{} {}", d.len(), d.digest());
    format!("{}, {}", part(training), part(validation))
}
