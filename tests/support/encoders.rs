//! The tiny encoder models of `tests/golden/encoders`, with what transformers computes with them.

use std::path::PathBuf;

use nestling::model::Model;
use nestling::options::{Accel, ModelOptions};
use serde_json::Value as Json;

/// A model's file, and its entry in `encoders.json`.
pub struct Golden {
    pub path: PathBuf,
    pub json: Json,
}

/// `t5`, `t5-gated`, `bert-mean` or `bert-cls`.
pub fn golden(name: &str) -> Golden {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(directory.join("encoders.json")).unwrap();
    let mut all: Json = serde_json::from_str(&text).unwrap();
    let json = all[name].take();
    Golden { path: directory.join("encoders").join(json["file"].as_str().unwrap()), json }
}

impl Golden {
    pub fn open(&self, accel: Accel) -> Model {
        Model::open(&self.path, &ModelOptions { accel, ..Default::default() }).unwrap()
    }

    pub fn cases(&self) -> &[Json] {
        self.json["cases"].as_array().unwrap()
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
