//! Adapters between PEFT and GGUF against PEFT itself: the same adapter gives the same logits, in each direction, alone,
//! averaged, and merged. tests/golden/adapters.py made the numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nestling::adapter::{self, Adapter};
use nestling::format::Source;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{
    Accel, AdapterFormat, AdapterOptions, AverageMethod, FlashAttn, KvType, MergeOptions,
    ModelOptions, SessionOptions,
};
use nestling::session::Session;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::peft::{self, Lora};
use support::run::{ids, logits, max_difference, options};
use support::{Family, Tiny};

/// Which logits are in the golden file: every so many.
const STEP: usize = 7;

struct Case {
    family: Family,
    tiny: Tiny,
    model: Model,
    directory: tempfile::TempDir,
}

impl Case {
    fn new(family: Family) -> Self {
        let tiny = Tiny::new(family).seed(11);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("model.gguf"), tiny.bytes()).unwrap();
        let model = open(&directory.path().join("model.gguf"));
        let case = Self { family, tiny, model, directory };
        for (name, lora) in case.loras() {
            lora.write(&case.path(name), &case.tiny);
        }
        peft::gguf(&case.tiny, 2, 5.0, 24).write_file(case.path("ours.gguf")).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adapters that differ in rank, scale, type and targets.
    fn loras(&self) -> [(&'static str, Lora); 3] {
        let first = Lora::new(2, 3.0, 21);
        let last = if self.family == Family::Gpt2 { "mlp.c_fc" } else { "self_attn.o_proj" };
        let mut second = Lora { only: ".1.", head: true, ..Lora::new(3, 2.0, 22) };
        second.more = json!({"use_rslora": true, "alpha_pattern": {last: 5}});
        let third = Lora { dtype: Dtype::F16, ..Lora::new(2, 8.0, 23) };
        [("first", first), ("second", second), ("third", third)]
    }

    fn tokens(&self) -> Vec<i32> {
        ids(24, peft::n_vocab(&self.tiny), 5)
    }

    fn logits(&self, model: &Model, adapter: Option<&Path>) -> Vec<f32> {
        let exact =
            SessionOptions { kv_type: KvType::F32, flash_attn: FlashAttn::Off, ..options(64) };
        let mut session = Session::new(model, &exact).unwrap();
        if let Some(path) = adapter {
            session.set_adapters(&[(Adapter::open(model, path).unwrap(), 1.0)]).unwrap();
        }
        logits(&mut session, &self.tokens()).0
    }

    fn options(&self) -> AdapterOptions {
        let base = self.path("model.gguf").to_str().unwrap().to_owned();
        AdapterOptions { base, ..AdapterOptions::default() }
    }

    fn convert(&self, from: &str, to: &str) -> PathBuf {
        let to = self.path(to);
        adapter::convert(self.path(from), &to, &self.options(), &Monitor::default()).unwrap();
        to
    }

    fn average(&self, of: &[(&str, f32)], method: AverageMethod, rank: i64) -> PathBuf {
        let of: Vec<_> = of.iter().map(|(name, weight)| (self.path(name), *weight)).collect();
        let o = AdapterOptions {
            method,
            normalize: false,
            rank: rank.into(),
            force: true,
            ..self.options()
        };
        let to = self.path("average.gguf");
        adapter::average(&of, &to, &o, &Monitor::default()).unwrap();
        to
    }

    /// What PEFT computed, after checking that it was of these very files.
    fn golden(&self) -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/adapters.json");
        let all: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let golden = all[self.family.arch()].clone();
        for (name, file) in [
            ("model", "model.gguf"),
            ("first", "first/adapter_model.safetensors"),
            ("second", "second/adapter_model.safetensors"),
            ("third", "third/adapter_model.safetensors"),
        ] {
            let hash = hash(&self.path(file));
            assert_eq!(
                golden["files"][name], hash,
                "{name}: make tests/golden/adapters.json again"
            );
        }
        golden
    }

    fn check(&self, golden: &Value, what: &str, logits: &[f32]) {
        // For GPT-2, the engine looks GELU up in a table of 16 bits.
        let most = if self.family == Family::Gpt2 { 2e-3 } else { 1e-3 };
        self.check_within(most, golden, what, logits);
    }

    fn check_within(&self, most: f32, golden: &Value, what: &str, logits: &[f32]) {
        let theirs: Vec<f32> = serde_json::from_value(golden["logits"][what].clone()).unwrap();
        let ours: Vec<f32> = logits.iter().step_by(STEP).copied().collect();
        let apart = max_difference(&ours, &theirs);
        eprintln!("{:?}, {what}: {apart:.1e} apart", self.family);
        assert!(apart < most, "{:?}, {what}: {apart}", self.family);
        if what != "base" {
            let base: Vec<f32> = serde_json::from_value(golden["logits"]["base"].clone()).unwrap();
            assert!(max_difference(&ours, &base) > 1e-2, "{what} does something");
        }
    }
}

fn open(path: &Path) -> Model {
    let o = ModelOptions { accel: Accel::Off, device: "cpu".into(), ..ModelOptions::default() };
    Model::open(path, &o).unwrap()
}

fn hash(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn peft_adapters_give_the_logits_of_peft() {
    for case in Family::ALL.map(Case::new) {
        let golden = case.golden();
        case.check(&golden, "base", &case.logits(&case.model, None));
        for (name, _) in case.loras() {
            let file = case.convert(name, &format!("{name}.gguf"));
            // The engine rounds what is multiplied with 16 bits to 16 bits; merged, they are multiplied in 32.
            let logits = case.logits(&case.model, Some(&file));
            if name == "third" {
                case.check_within(3e-2, &golden, name, &logits);
            } else {
                case.check(&golden, name, &logits);
            }
        }
    }
}

#[test]
fn adapters_that_we_write_give_peft_our_logits() {
    for case in Family::ALL.map(Case::new) {
        let golden = case.golden();
        let directory = case.convert("ours.gguf", "ours");
        // PEFT's logits are of a directory with these very bytes.
        for file in ["adapter_model.safetensors", "adapter_config.json"] {
            let hash = hash(&directory.join(file));
            assert_eq!(
                golden["files"][file], hash,
                "{file}: make tests/golden/adapters.json again"
            );
        }
        case.check(&golden, "ours", &case.logits(&case.model, Some(&case.path("ours.gguf"))));
    }
}

#[test]
fn averages_are_those_of_peft() {
    for case in Family::ALL.map(Case::new) {
        let golden = case.golden();
        let cat = case.average(&[("first", 0.3), ("second", 0.7)], AverageMethod::Cat, 1);
        case.check(&golden, "cat", &case.logits(&case.model, Some(&cat)));
        let linear = case.average(&[("first", 0.5), ("third", -0.25)], AverageMethod::Linear, 1);
        case.check(&golden, "linear", &case.logits(&case.model, Some(&linear)));
        let three = [("first", 0.5), ("second", 0.25), ("third", 0.25)];
        let svd = case.average(&three, AverageMethod::Svd, 3);
        case.check(&golden, "svd", &case.logits(&case.model, Some(&svd)));
    }
}

#[test]
fn merged_models_give_the_logits_of_peft_and_of_attached_adapters() {
    for case in Family::ALL.map(Case::new) {
        let golden = case.golden();
        for (name, lora) in case.loras() {
            let merged = case.path("merged.gguf");
            let o = MergeOptions { force: true, ..MergeOptions::default() };
            let base = Source::path(case.path("model.gguf"));
            let adapters = [(case.path(name), 1.0)];
            let report = adapter::merge(base, &adapters, &merged, &o, &Monitor::default()).unwrap();
            assert_eq!(report.n_merged, lora.pairs(&case.tiny).len() as u64);
            let logits = case.logits(&open(&merged), None);
            case.check(&golden, name, &logits);
            if name != "third" {
                let attached = case.convert(name, &format!("{name}.gguf"));
                let attached = case.logits(&case.model, Some(&attached));
                assert!(max_difference(&logits, &attached) < 1e-4);
            }
        }
    }
}

/// Writes what tests/golden/adapters.py reads, into target/tmp/golden/adapters.
#[test]
#[ignore = "not a check: it writes the input of tests/golden/adapters.py"]
fn write_golden_input() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden/adapters");
    for case in Family::ALL.map(Case::new) {
        let to = folder.join(case.family.arch());
        let o = AdapterOptions { format: AdapterFormat::Peft, force: true, ..case.options() };
        fs::create_dir_all(&to).unwrap();
        adapter::convert(case.path("ours.gguf"), to.join("ours"), &o, &Monitor::default()).unwrap();
        fs::copy(case.path("model.gguf"), to.join("model.gguf")).unwrap();
        for (name, lora) in case.loras() {
            lora.write(&to.join(name), &case.tiny);
        }
        let input = json!({"tokens": case.tokens(), "step": STEP});
        fs::write(to.join("input.json"), input.to_string()).unwrap();
    }
}
