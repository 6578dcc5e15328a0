//! The numbers of one answer.

use std::io::Write as _;

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

/// A remark on standard error, beside the answer on standard output.
pub fn remark(text: &str) {
    // It is only a remark: a closed standard error is no reason to stop.
    writeln!(anstream::stderr(), "{DIM}{text}{DIM:#}").ok();
}
