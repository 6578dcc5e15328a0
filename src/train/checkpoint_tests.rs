//! Checkpoints come back bit by bit, or not at all.

use super::*;
use crate::error::{Code, Error};
use crate::format::gguf::{GgmlType, TensorInfo, Writer};
use crate::options::{Auto, OptimizerKind};
use crate::train::{LoraSpec, OptimizerOptions};

fn tensors() -> Vec<TensorInfo> {
    let weight = |name: &str| TensorInfo {
        name: format!("blk.0.{name}.weight"),
        dims: vec![6, 5],
        ggml_type: GgmlType::F32,
        offset: 0,
        n_bytes: 120,
    };
    vec![weight("attn_q"), weight("ffn_down")]
}

/// A small training after `steps` steps.
fn training(options: TrainerOptions, steps: u64) -> Checkpoint {
    let spec = LoraSpec::new(&options).unwrap();
    let mut params = LoraParams::init(&spec, "llama", &tensors(), 7).unwrap();
    let mut optimizer = Optimizer::new(OptimizerOptions::from(&options), &params.sizes());
    for step in 0..steps {
        let wave = |n: usize| (0..n).map(|i| ((step + i as u64) as f32).cos()).collect::<Vec<_>>();
        let gradients: Vec<Vec<f32>> = params.sizes().into_iter().map(wave).collect();
        let both = params.tensors_mut().zip(gradients.iter().map(Vec::as_slice));
        optimizer.step(0.01, both).unwrap();
    }
    let progress = Progress {
        step: steps,
        epoch: 1,
        cursor: 3,
        tokens: u64::MAX,
        losses: (0..steps).map(|s| 1.0 / (s as f64 + 3.0)).collect(),
        validation: vec![(1, 0.1 + 0.2), (2, f64::MIN_POSITIVE)],
        best_validation_loss: Some(0.1 + 0.2),
        without_improvement: 1,
        rng: [("dropout".to_owned(), r#"{"s":[1,2,3,4]}"#.to_owned())].into(),
    };
    let (model, dataset) = ("a".repeat(64), "b".repeat(64));
    Checkpoint { options, params, optimizer, progress, model, dataset }
}

fn small() -> TrainerOptions {
    TrainerOptions {
        lora_rank: 2,
        learning_rate: Auto::Value(1.0 / 3.0),
        rs_lora: true,
        ..Default::default()
    }
}

fn load(bytes: &[u8]) -> Result<Checkpoint> {
    Checkpoint::load(Source::memory(bytes))
}

#[test]
fn every_optimizer_comes_back_bit_by_bit_and_goes_on_the_same() {
    let sgd = TrainerOptions { optimizer: OptimizerKind::Sgd, momentum: 0.0, ..small() };
    let kinds =
        [OptimizerKind::Adamw, OptimizerKind::Adam, OptimizerKind::Adagrad, OptimizerKind::Sgd];
    let all = kinds.map(|optimizer| TrainerOptions { optimizer, ..small() });
    for options in all.into_iter().chain([sgd]) {
        let saved = training(options, 3);
        let bytes = saved.view().to_bytes().unwrap();
        let loaded = load(&bytes).unwrap();
        assert_eq!(loaded, saved);
        assert_eq!(loaded.view().to_bytes().unwrap(), bytes);
        let bits =
            |c: &Checkpoint| c.params.tensors().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&loaded), bits(&saved));
    }
}

#[test]
fn odd_numbers_keep_their_bits() {
    let mut saved = training(small(), 1);
    let odd = [f32::MIN_POSITIVE / 2.0, -0.0, f32::MAX];
    saved.params.pairs_mut()[0].b[..3].copy_from_slice(&odd);
    let state = |name: &str, n: usize| {
        if name == "v" { vec![f32::INFINITY; n] } else { vec![-0.0; n] }
    };
    let sizes = saved.params.sizes();
    saved.optimizer.restore(u64::MAX, |name, i| Ok(state(name, sizes[i]))).unwrap();
    let loaded = load(&saved.view().to_bytes().unwrap()).unwrap();
    let bits = |c: &Checkpoint| {
        let state: Vec<f32> = c.optimizer.state().flat_map(|(.., v)| v.to_vec()).collect();
        c.params.tensors().flatten().chain(&state).map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&loaded), bits(&saved));
    assert_eq!(loaded.optimizer.steps(), u64::MAX);
}

#[test]
fn every_truncation_and_every_changed_byte_is_refused() {
    let bytes = training(small(), 2).view().to_bytes().unwrap();
    assert_eq!(bytes.len() % 32, 0, "the checksum is the end of the file");
    let refused = |bytes: &[u8], what: &dyn Fn() -> String| {
        let error = load(bytes).expect_err(&what());
        assert_eq!(error.code(), Code::CheckpointFormat, "{}: {error}", what());
    };
    for length in 0..bytes.len() {
        refused(&bytes[..length], &|| format!("cut to {length} bytes"));
    }
    let mut changed = bytes.clone();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            changed[at] ^= flip;
            refused(&changed, &|| format!("byte {at} changed by {flip:#x}"));
            changed[at] ^= flip;
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    refused(&longer, &|| "a byte more".into());
    assert!(load(&changed).is_ok());
}

#[test]
fn a_forged_checksum_makes_nothing_panic() {
    let bytes = training(small(), 2).view().to_bytes().unwrap();
    let body = bytes.len() - seal::DIGEST;
    for at in 0..body {
        for flip in [0x01, 0x80, 0xff] {
            let mut forged = bytes[..body].to_vec();
            forged[at] ^= flip;
            let mut sealed = Vec::new();
            seal::seal(&mut sealed, |out| {
                use std::io::Write as _;
                out.write_all(&[&forged[..], &[0; seal::DIGEST]].concat()).unwrap();
                Ok(())
            })
            .unwrap();
            if let Err(error) = load(&sealed) {
                assert_eq!(error.code(), Code::CheckpointFormat, "byte {at}: {error}");
            }
        }
    }
}

#[test]
fn other_files_versions_and_options_are_refused() {
    let message = |error: Error| {
        assert_eq!(error.code(), Code::CheckpointFormat);
        error.message().to_owned()
    };
    let saved = training(small(), 1);
    let adapter = saved.params.to_bytes("an adapter").unwrap();
    assert!(message(load(&adapter).unwrap_err()).contains("is \"adapter\", not"));
    assert!(message(load(b"{}").unwrap_err()).starts_with("the checkpoint is damaged or is none"));
    // What a later version might write, with a right checksum.
    let with = |key: &str, value: &str| {
        let view = saved.view();
        let mut writer = checkpoint_file::writer(&view).unwrap();
        match value.parse::<u32>() {
            Ok(number) => writer.set(key, number),
            Err(_) => writer.set(key, value),
        };
        let mut bytes = Vec::new();
        seal::seal(&mut bytes, |sealing| writer.write_to(sealing)).unwrap();
        message(load(&bytes).unwrap_err())
    };
    assert!(with("nestling.checkpoint.version", "2").contains("version 2, this build reads 1"));
    assert!(with("nestling.trainer.optimizer", "lion").contains("one of adamw"));
    assert!(with("nestling.trainer.lora_magic", "on").contains("lora_magic"));
    assert!(with("nestling.progress.step", "1").contains("nestling.progress.step"));
    let mut writer = Writer::new();
    writer.set("general.type", "nestling.checkpoint").set("nestling.checkpoint.version", 1u32);
    writer.tensor("sha256", &[32], GgmlType::I8, vec![0; 32]);
    let mut bytes = Vec::new();
    seal::seal(&mut bytes, |sealing| writer.write_to(sealing)).unwrap();
    assert!(message(load(&bytes).unwrap_err()).contains("damaged"));
}

#[test]
fn checkpoints_of_another_model_or_dataset_are_refused() {
    let saved = training(small(), 1);
    let (model, dataset) = (saved.model.clone(), saved.dataset.clone());
    saved.check_origin(&model, &dataset).unwrap();
    let foreign = saved.check_origin("cafe", &dataset).unwrap_err();
    assert_eq!(foreign.code(), Code::CheckpointForeign);
    assert!(foreign.message().contains("\"aaaaaaaaaaaa\", this is \"cafe\""), "{foreign}");
    let foreign = saved.check_origin(&model, "cafe").unwrap_err();
    assert_eq!(foreign.code(), Code::CheckpointForeign);
    assert!(foreign.message().contains("training data \"bbbbbbbbbbbb\""), "{foreign}");
}

#[test]
fn what_cannot_be_resumed_is_not_saved_and_the_old_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.checkpoint");
    let good = training(small(), 2);
    good.view().save(&path).unwrap();
    let mut bad = good.clone();
    bad.params.pairs_mut()[1].a[3] = f32::NAN;
    let error = bad.view().save(&path).unwrap_err();
    assert_eq!(error.code(), Code::TrainingDiverged);
    assert!(error.message().contains("blk.0.ffn_down.weight.lora_a holds NaN"), "{error}");
    assert_eq!(bad.params.save(&path, "x").unwrap_err().code(), Code::TrainingDiverged);
    let other = TrainerOptions { adam_beta1: 0.5, ..small() };
    let mixed = CheckpointView { options: &other, ..good.view() };
    assert_eq!(mixed.save(&path).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(Checkpoint::load(&path).unwrap(), good);

    let error = good.view().save(directory.path().join("no/such/place")).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let entries = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 1, "no temporary file is left behind");
    let error = Checkpoint::load(directory.path().join("none")).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.message().matches("none").count(), 1, "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_a_checkpoint() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    training(small(), 1).view().save(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
