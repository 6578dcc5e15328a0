//! The numbers of one answer.

use std::io::Write as _;

use nestling::dataset::{DatasetReport, EncodingReport};
use nestling::device;
use nestling::session::SessionStats;
use serde_json::{Map, Value as Json, json};

use crate::output::{DIM, bytes};

/// Everything measured, for programs. Seconds, tokens per second, bytes.
pub fn to_json(stats: &SessionStats, load_seconds: f64) -> Json {
    let mut object = match serde_json::to_value(stats) {
        Ok(Json::Object(object)) => object,
        _ => Map::new(),
    };
    let evaluated = stats.prompt_tokens.saturating_sub(stats.reused_tokens);
    object.insert("evaluated_tokens".into(), json!(evaluated));
    object.insert("prompt_rate".into(), json!(stats.prompt_rate()));
    object.insert("generation_rate".into(), json!(stats.generation_rate()));
    object.insert("load_seconds".into(), json!(load_seconds));
    object.insert("peak_memory_bytes".into(), json!(device::peak_memory()));
    Json::Object(object)
}

/// The same in one line, for people.
pub fn line(stats: &SessionStats, load_seconds: f64) -> String {
    let reused = match stats.reused_tokens {
        0 => String::new(),
        n => format!(" ({n} reused)"),
    };
    format!(
        "load {load_seconds:.2} s | prompt {} tokens{reused}, {:.1} tokens/s | first token {:.2} s | \
         answer {} tokens, {:.1} tokens/s | peak memory {}",
        stats.prompt_tokens,
        stats.prompt_rate(),
        stats.first_token_seconds,
        stats.generated_tokens,
        stats.generation_rate(),
        bytes(device::peak_memory()),
    )
}

/// What reading and cleaning left out or changed, and why; nothing if that is nothing.
pub fn dataset(what: &str, report: &DatasetReport) {
    let cleaning = serde_json::to_value(&report.cleaning).unwrap_or_default();
    let steps = cleaning.as_object().into_iter().flatten();
    let mut counts = vec![("bad lines", report.bad_lines)];
    counts.extend(steps.map(|(step, count)| (step.as_str(), count.as_u64().unwrap_or(0))));
    if let Some(counts) = listed(&counts) {
        remark(&format!("{what}: {} examples of {} rows; {counts}", report.examples, report.rows));
    }
    for bad in &report.first_bad {
        remark(&format!("  {}, line {}: {}", bad.file, bad.line, bad.reason));
    }
}

/// What became of examples that do not fit as they are; nothing if all do.
pub fn encoding(what: &str, report: &EncodingReport) {
    let counts = [
        ("cut at the end of a row", report.truncated),
        ("dropped as too long", report.too_long),
        ("dropped with nothing to learn in a row", report.nothing_to_learn),
        ("dropped as bad conversations", report.bad),
    ];
    if let Some(counts) = listed(&counts) {
        remark(&format!("{what}: {} examples became tokens; {counts}", report.encoded));
    }
}

/// Where there is something to say: `bad lines 2, trim 3`.
fn listed(counts: &[(&str, u64)]) -> Option<String> {
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let some: Vec<_> = some.map(|(what, count)| format!("{what} {count}")).collect();
    (!some.is_empty()).then(|| some.join(", "))
}

/// A remark on standard error, beside the answer on standard output.
pub fn remark(text: &str) {
    // It is only a remark: a closed standard error is no reason to stop.
    writeln!(anstream::stderr(), "{DIM}{text}{DIM:#}").ok();
}
