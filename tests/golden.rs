//! The numbers of an independent implementation (tests/golden/README.md): tokens, rendered conversations, greedy
//! continuations and logits of the real models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "support/dequantize.rs"]
mod dequantize;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nestling::cancel::CancelToken;
use nestling::chat::{Messages, RenderRequest, Template};
use nestling::model::Model;
use nestling::options::{
    Accel, Auto, FlashAttn, GenerationOptions, KvType, ModelOptions, SamplingOptions,
    SessionOptions,
};
use nestling::session::{Prompt, Session};
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value as Json;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_json(name: &str) -> Json {
    serde_json::from_str(&fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn ids(value: &Json) -> Vec<i32> {
    value.as_array().unwrap().iter().map(|id| id.as_i64().unwrap() as i32).collect()
}

/// With the engine alone: our own kernels may round to 16 bits.
fn open(path: PathBuf, vocab_only: bool) -> Model {
    let options = ModelOptions {
        vocab_only,
        device: "cpu".into(),
        accel: Accel::Off,
        ..ModelOptions::default()
    };
    Model::open(path, &options).unwrap()
}

/// The ids of every line, and of the whole text; `space` is the character that the vocabulary takes for a space.
fn check_tokens(model: &Model, name: &str, space: char) {
    let text = String::from_utf8(fs::read(golden("text.txt")).unwrap()).unwrap();
    let golden = read_json("tokens.json");
    let tokenizer = Tokenizer::new(model);
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
    assert_eq!((lines.len(), golden[name].as_array().unwrap().len()), (200, 200));
    let mut differences = Vec::new();
    let whole = (text.as_str(), &golden[&format!("{name}_whole")]);
    let golden_lines = golden[name].as_array().unwrap();
    for (line, theirs) in lines.iter().copied().zip(golden_lines).chain([whole]) {
        let (ours, theirs) =
            (tokenizer.encode(line, EncodeOptions::default()).unwrap(), ids(theirs));
        if ours != theirs {
            let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            let (ours, theirs) = (&ours[at..], &theirs[at..]);
            let first = |tokens: &[i32]| format!("{:?}", &tokens[..tokens.len().min(12)]);
            let start: String = line.chars().take(60).collect();
            differences.push(format!(
                "{start:?} from {at}\n  {}\n  {}",
                first(ours),
                first(theirs)
            ));
        }
        let decoded = tokenizer.decode(&ours, true).unwrap();
        assert_eq!(decoded, line.replace(space, " "), "decoded");
    }
    assert!(differences.is_empty(), "{} texts:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn smollm2_tokens_are_the_reference_s() {
    check_tokens(&open(support::smollm2(), true), "smollm2", ' ');
}

#[test]
fn gemma3_tokens_are_the_reference_s() {
    check_tokens(&open(support::gemma3(), true), "gemma3", '▁');
}

#[test]
fn the_model_s_own_template_renders_as_the_reference_does() {
    let model = open(support::smollm2(), true);
    let template = Template::new(model.info().chat_template.as_deref().unwrap()).unwrap();
    let inputs = read_json("chat/cases.json");
    let golden = read_json("chat/gguf-SmolLM2-135M-Instruct.Q4_1.json");
    for case in golden["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let input = &inputs["cases"][name];
        let request = RenderRequest {
            messages: Messages::from_value(input["messages"].clone()).unwrap(),
            tools: input.get("tools").cloned(),
            documents: input.get("documents").cloned(),
            variables: input["variables"].as_object().cloned().unwrap_or_default(),
            add_generation_prompt: input["add_generation_prompt"] == true,
            ..RenderRequest::default()
        };
        match case["text"].as_str() {
            Some(text) => assert_eq!(template.render(&request).unwrap(), text, "{name}"),
            None => assert!(template.render(&request).is_err(), "{name}"),
        }
    }
}

/// Exact arithmetic: 32-bit weights, cache and attention.
fn exact(model: &Model) -> Session {
    let options = SessionOptions {
        n_ctx: Auto::Value(512),
        // The engine waits busily for all its threads: one is the fastest beside other tests.
        n_threads: Auto::Value(1),
        kv_type: KvType::F32,
        flash_attn: FlashAttn::Off,
        ..SessionOptions::default()
    };
    Session::new(model, &options).unwrap()
}

fn greedy() -> GenerationOptions {
    let sampling = SamplingOptions { temperature: 0.0, ..SamplingOptions::default() };
    GenerationOptions {
        sampling,
        max_tokens: Auto::Value(32),
        ignore_eos: true,
        ..GenerationOptions::default()
    }
}

/// The prompt's tokens, the five largest logits after it, and 32 greedy tokens.
fn check_continuation(session: &mut Session, prompt: impl Into<Prompt>, golden: &Json) {
    let prompt = prompt.into();
    let tokens = session.encode_prompt(&prompt, &greedy()).unwrap();
    assert_eq!(tokens, ids(&golden["prompt_ids"]), "{prompt:?}");

    session.evaluate(&tokens, &CancelToken::new()).unwrap();
    let logits = session.logits().unwrap();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    for (rank, (id, theirs)) in ids(&golden["top5"]["ids"])
        .iter()
        .zip(golden["top5"]["logits"].as_array().unwrap())
        .enumerate()
    {
        let (ours, theirs) = (f64::from(logits[*id as usize]), theirs.as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-2, "{prompt:?}, token {id}: {ours} and {theirs}");
        assert_eq!(order[rank], *id as usize, "{prompt:?}: the order of the best five");
    }

    session.reset();
    let pieces = session.generate(prompt.clone(), &greedy()).unwrap();
    let continued: Vec<i32> =
        pieces.map(|piece| piece.unwrap().token).filter(|id| *id >= 0).collect();
    assert_eq!(continued, ids(&golden["continuation"]), "{prompt:?}");
}

#[test]
fn smollm2_in_32_bit_floats_continues_as_the_reference_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f32.gguf");
    dequantize::to_f32(&support::smollm2(), &path);
    let model = open(path, false);
    let golden = read_json("smollm2.json");
    let mut session = exact(&model);
    let prompts = golden["prompts"].as_array().unwrap();
    for (prompt, result) in prompts.iter().zip(golden["results"].as_array().unwrap()) {
        session.reset();
        check_continuation(&mut session, prompt.as_str().unwrap(), result);
    }
    let messages = Messages::from_value(golden["chat"].clone()).unwrap();
    let text = session.render(&messages, &greedy()).unwrap();
    assert_eq!(text, golden["chat_text"].as_str().unwrap());
    session.reset();
    check_continuation(&mut session, messages, &golden["chat_result"]);
}
