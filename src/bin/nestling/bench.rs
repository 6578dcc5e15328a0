//! `nestling bench`: how fast a model reads a prompt and writes an answer on this machine.

use clap::{Arg, ArgMatches, Command, value_parser};
use nestling::cancel::CancelToken;
use nestling::device;
use nestling::options::{Auto, GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::Session;
use serde_json::{Value as Json, json};

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::{flags, load, output};

pub fn command() -> Command {
    let number = |id: &'static str, default: &'static str, range: std::ops::RangeInclusive<i64>| {
        Arg::new(id)
            .long(id)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(i64).range(range))
    };
    let command = Command::new("bench")
        .about("Measure the prompt and the generation rate")
        .after_help(
            "Examples:\n  nestling bench -m MODEL.gguf\n  \
             nestling bench -m MODEL.gguf --n-prompt 2048 --n-gen 32 --repetitions 3 --n-threads 4\n\n\
             One run before the measured ones warms up and is not counted.",
        )
        .arg(flags::model())
        .arg(number("n-prompt", "512", 1..=1_000_000).help("Tokens of the prompt"))
        .arg(number("n-gen", "128", 2..=1_000_000).help("Tokens of the answer"))
        .arg(number("repetitions", "5", 1..=1_000).help("Measured runs"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<SessionOptions>(flags::add::<ModelOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let number = |id: &str| matches.get_one::<i64>(id).copied().unwrap_or(1);
    let (n_prompt, n_gen, repetitions) =
        (number("n-prompt"), number("n-gen"), number("repetitions"));
    let model_options: ModelOptions = flags::read(matches)?;
    let mut session_options: SessionOptions = flags::read(matches)?;
    if session_options.n_ctx == Auto::Auto {
        session_options.n_ctx = Auto::Value(n_prompt + n_gen + 8);
    }
    interrupt::install(Idle::End)?;
    let work = Work::begin();
    let loaded = load::model(&flags::model_path(matches), &model_options, work.token())?;
    let mut session = Session::new(&loaded.model, &session_options)?;

    let (mut prompt, mut generation) = (Vec::new(), Vec::new());
    for run in 0..=repetitions {
        let (p, g) = once(&mut session, n_prompt, n_gen, work.token())?;
        if run > 0 {
            prompt.push(p);
            generation.push(g);
        }
    }
    let (prompt, generation) = (Rates::of(prompt), Rates::of(generation));
    let threads = session.stats().n_threads;
    if matches.get_flag("json") {
        return output::json(&json!({
            "prompt": prompt.to_json(n_prompt),
            "generation": generation.to_json(n_gen),
            "repetitions": repetitions,
            "n_threads": threads,
            "load_seconds": loaded.seconds,
            "peak_memory_bytes": device::peak_memory(),
        }));
    }
    let rows = [prompt.row("prompt", n_prompt), generation.row("generation", n_gen)];
    output::table(["tokens/s", "tokens", "median", "lowest", "highest", "spread"], &rows)?;
    output::stream(&format!(
        "\n{repetitions} run(s), {threads} thread(s), loaded in {:.2} s, peak memory {}\n",
        loaded.seconds,
        output::bytes(device::peak_memory())
    ))
}

/// One run on an empty session: the two rates, in tokens per second.
fn once(
    session: &mut Session,
    n_prompt: i64,
    n_gen: i64,
    cancel: CancelToken,
) -> Outcome<(f64, f64)> {
    session.reset();
    let mut options = GenerationOptions {
        max_tokens: Auto::Value(n_gen),
        ignore_eos: true,
        ..GenerationOptions::default()
    };
    options.sampling.temperature = 0.0;
    // The same tokens every time, spread over the vocabulary.
    let n_vocab = session.tokenizer().n_vocab().max(1) as i64;
    let tokens: Vec<i32> = (0..n_prompt).map(|i| (i * 7919 % n_vocab) as i32).collect();
    for piece in session.generate_with(tokens, &options, cancel)? {
        piece?;
    }
    let stats = session.stats();
    Ok((stats.prompt_rate(), stats.generation_rate()))
}

/// Rates in ascending order.
struct Rates(Vec<f64>);

impl Rates {
    fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        Self(rates)
    }

    fn median(&self) -> f64 {
        let (n, at) = (self.0.len(), |i: usize| self.0.get(i).copied().unwrap_or(0.0));
        if n % 2 == 1 { at(n / 2) } else { (at((n / 2).saturating_sub(1)) + at(n / 2)) / 2.0 }
    }

    fn lowest(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    fn highest(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// Between the lowest and the highest, as a part of the median.
    fn spread(&self) -> f64 {
        let median = self.median();
        if median > 0.0 { (self.highest() - self.lowest()) / median } else { 0.0 }
    }

    fn to_json(&self, tokens: i64) -> Json {
        json!({
            "tokens": tokens, "median": self.median(), "lowest": self.lowest(),
            "highest": self.highest(), "spread": self.spread(), "rates": self.0,
        })
    }

    fn row(&self, name: &str, tokens: i64) -> [String; 6] {
        [
            name.to_owned(),
            tokens.to_string(),
            format!("{:.1}", self.median()),
            format!("{:.1}", self.lowest()),
            format!("{:.1}", self.highest()),
            format!("{:.1} %", self.spread() * 100.0),
        ]
    }
}
