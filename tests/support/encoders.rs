//! The tiny encoder checkpoints of `tests/golden/convert`, made model files, with what transformers computes with them.

use std::path::{Path, PathBuf};

use nestling::cancel::CancelToken;
use nestling::convert::convert;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Accel, Auto, ConvertOptions, ModelOptions};
use serde_json::Value as Json;

/// A model's file in a folder of its own, and the cases of its `golden.json`.
pub struct Golden {
    pub path: PathBuf,
    cases: Vec<Json>,
    _folder: tempfile::TempDir,
}

/// The checkpoint with a name.
pub fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert").join(name)
}

/// Makes a checkpoint a model file.
pub fn converted(from: &Path, to: &Path, ftype: &str) -> nestling::Result<()> {
    let n_threads = Auto::Value(1);
    let options = ConvertOptions { ftype: ftype.into(), n_threads, ..Default::default() };
    convert(from, to, &options, &Monitor::new(CancelToken::new())).map(|_| ())
}

/// `t5`, `t5-gated`, `bert-mean` or `bert-cls`, in 32-bit floats.
pub fn golden(name: &str) -> Golden {
    let directory = checkpoint(name);
    let text = std::fs::read_to_string(directory.join("golden.json")).unwrap();
    let cases = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    converted(&directory, &path, "f32").unwrap();
    Golden { path, cases, _folder: folder }
}

impl Golden {
    pub fn open(&self, accel: Accel) -> Model {
        Model::open(self.path.as_path(), &ModelOptions { accel, ..Default::default() }).unwrap()
    }

    pub fn cases(&self) -> &[Json] {
        &self.cases
    }

    pub fn texts(&self) -> Vec<&str> {
        self.cases().iter().map(|case| case["text"].as_str().unwrap()).collect()
    }
}

/// An array of numbers.
pub fn floats(json: &Json) -> Vec<f32> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// An array of token ids.
pub fn ids(json: &Json) -> Vec<i32> {
    json.as_array().unwrap().iter().map(|x| x.as_i64().unwrap() as i32).collect()
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
