//! `nestling inspect`: what a model file says about itself, without loading it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::format::{Access, ModelFiles, Source};
use nestling::model::{Model, ModelInfo};
use nestling::{Code, Result};
use serde_json::{Map, Value as Json, json};

use crate::failure::{Failure, Outcome};
use crate::output::{self, bytes, count};
use crate::{flags, metadata};

pub fn command() -> Command {
    let flag = |id: &'static str, help: &'static str| {
        Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
    };
    let command = Command::new("inspect")
        .about("Check a model file and say what is in it")
        .after_help(
            "Examples:\n  nestling inspect MODEL.gguf\n  nestling inspect MODEL.gguf --tensors\n  \
             nestling inspect MODEL.gguf --template >template.jinja\n  \
             nestling inspect MODEL.gguf --json --metadata",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .required_unless_present("model"),
        )
        .arg(flags::model().required(false).conflicts_with("file"))
        .arg(flags::json("Print one JSON object"))
        .arg(flag("metadata", "All metadata; long arrays are cut"))
        .arg(flag("tensors", "All tensors with type, shape and size"))
        .arg(
            flag("template", "Only the chat template, as it is")
                .conflicts_with_all(["metadata", "tensors", "json"]),
        );
    flags::add_keys(command)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let given = ["file", "model"].iter().find_map(|id| matches.get_one::<PathBuf>(id));
    let path = given.cloned().unwrap_or_default();
    let keys = flags::keys(matches)?;
    let source = Source::path(path).with_keys(&keys.key, &keys.public_key);
    let info = Model::inspect(source.clone())?;
    let (with_metadata, with_tensors) = (matches.get_flag("metadata"), matches.get_flag("tensors"));
    if matches.get_flag("template") {
        return match &info.chat_template {
            Some(template) => output::stream(template),
            None => Err(Failure::new(
                Code::NoTemplate,
                "the model has no chat template; name a built-in one with --chat-template",
            )),
        };
    }
    // The summary needs no second look at the file.
    let files = (with_metadata || with_tensors)
        .then(|| ModelFiles::open(&source, Access::Read))
        .transpose()?;
    if matches.get_flag("json") {
        return output::json(&to_json(&info, files.as_ref(), with_metadata, with_tensors)?);
    }
    summary(&info)?;
    let Some(files) = &files else { return Ok(()) };
    if with_metadata {
        output::stream("\n")?;
        let rows: Vec<_> =
            files.gguf().kv().map(|(key, value)| [key.to_owned(), metadata::text(value)]).collect();
        output::table(["key", "value"], &rows)?;
    }
    if with_tensors {
        output::stream("\n")?;
        let rows: Vec<_> = files
            .tensors()
            .map(|t| {
                let dims: Vec<_> = t.dims.iter().map(u64::to_string).collect();
                [t.ggml_type.name().to_owned(), dims.join(" x "), bytes(t.n_bytes), t.name.clone()]
            })
            .collect();
        output::table(["type", "shape", "size", "tensor"], &rows)?;
    }
    Ok(())
}

fn summary(info: &ModelInfo) -> Outcome {
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    let mut rows = vec![
        ("name", or(&info.name, "-")),
        ("architecture", info.architecture.clone()),
        ("parameters", count(info.n_params)),
        ("licence", or(&info.license, "not stated")),
        ("context length", format!("{} tokens", info.n_ctx_train)),
        (
            "layers",
            format!(
                "{} of width {}, {} heads, {} key-value heads",
                info.n_layer, info.n_embd, info.n_head, info.n_head_kv
            ),
        ),
        (
            "tokenizer",
            format!(
                "{}, {}, {} tokens",
                or(&info.tokenizer.model, "none"),
                or(&info.tokenizer.pre, "no pre-tokenizer named"),
                info.tokenizer.n_vocab
            ),
        ),
        ("chat template", if info.chat_template.is_some() { "yes" } else { "no" }.to_owned()),
        (
            "weights",
            format!(
                "{} in {} file(s), {:.2} bits per weight",
                bytes(info.weight_bytes),
                info.n_files,
                info.bits_per_weight
            ),
        ),
        ("GGUF version", info.gguf_version.to_string()),
    ];
    if let Some(window) = info.n_swa {
        rows.push(("sliding window", format!("{window} tokens")));
    }
    for part in &info.parts {
        let types: Vec<_> = part.types.iter().map(|share| share.r#type).collect();
        let (n, size) = (count(part.params), bytes(part.bytes));
        let text = format!(
            "{} tensors, {n} parameters, {size}, {:.2} bits per weight ({})",
            part.tensors,
            part.bits_per_weight,
            types.join(", ")
        );
        rows.push((part.part, text));
    }
    for q in &info.quantization {
        let text =
            format!("{} tensors, {} parameters, {}", q.tensors, count(q.params), bytes(q.bytes));
        rows.push((&q.r#type, text));
    }
    for warning in &info.warnings {
        rows.push(("warning", warning.clone()));
    }
    output::facts(&rows)
}

fn to_json(
    info: &ModelInfo,
    files: Option<&ModelFiles>,
    with_metadata: bool,
    with_tensors: bool,
) -> Result<Json> {
    let mut object = serde_json::to_value(info).map_err(|e| {
        nestling::Error::new(Code::Internal, format!("writing JSON: {e}; please report it"))
    })?;
    let Some(files) = files else { return Ok(object) };
    if with_metadata {
        let all: Map<_, _> =
            files.gguf().kv().map(|(key, value)| (key.to_owned(), metadata::json(value))).collect();
        object["metadata"] = all.into();
    }
    if with_tensors {
        object["tensors"] = files
            .tensors()
            .map(|t| {
                json!({
                    "name": t.name, "type": t.ggml_type.name(), "dims": t.dims, "bytes": t.n_bytes,
                    "offset": t.offset,
                })
            })
            .collect();
    }
    Ok(object)
}
