//! Layers that keep what the way back needs, against layers that are computed again.

use crate::cancel::CancelToken;
use crate::dataset::Row;
use crate::error::Code;
use crate::format::{Access, ModelFiles, Source};
use crate::kernels::Level;
use crate::options::TrainerOptions;
use crate::test_support::Tiny;
use crate::test_support::run::ids;
use crate::train::engine::{Engine, EngineOptions};
use crate::train::lora::{LoraParams, LoraSpec};
use crate::train::pass::Dropout;

use super::{FAMILIES, levels};

const N_MAX: usize = 32;

fn row(n: usize) -> Row {
    Row {
        tokens: ids(n, 250, 5),
        // Two examples that do not see each other.
        positions: (0..n as i32 - 10).chain(0..10).collect(),
        segments: (0..n).map(|i| u32::from(i >= n - 10)).collect(),
        loss: (0..n).map(|i| i % 3 != 0).collect(),
        sequences: vec![0, 1],
    }
}

/// What two rows give: their loss, and all gradients.
fn learned(
    files: &ModelFiles,
    params: &LoraParams,
    dropout: bool,
    n_stored: usize,
    (level, n_threads): (Level, i32),
) -> (f64, Vec<Vec<f32>>) {
    let o = EngineOptions { n_max: N_MAX, dropout, n_threads, n_stored, level };
    let mut engine = Engine::new(files, params, o).unwrap();
    let dropout = dropout.then_some(Dropout { chance: 0.3, key: [7, 8] });
    let never = CancelToken::new();
    // The second is longer: what is kept moves to a larger place.
    let loss = [row(20), row(N_MAX)].map(|r| engine.learn(&r, dropout, &never).unwrap().sum);
    (loss.iter().sum(), engine.gradients(params, 1.0).unwrap())
}

pub(super) fn params(files: &ModelFiles) -> LoraParams {
    let options = TrainerOptions { lora_rank: 2, ..Default::default() };
    let spec = LoraSpec::new(&options).unwrap();
    let mut params = LoraParams::init(&spec, &files.hparams().arch, files.tensors(), 5).unwrap();
    for (i, values) in params.tensors_mut().enumerate() {
        values.iter_mut().enumerate().for_each(|(k, v)| *v += ((i + k) % 7) as f32 * 0.01 - 0.03);
    }
    params
}

#[test]
fn what_is_stored_equals_what_is_computed_again() {
    for family in FAMILIES {
        let bytes = Tiny::new(family).bytes();
        let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
        let params = params(&files);
        for (level, dropout) in levels().into_iter().flat_map(|l| [(l, false), (l, true)]) {
            let expected = learned(&files, &params, dropout, 0, (level, 1));
            assert!(expected.1.iter().flatten().any(|g| *g != 0.0), "{family:?}");
            for n_stored in [1, files.hparams().n_layer as usize, 100] {
                let found = learned(&files, &params, dropout, n_stored, (level, 1));
                let case = (family, level, dropout, n_stored);
                assert!(found == expected, "family, level, dropout, layers: {case:?}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let bytes = Tiny::new(FAMILIES[0]).bytes();
    let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
    let params = params(&files);
    for level in levels() {
        let expected = learned(&files, &params, true, 1, (level, 1));
        assert!(learned(&files, &params, true, 1, (level, 2)) == expected, "{level:?}");
    }
}

#[test]
fn a_cancelled_row_leaves_an_engine_that_stores_usable() {
    let bytes = Tiny::new(FAMILIES[0]).bytes();
    let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
    let params = params(&files);
    let o = EngineOptions {
        n_max: N_MAX,
        dropout: false,
        n_threads: 1,
        n_stored: 100,
        level: Level::current(),
    };
    let mut engine = Engine::new(&files, &params, o).unwrap();
    let cancelled = CancelToken::new();
    cancelled.trigger();
    let error = engine.learn(&row(20), None, &cancelled).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    engine.clear(&params).unwrap();
    let never = CancelToken::new();
    let loss: f64 =
        [row(20), row(N_MAX)].map(|r| engine.learn(&r, None, &never).unwrap().sum).iter().sum();
    let expected = learned(&files, &params, false, 0, (Level::current(), 1));
    assert_eq!((loss, engine.gradients(&params, 1.0).unwrap()), expected);
}
