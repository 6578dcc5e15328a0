//! `nestling plan`: the memory that a model and a session take, before they take it.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use clap::{ArgMatches, Command};
use nestling::Code;
use nestling::options::{ModelOptions, SessionOptions};
use nestling::plan::Plan;

use crate::failure::{Failure, Outcome};
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes};
use crate::{flags, load};

pub fn command() -> Command {
    let command = Command::new("plan")
        .about("Say how much memory a model and a session take, and whether that fits")
        .after_help(
            "Examples:\n  nestling plan -m MODEL.gguf\n  \
             nestling plan -m MODEL.gguf --n-ctx 32768 --kv-type q8_0\n  \
             nestling plan -m MODEL.gguf --json\n\nExit status: 0 whether it fits or not.",
        )
        .arg(flags::model())
        .arg(flags::json("Print one JSON object"));
    flags::add::<SessionOptions>(flags::add::<ModelOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    // Without weights: the answer may be that they do not fit.
    let model_options = ModelOptions { vocab_only: true, ..flags::read(matches)? };
    let session_options: SessionOptions = flags::read(matches)?;
    interrupt::install(Idle::End)?;
    let work = Work::begin();
    let loaded = load::model(&flags::model_path(matches), &model_options, work.token())?;
    let plan = loaded.model.plan(&session_options)?;
    if matches.get_flag("json") {
        let value = serde_json::to_value(&plan).map_err(|e| {
            Failure::new(Code::Internal, format!("writing JSON: {e}; please report it"))
        })?;
        return output::json(&value);
    }
    print(&plan)
}

fn print(plan: &Plan) -> Outcome {
    output::facts(&[
        ("context length", format!("{} tokens", plan.n_ctx)),
        (
            "weights",
            format!(
                "{} ({} of it mapped from the file)",
                bytes(plan.weights),
                bytes(plan.weights_mapped)
            ),
        ),
        ("KV cache", bytes(plan.kv_cache)),
        ("compute", bytes(plan.compute)),
        ("total", bytes(plan.total)),
    ])?;
    output::stream("\n")?;
    let rows: Vec<_> =
        plan.devices.iter().map(|d| [d.device.clone(), bytes(d.needed), bytes(d.free)]).collect();
    output::table(["device", "needed", "free"], &rows)?;
    let (colour, verdict) = if plan.fits {
        (AnsiColor::Green, "fits".to_owned())
    } else {
        (AnsiColor::Red, format!("does not fit: {}", plan.advice))
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    Ok(writeln!(anstream::stdout(), "\n{style}{verdict}{style:#}")?)
}
