//! `--version`: this program, its engine, and how both were built.

use nestling::build_info;
use serde_json::Value as Json;

use crate::failure::Outcome;
use crate::output;

pub fn print() -> Outcome {
    // It is made by the library's JSON writer; null would only shorten the answer.
    let info: Json = serde_json::from_str(&build_info::build_info()).unwrap_or_default();
    let text = |key: &str| info.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let on: Vec<_> = info
        .get("features")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, on)| on.as_bool() == Some(true))
        .map(|(name, _)| name.as_str())
        .collect();
    let features = if on.is_empty() { "cpu".to_owned() } else { format!("cpu {}", on.join(" ")) };
    output::stream(&format!(
        "nestling {}\nengine   {}\nfeatures {features}\nsystem   {}\ntarget   {}\n",
        text("version"),
        text("engine"),
        text("system"),
        text("target"),
    ))
}
