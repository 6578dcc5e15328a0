//! The program as a user meets it: what it prints, where, and with which exit status.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use std::path::PathBuf;

use child::{Running, command, failure, json, run, run_with, stdout, text};
use serde_json::Value as Json;
use support::{Family, Tiny, smollm2};

/// One thread: on a busy machine, two wait for each other at every step.
const SHORT: [&str; 6] = ["--max-tokens", "12", "--temperature", "0", "--n-threads", "1"];

/// A tiny model in a folder of its own.
fn tiny() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(folder.path());
    (folder, path)
}

fn generate(model: &str, more: &[&str]) -> Vec<String> {
    ["generate", "-m", model].iter().chain(&SHORT).chain(more).map(ToString::to_string).collect()
}

fn args(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[test]
fn generate_is_the_same_from_flag_argument_and_standard_input() {
    let model = smollm2();
    let model = text(&model);
    let flag = run(&args(&generate(model, &["-p", "The capital of France is"])));
    assert!(stdout(&flag).contains("Paris"), "{flag:?}");
    assert!(flag.stderr.is_empty(), "no remarks where standard error is no terminal: {flag:?}");
    let argument = run(&args(&generate(model, &["The capital of France is"])));
    let input = run_with(&args(&generate(model, &[])), b"The capital of France is\n");
    assert_eq!((&flag.stdout, &flag.stdout), (&argument.stdout, &input.stdout));
}

#[test]
fn json_is_one_object_per_line_and_ends_with_the_whole() {
    let model = smollm2();
    let list = generate(
        text(&model),
        &["--chat", "--system", "Be brief.", "-p", "Hi", "--json", "--top-logprobs", "2"],
    );
    let out = stdout(&run(&args(&list)));
    let events: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (done, pieces) = events.split_last().unwrap();
    let whole: String = pieces.iter().map(|p| p["text"].as_str().unwrap()).collect();
    assert_eq!(done["event"], "done");
    assert_eq!(done["text"], whole);
    assert!(["eos", "max_tokens"].contains(&done["end_reason"].as_str().unwrap()));
    for piece in pieces.iter().filter(|p| p["token"] != -1) {
        assert_eq!(piece["event"], "piece");
        let top = piece["top"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        // Greedy: the token is the likeliest.
        assert_eq!((&top[0]["token"], &top[0]["logprob"]), (&piece["token"], &piece["logprob"]));
        assert!(top[0]["logprob"].as_f64() >= top[1]["logprob"].as_f64());
        assert!(top[1]["text"].is_string());
    }
    let stats = &done["stats"];
    assert!(stats["prompt_tokens"].as_u64().unwrap() > 10);
    assert_eq!(stats["reused_tokens"], 0);
    for rate in ["prompt_rate", "generation_rate", "first_token_seconds", "load_seconds"] {
        assert!(stats[rate].as_f64().unwrap() > 0.0, "{rate}: {stats}");
    }
    assert!(stats["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn a_seed_repeats_and_lists_and_flags_reach_the_options() {
    let (_folder, model) = tiny();
    let of = |more: &[&str]| {
        let mut list = vec!["generate", "-m", text(&model), "-p", "hello", "--max-tokens", "20"];
        list.extend_from_slice(&["--ignore-eos", "--use-mmap=false", "--n-ctx", "64", "--json"]);
        list.extend_from_slice(more);
        let out = stdout(&run(&list));
        let done: Json = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        done
    };
    let first = of(&["--seed", "7"]);
    assert_eq!(first["text"], of(&["--seed", "7"])["text"]);
    assert_eq!(first["text"], of(&["--seed", "1", "--seed", "7"])["text"]);
    assert_ne!(first["text"], of(&["--seed", "8"])["text"]);
    assert_eq!(first["stats"]["n_ctx"], 64);
    assert_eq!(first["stats"]["generated_tokens"], 20);
    // A random model that may stop at any byte stops at once.
    let mut every = vec!["--seed".to_owned(), "7".to_owned()];
    every.extend((0..256).flat_map(|id| ["--stop-tokens".to_owned(), id.to_string()]));
    let stopped = of(&args(&every));
    assert_eq!(stopped["end_reason"], "stop_token");
    assert!(stopped["stats"]["generated_tokens"].as_u64() < Some(20));
}

#[test]
fn a_saved_state_is_reused() {
    let (folder, model) = tiny();
    let state = folder.path().join("state");
    let base = ["generate", "-m", text(&model), "-p", "hello world", "--json", "--ignore-eos"];
    let of = |more: &[&str]| {
        let out = stdout(&run(&[&base[..], &SHORT, more].concat()));
        let done: Json = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        done
    };
    let first = of(&["--save-state", text(&state)]);
    assert_eq!(first["stats"]["reused_tokens"], 0);
    let second = of(&["--load-state", text(&state)]);
    assert!(second["stats"]["reused_tokens"].as_u64().unwrap() > 0, "{second}");
    assert_eq!(second["text"], first["text"]);
}

#[test]
fn bad_input_ends_with_status_1_and_says_why_on_standard_error() {
    let (folder, model) = tiny();
    let model = text(&model);
    let wrong = folder.path().join("wrong.gguf");
    std::fs::write(&wrong, b"not a model").unwrap();
    let state = folder.path().join("no/state");
    for (list, expected) in [
        (vec!["generate", "-m", "/nonexistent/m.gguf", "-p", "x"], "[NotFound]"),
        (vec!["inspect", text(&wrong)], "[Gguf"),
        (vec!["inspect", text(folder.path())], "[NotAFile]"),
        (vec!["generate", "-m", model, "-p", ""], "[EmptyPrompt]"),
        (vec!["generate", "-m", model, "-p", "x", "--temperature", "-1"], "temperature"),
        (vec!["generate", "-m", model, "-p", "x", "--n-ctx", "big"], "\"auto\" or an integer"),
        (vec!["generate", "-m", model, "-p", "x", "--kv-type", "q3"], "f16"),
        (vec!["generate", "-m", model, "-p", "x", "--kv-typ", "f16"], "--kv-type"),
        (
            vec![
                "generate",
                "-m",
                model,
                "-p",
                "x",
                "--max-tokens",
                "4",
                "--save-state",
                text(&state),
            ],
            "state",
        ),
        (vec!["generate", "-p", "x"], "--model"),
        (vec!["generate", "-m", model, "-p", "x", "y"], "cannot be used with"),
        (vec!["generate", "-m", model, "-p", "x", "--device", "quantum0"], "[DeviceNotFound]"),
        (vec!["generate", "-m", model, "--chat", "-p", "x", "--chat-template", "chatlm"], "chatml"),
        (vec!["tokenize", "-m", model, "--decode", "1,x"], "\"x\" is no token id"),
        (vec!["tokenize", "-m", model, "--decode", "-5"], "[InvalidToken]"),
        (vec!["completions", "tcsh-ish"], "bash"),
        (vec!["frobnicate"], "frobnicate"),
        (vec![], "no subcommand"),
    ] {
        let output = run(&list);
        let error = failure(&output);
        assert!(error.contains(expected), "{list:?}: {error}");
        assert!(!error.contains("panicked"), "{list:?}: {error}");
    }
    let bad_text = run_with(&["tokenize", "-m", model], b"ab\xff");
    assert!(failure(&bad_text).contains("not UTF-8 at byte 2"));
}

#[test]
fn tokenize_goes_there_and_back() {
    let model = smollm2();
    let line = "Grüße, 世界 👋 <|im_start|>";
    let there = json(&run(&["tokenize", "-m", text(&model), "--json", line]));
    let ids: Vec<_> = there["tokens"].as_array().unwrap().iter().map(Json::to_string).collect();
    assert_eq!(there["pieces"].as_array().unwrap().len(), ids.len());
    let ids = ids.join(",");
    let back = run(&["tokenize", "-m", text(&model), "--decode", &ids]);
    assert_eq!(stdout(&back), format!("{line}\n"));
    let count = stdout(&run(&["tokenize", "-m", text(&model), "--count", line]));
    assert_eq!(count.trim(), there["count"].to_string());
    // Only when asked is the text of a special token that token.
    let parsed = json(&run(&["tokenize", "-m", text(&model), "--json", "--parse-special", line]));
    assert!(parsed["count"].as_u64() < there["count"].as_u64());
    assert!(stdout(&run(&["tokenize", "-m", text(&model), "hello"])).contains("\"hello\""));
}

#[test]
fn inspect_says_what_the_file_holds() {
    let path = smollm2();
    let all = json(&run(&["inspect", text(&path), "--json", "--metadata", "--tensors"]));
    assert_eq!(all["architecture"], "llama");
    assert_eq!(all["n_ctx_train"], 8192);
    assert_eq!(all["tokenizer"]["n_vocab"], 49152);
    assert_eq!(all["file_bytes"], std::fs::metadata(&path).unwrap().len());
    assert_eq!(all["metadata"]["general.architecture"], "llama");
    assert_eq!(all["metadata"]["tokenizer.ggml.tokens"].as_array().unwrap().len(), 49152);
    let tensors = all["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|t| t["name"] == "token_embd.weight" && t["dims"][1] == 49152));
    let template = stdout(&run(&["inspect", text(&path), "--template"]));
    assert_eq!(all["chat_template"], template);
    let table = stdout(&run(&["inspect", text(&path), "--tensors"]));
    assert!(table.contains("134.5 M") && table.contains("blk.0.attn_q.weight"), "{table}");
    assert!(!table.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn plan_says_whether_it_fits_and_what_to_change() {
    let (_folder, model) = tiny();
    let small = json(&run(&["plan", "-m", text(&model), "--n-ctx", "64", "--json"]));
    assert_eq!((&small["fits"], &small["n_ctx"]), (&true.into(), &64.into()));
    let parts = ["weights", "kv_cache", "compute"].map(|key| small[key].as_u64().unwrap());
    assert_eq!(small["total"], parts.iter().sum::<u64>());
    // Twice of what this machine has, whatever it has.
    let model = smollm2();
    let plan = ["plan", "-m", text(&model), "--kv-type", "f32", "--n-ctx"];
    let one = json(&run(&[&plan[..], &["1024", "--json"]].concat()));
    let per_token = one["kv_cache"].as_u64().unwrap() / 1024;
    let n_ctx = 2 * one["host"]["total"].as_u64().unwrap() / per_token;
    let said = stdout(&run(&[&plan[..], &[&n_ctx.to_string()]].concat()));
    assert!(said.contains("does not fit: ") && said.contains("n_ctx"), "{said}");
}

#[test]
fn options_lists_every_key_and_generate_has_every_flag() {
    let all = json(&run(&["options", "--json"]));
    let (printed, help) = (stdout(&run(&["options"])), stdout(&run(&["generate", "--help"])));
    for (kind, specs) in nestling::options::reference() {
        let listed = all[kind].as_array().unwrap();
        assert_eq!(listed.len(), specs.len());
        for (row, spec) in listed.iter().zip(&specs) {
            assert_eq!(
                (&row["key"], &row["default"]),
                (&spec.key.into(), &spec.default.clone().into())
            );
            let flag = row["flag"].as_str().unwrap();
            assert!(printed.contains(&format!("  {flag}  {}\n", spec.key)), "{flag}");
            assert!(
                help.contains(flag) || !["model", "session", "generation"].contains(&kind),
                "{flag}"
            );
        }
    }
    assert!(!stdout(&run(&["options", "session"])).contains("--temperature"));
}

#[test]
fn help_has_examples_and_every_shell_its_completions() {
    let names = "chat generate finetune eval adapter merge quantize inspect tokenize seal unseal keygen plan devices options \
                 bench completions";
    for name in names.split(' ') {
        let help = stdout(&run(&[name, "--help"]));
        assert!(help.contains(&format!("nestling {name}")) && help.contains("Examples:"), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(script.contains("generate") && script.contains("max-tokens"), "{shell}");
    }
    let version = stdout(&run(&["--version"]));
    assert!(
        version.contains(env!("CARGO_PKG_VERSION")) && version.contains("llama.cpp"),
        "{version}"
    );
    let devices = json(&run(&["devices", "--json"]));
    assert!(devices["devices"].as_array().unwrap().iter().any(|d| d["kind"] == "cpu"));
}

#[test]
fn bench_measures_both_rates() {
    let (_folder, model) = tiny();
    let list =
        ["bench", "-m", text(&model), "--n-prompt", "16", "--n-gen", "8", "--repetitions", "3"];
    let out = json(&run(&[&list[..], &["--json"]].concat()));
    for part in ["prompt", "generation"] {
        let rates = out[part]["rates"].as_array().unwrap();
        assert_eq!(rates.len(), 3);
        assert_eq!(out[part]["median"], rates[1]);
        assert!(rates.iter().all(|r| r.as_f64().unwrap() > 0.0));
    }
    assert!(stdout(&run(&list)).contains("median"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let (_folder, model) = tiny();
    for list in [
        vec!["options"],
        vec!["completions", "zsh"],
        vec!["inspect", text(&model), "--metadata"],
        vec!["generate", "-m", text(&model), "-p", "hello", "--ignore-eos", "--max-tokens", "200"],
    ] {
        let output = Running::start(&list).hang_up();
        assert_eq!(output.status.code(), Some(0), "{list:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{list:?}: {output:?}");
    }
}

#[cfg(unix)]
mod interrupted {
    use super::*;

    /// Goes on until it is stopped.
    const ENDLESS: [&str; 5] = ["--ignore-eos", "--context-full", "shift", "--n-threads", "1"];

    #[test]
    fn generate_ends_with_an_error() {
        let model = smollm2();
        let list = [&["generate", "-m", text(&model), "-p", "One, two,"][..], &ENDLESS].concat();
        let mut running = Running::start(&list);
        running.read(20);
        running.interrupt();
        assert!(failure(&running.finish()).contains("cancelled"));
    }

    #[test]
    fn chat_stops_the_answer_and_goes_on() {
        let model = smollm2();
        // The first answer is part of the second prompt: there is room for it even where the interrupt comes late.
        let mut chat = Running::start(&[&["chat", "-m", text(&model)][..], &ENDLESS].concat());
        chat.write("Count for ever.");
        chat.read(20);
        chat.interrupt();
        chat.write("/system After the first");
        chat.write("/system");
        chat.read_until("\nAfter the first\n");
        chat.write("And now backwards.");
        chat.read(20);
        chat.interrupt();
        chat.write("/stats");
        assert!(chat.read_until("thread(s)\n").contains("tokens/s"));
        let output = chat.finish();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{error}");
        assert_eq!(error.matches("(stopped)").count(), 2, "{error}");
    }
}

#[test]
fn chat_over_a_pipe_answers_remembers_saves_and_loads() {
    let model = smollm2();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("talk.json");
    let chat = [&["chat", "-m", text(&model)][..], &SHORT].concat();
    let input = format!(
        "The capital of France is\\\nwhat?\n/nonsense\n\"\"\"\nAnd of\nItaly?\n\"\"\"\n/save {}\n/quit\n",
        saved.display()
    );
    let output = run_with(&chat, input.as_bytes());
    let answer = stdout(&output);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("there is no command /nonsense"), "{error}");

    let talk: Json = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&saved).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a conversation is its owner's");
    }
    let roles: Vec<_> =
        talk.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    assert_eq!(talk[0]["content"], "The capital of France is\nwhat?");
    assert_eq!(talk[2]["content"], "And of\nItaly?");
    for said in [&talk[1], &talk[3]] {
        assert!(answer.contains(said["content"].as_str().unwrap()), "{answer}\n{talk}");
    }

    let input = format!("/load {}\nAnd of Spain?\n/stats\n", saved.display());
    let output = run_with(&chat, input.as_bytes());
    let line = stdout(&output).lines().find(|l| l.starts_with("load ")).map(str::to_owned).unwrap();
    let tokens = line.split("prompt ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    // The whole loaded conversation is the prompt, not only the last line.
    assert!(tokens.parse::<u32>().unwrap() > 60, "{line}");

    let missing = run_with(&chat, b"/load /nonexistent/talk.json\n/save\n");
    stdout(&missing);
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(error.contains("[NotFound]") && error.contains("/save FILE"), "{error}");
}

#[test]
fn a_model_without_a_template_cannot_chat_until_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut tiny = Tiny::new(Family::Llama);
    tiny.chat_template = None;
    let path = tiny.write(folder.path());
    let chat = ["chat", "-m", text(&path), "--max-tokens", "4"];
    assert!(failure(&run(&chat)).contains("[NoTemplate]"));
    let named = command(&chat).args(["--chat-template", "chatml"]).output().unwrap();
    stdout(&named);
}
