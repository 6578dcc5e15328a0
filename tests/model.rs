//! Models: where they come from, what they say, what they take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fs::File;
use std::io::Write;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Example};
use nestling::format::Source;
use nestling::format::gguf::GgmlType;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Auto, KvType, ModelOptions, Repack, SessionOptions};
use nestling::session::Session;
use nestling::train::Trainer;
use support::run::{greedy, ids, logits, max_difference, open, options, session, tiny, tokens};
use support::{Family, Raw, Tiny, gemma3, smollm2};

#[test]
fn every_source_gives_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    for family in
        [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3, Family::Gpt2, Family::Phi3]
    {
        let path = Tiny::new(family).write(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        // Inside a larger file, as an asset of an app is.
        let inside = dir.path().join("asset.bin");
        let mut file = File::create(&inside).unwrap();
        file.write_all(&[7; 4096]).unwrap();
        file.write_all(&bytes).unwrap();
        file.write_all(&[9; 1000]).unwrap();
        let prompt = ids(20, 250, 1);
        let (expected, _) = logits(&mut session(&open(&path), 64), &prompt);
        let length = Some(bytes.len() as u64);
        for (what, source) in [
            ("descriptor", Source::file(File::open(&inside).unwrap(), 4096, length)),
            ("memory", Source::memory(bytes)),
        ] {
            let model = Model::open(source, &ModelOptions::default()).unwrap();
            let (ours, _) = logits(&mut session(&model, 64), &prompt);
            assert!(max_difference(&ours, &expected) < 1e-4, "{family:?} from {what}");
        }
        for o in [
            ModelOptions { use_mmap: false, ..Default::default() },
            ModelOptions { repack: Repack::Off, ..Default::default() },
            ModelOptions { check_tensors: true, ..Default::default() },
        ] {
            let model = Model::open(path.as_path(), &o).unwrap();
            let (ours, _) = logits(&mut session(&model, 64), &prompt);
            assert!(max_difference(&ours, &expected) < 1e-4, "{family:?} with {o:?}");
        }
    }
}

#[test]
fn quantized_types_run() {
    for ggml_type in [GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::Q4_K]
    {
        let bytes = Tiny::new(Family::Llama).weights(ggml_type).bytes();
        let model = Model::open(Source::memory(bytes), &ModelOptions::default()).unwrap();
        assert!(model.info().quantization.iter().any(|q| q.r#type == ggml_type.name()));
        assert_eq!(tokens(&mut session(&model, 64), ids(10, 250, 1), &greedy(4)).len(), 4);
    }
}

#[test]
fn inspect_tells_what_the_model_is() {
    let info = Model::inspect(smollm2()).unwrap();
    assert_eq!(info.architecture, "llama");
    assert_eq!((info.n_layer, info.n_embd, info.n_head, info.n_head_kv), (30, 576, 9, 3));
    assert_eq!(info.tokenizer.n_vocab, 49152);
    assert_eq!(info.tokenizer.pre.as_deref(), Some("smollm"));
    assert_eq!(info.n_params, 134_515_008);
    assert_eq!(info.file_bytes, 98_362_432);
    assert!(info.chat_template.unwrap().contains("<|im_start|>"));
    assert_eq!(info.quantization.iter().map(|q| q.params).sum::<u64>(), info.n_params);
    assert!(info.quantization[0].r#type == "Q4_1" && info.n_swa.is_none());

    let info = Model::inspect(gemma3()).unwrap();
    assert_eq!((info.architecture.as_str(), info.n_swa), ("gemma3", Some(512)));
    assert!(info.quantization.len() >= 4);
}

#[test]
fn metadata_is_readable() {
    let model = tiny(Family::Llama);
    assert_eq!(model.metadata("general.architecture").as_deref(), Some("llama"));
    assert!(model.metadata("nonesuch").is_none());
    let keys: Vec<_> = model.metadata_keys().collect();
    assert!(keys.contains(&"tokenizer.ggml.tokens"));
    assert!(model.metadata("tokenizer.ggml.tokens").unwrap().starts_with('['));
}

#[test]
fn a_plan_is_what_a_session_takes() {
    for model in [tiny(Family::Gemma3), open(smollm2())] {
        for o in [
            options(256),
            SessionOptions { kv_type: KvType::F32, ..options(256) },
            SessionOptions { swa_full: false, n_ubatch: 32, ..options(256) },
        ] {
            let plan = model.plan(&o).unwrap();
            let s = Session::new(&model, &o).unwrap();
            assert_eq!(plan.kv_cache, s.stats().kv_cache_bytes);
            assert_eq!(plan.compute, s.stats().compute_bytes);
            assert_eq!(plan.total, plan.weights + plan.kv_cache + plan.compute);
            assert!(plan.fits && plan.advice.is_empty(), "{plan:?}");
        }
    }
    // SmolLM2: 30 layers, 3 heads of 64, keys and values of 2 bytes.
    let plan = open(smollm2()).plan(&options(1024)).unwrap();
    assert_eq!(plan.kv_cache, 30 * 3 * 64 * 2 * 2 * 1024);
    assert_eq!(plan.weights_mapped, plan.weights);
}

#[test]
fn a_large_context_is_planned_without_the_engine_counting_it() {
    // Where the engine still can: what was extrapolated is what it counts.
    for (model, swa_full) in [(tiny(Family::Gemma3), false), (tiny(Family::Llama), true)] {
        let o = SessionOptions { swa_full, n_ubatch: 32, ..options(200_000) };
        let plan = model.plan(&o).unwrap();
        let s = Session::new(&model, &o).unwrap();
        assert_eq!(plan.kv_cache, s.stats().kv_cache_bytes);
        let apart = plan.compute.abs_diff(s.stats().compute_bytes);
        assert!(apart * 100 < plan.compute, "{plan:?} {:?}", s.stats());
    }
}

#[test]
fn a_plan_that_does_not_fit_says_what_to_change() {
    let model = open(smollm2());
    for n_ctx in [40_000_000, 2_000_000_000, i64::from(i32::MAX)] {
        let plan = model.plan(&options(n_ctx)).unwrap();
        assert!(!plan.fits, "{plan:?}");
        assert!(plan.kv_cache / (n_ctx as u64) == 30 * 3 * 64 * 2 * 2, "{plan:?}");
        let advice = &plan.advice;
        assert!(advice.contains("n_ctx") && advice.contains("kv_type"), "{advice}");
        let error = Session::new(&model, &options(n_ctx)).unwrap_err();
        assert_eq!(error.code(), Code::DoesNotFit, "{error}");
        assert!(error.message().contains("n_ctx"), "{error}");
    }
    let auto = model.plan(&SessionOptions::default()).unwrap();
    assert_eq!(auto.n_ctx, model.info().n_ctx_train.min(8192));
}

#[test]
fn loading_can_be_cancelled_and_followed() {
    let cancel = CancelToken::new();
    cancel.trigger();
    let error =
        Model::open_with(smollm2(), &ModelOptions::default(), &Monitor::new(cancel.clone()));
    assert_eq!(error.unwrap_err().code(), Code::Cancelled);
    let mut job = Model::open_job(smollm2(), &ModelOptions::default(), cancel).unwrap();
    assert_eq!(job.take().unwrap_err().code(), Code::Cancelled);

    let options = ModelOptions { use_mmap: false, ..Default::default() };
    let mut job = Model::open_job(smollm2(), &options, CancelToken::new()).unwrap();
    let mut last = 0.0;
    loop {
        let progress = job.step(std::time::Duration::from_secs(60));
        assert!(progress.fraction >= last);
        last = progress.fraction;
        if progress.done {
            break;
        }
    }
    assert_eq!(last, 1.0);
    assert_eq!(job.take().unwrap().info().architecture, "llama");
}

#[test]
fn a_tokenizer_alone_needs_no_weights() {
    let o = ModelOptions { vocab_only: true, ..Default::default() };
    let model = Model::open(smollm2(), &o).unwrap();
    let tokenizer = nestling::tokenizer::Tokenizer::new(&model);
    assert!(!tokenizer.encode("Hello", Default::default()).unwrap().is_empty());
    assert_eq!(Session::new(&model, &options(64)).unwrap_err().code(), Code::WrongState);
    // A plan comes before the weights are loaded, and is the same as afterwards.
    let (before, after) = (model.plan(&options(512)), open(smollm2()).plan(&options(512)));
    let (before, after) = (before.unwrap(), after.unwrap());
    assert_eq!((before.weights, before.kv_cache), (after.weights, after.kv_cache));
    assert_eq!((before.compute, before.fits), (after.compute, true));
}

#[test]
fn a_vocabulary_without_weights_is_a_tokenizer_and_nothing_else() {
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    raw.tensors.clear();
    let source = Source::memory(raw.bytes());
    let whole = Model::open(source.clone(), &ModelOptions::default()).unwrap_err();
    assert_eq!(whole.code(), Code::GgufTensorMissing, "{whole}");

    let o = ModelOptions { vocab_only: true, ..Default::default() };
    let model = Model::open(source, &o).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Such files end where the tensors would begin, which is often at an odd place.
    for name in ["odd", "odds"] {
        raw.set("general.name", name);
        let path = folder.path().join(name);
        std::fs::write(&path, raw.bytes()).unwrap();
        Model::open(path, &o).unwrap();
    }
    let ids = |model: &Model| {
        nestling::tokenizer::Tokenizer::new(model).encode("one two", Default::default()).unwrap()
    };
    assert_eq!(ids(&model), ids(&tiny(Family::Llama)));
    assert_eq!(Session::new(&model, &options(64)).unwrap_err().code(), Code::WrongState);
    assert_eq!(model.plan(&options(64)).unwrap_err().code(), Code::Unsupported);
    let example = Example::from_json("{\"text\": \"one two\"}").unwrap();
    let data = Dataset::from_examples([example], &Default::default()).unwrap();
    assert!(Trainer::new(&model, &data, None, &Default::default()).is_err());
}

#[test]
fn options_that_cannot_be_met_are_errors() {
    let device = ModelOptions { device: "warp9".into(), ..Default::default() };
    assert_eq!(Model::open(smollm2(), &device).unwrap_err().code(), Code::DeviceNotFound);
    let layers =
        ModelOptions { device: "cpu".into(), n_gpu_layers: Auto::Value(3), ..Default::default() };
    assert_eq!(Model::open(smollm2(), &layers).unwrap_err().code(), Code::InvalidOption);
    let model = tiny(Family::Gpt2);
    let error = Session::new(&model, &options(257)).unwrap_err();
    assert!(error.message().contains("256"), "{error}");
    let error = Session::new(&model, &SessionOptions { n_ubatch: 0, ..options(64) }).unwrap_err();
    assert_eq!(error.code(), Code::InvalidOption);
    let q8 = SessionOptions { kv_type: KvType::Q8_0, ..options(64) };
    assert_eq!(Session::new(&model, &q8).unwrap_err().code(), Code::InvalidOption);
    assert_eq!(
        Model::open("no/such.gguf", &ModelOptions::default()).unwrap_err().code(),
        Code::NotFound
    );
}
