//! Gradients and losses of whole rows, on tiny models of every architecture.

mod mask;
mod stored;

use std::collections::HashMap;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arch::Arch;
use super::layer::Network;
use super::ops::Lora;
use super::pass::{Loss, Pass};
use super::row::Row;
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::format::gguf::GgmlType;
use crate::format::{Access, ModelFiles, Source};
use crate::ggml::{F32, I32, Workspace, quantize};
use crate::kernels::{Level, testing};
use crate::model::Model;
use crate::options::ModelOptions;
use crate::test_support::run::{ids, logits, session};
use crate::test_support::{Family, Raw, Tiny};

const FAMILIES: [Family; 6] =
    [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3, Family::Gpt2, Family::Phi3];
const RANK: u64 = 2;

/// The levels of this processor, that without kernels first.
pub(super) fn levels() -> Vec<Level> {
    std::iter::once(Level::None).chain(testing::levels()).collect()
}

struct Setup {
    workspace: Workspace,
    pass: Pass,
    pairs: HashMap<String, (Lora, usize, usize)>,
}

/// A tiny model with a random pair beside every weight of its layers.
fn setup(bytes: Vec<u8>, with_pairs: bool, level: Level) -> Setup {
    let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
    let mut workspace = Workspace::new(1, false).unwrap();
    workspace.set_level(level);
    let weights = Weights::load(&mut workspace, &files).unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut pairs = HashMap::new();
    for t in
        files.tensors().filter(|t| with_pairs && t.dims.len() == 2 && t.name.starts_with("blk"))
    {
        let (a, b) = ([t.dims[0], RANK], [RANK, t.dims[1]]);
        let made = workspace.tensors(&[(F32, &a), (F32, &b), (F32, &a), (F32, &b)]).unwrap();
        let [a, b, da, db] = *made else { panic!() };
        let (n_a, n_b) = ((t.dims[0] * RANK) as usize, (t.dims[1] * RANK) as usize);
        let mut random = |n: usize| -> Vec<f32> {
            (0..n).map(|_| ((rng.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0) * 0.2).collect()
        };
        workspace.write(a, &random(n_a)).unwrap();
        workspace.write(b, &random(n_b)).unwrap();
        let lora = Lora { a, b, da, db, scale: 1.5, mask: None };
        pairs.insert(t.name.clone(), (lora, n_a, n_b));
    }
    let network = Network {
        arch: Arch::of(&files).unwrap(),
        weights,
        pairs: pairs
            .iter()
            .map(|(name, (lora, n_a, _))| (name.clone(), (*lora, n_a / RANK as usize)))
            .collect(),
    };
    let pass = Pass::new(&mut workspace, network, 160, 0).unwrap();
    Setup { workspace, pass, pairs }
}

impl Setup {
    /// Computes with what the engine reads from the quantized weights, as f32.
    fn dequantize(&mut self, bytes: Vec<u8>) {
        let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
        for t in files.tensors().filter(|t| t.dims.len() == 2) {
            let made = self.workspace.tensors(&[(F32, &t.dims), (I32, &[t.dims[1]])]).unwrap();
            let rows: Vec<i32> = (0..t.dims[1] as i32).collect();
            self.workspace.write_i32(made[1], &rows).unwrap();
            let weight = self.pass.network.weights.need(&t.name).unwrap();
            let g = self.workspace.graph(4).unwrap();
            let copy = g.copy(g.get_rows(weight, made[1]), made[0]);
            g.run(&[copy], &CancelToken::new()).unwrap();
            self.pass.network.weights.replace(&t.name, made[0]);
        }
    }

    /// All gradients, in the order of the weights' names.
    fn gradients(&mut self) -> Vec<f32> {
        let mut pairs: Vec<_> = self.pairs.clone().into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut all = Vec::new();
        for (_, (lora, n_a, n_b)) in pairs {
            for (tensor, n) in [(lora.da, n_a), (lora.db, n_b)] {
                let mut values = vec![0f32; n];
                self.workspace.read(tensor, &mut values).unwrap();
                all.extend(values);
            }
        }
        all
    }

    fn loss(&mut self, tokens: &[i32], back: bool) -> Loss {
        let positions: Vec<i32> = (0..tokens.len() as i32).collect();
        let segments = vec![0u32; tokens.len()];
        let row = Row { tokens, positions: &positions, segments: &segments };
        let (w, never) = (&mut self.workspace, CancelToken::new());
        let wanted = vec![true; tokens.len()];
        match back {
            true => self.pass.learn(w, row, &wanted, &never).unwrap(),
            false => self.pass.measure(w, row, &wanted, &never).unwrap(),
        }
    }
}

#[test]
fn the_loss_is_that_of_the_logits() {
    for family in FAMILIES {
        let tiny = Tiny::new(family);
        let tokens = ids(24, 250, 5);
        let model = Model::open(Source::memory(tiny.bytes()), &ModelOptions::default()).unwrap();
        let mut s = session(&model, 64);
        let mut expected = 0.0;
        for n in 1..tokens.len() {
            let (z, _) = logits(&mut s, &tokens[..n]);
            let max = z.iter().fold(f32::MIN, |m, x| m.max(*x));
            let sum: f64 = z.iter().map(|x| f64::from(x - max).exp()).sum();
            expected += sum.ln() - f64::from(z[tokens[n] as usize] - max);
        }
        for level in levels() {
            let loss = setup(tiny.bytes(), false, level).loss(&tokens, false);
            assert_eq!(loss.tokens, 23);
            let apart = (loss.sum - expected).abs() / expected;
            assert!(apart < 2e-3, "{family:?} {level:?}: {} {expected}", loss.sum);
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    // The roundings of products of brain floats are as large as the differences here.
    let exact = || levels().into_iter().filter(|level| *level < Level::Avx512Bf16);
    for (family, level) in FAMILIES.iter().flat_map(|f| exact().map(move |l| (*f, l))) {
        let tiny = Tiny::new(family);
        let tokens = ids(24, 250, 5);
        let mut s = setup(tiny.bytes(), true, level);
        s.loss(&tokens, true);
        let pairs: Vec<_> = s.pairs.clone().into_iter().collect();
        let (mut dot, mut ours2, mut slopes2) = (0.0, 0.0, 0.0);
        for (name, (lora, n_a, n_b)) in pairs {
            for (what, tensor, gradient, n) in
                [("a", lora.a, lora.da, n_a), ("b", lora.b, lora.db, n_b)]
            {
                let (mut values, mut gradients) = (vec![0f32; n], vec![0f32; n]);
                s.workspace.read(tensor, &mut values).unwrap();
                s.workspace.read(gradient, &mut gradients).unwrap();
                // Along the gradient itself, where the slope is steepest.
                let norm = gradients.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                assert!(norm > 0.0, "{family:?} {level:?} {name} {what}");
                let step = 2e-2;
                let mut at = |sign: f64| {
                    let moved: Vec<f32> = values
                        .iter()
                        .zip(&gradients)
                        .map(|(v, g)| (f64::from(*v) + sign * step * f64::from(*g) / norm) as f32)
                        .collect();
                    s.workspace.write(tensor, &moved).unwrap();
                    s.loss(&tokens, false).sum
                };
                let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
                s.workspace.write(tensor, &values).unwrap();
                let apart = (slope - norm).abs() / norm;
                assert!(apart < 0.02, "{family:?} {level:?} {name} {what}: {slope} {norm}");
                dot += slope * norm;
                ours2 += norm * norm;
                slopes2 += slope * slope;
            }
        }
        assert!(dot / (ours2 * slopes2).sqrt() > 0.999, "{family:?} {level:?}");
    }
}

#[test]
fn brain_floats_give_nearly_the_gradients_of_floats() {
    for family in FAMILIES {
        let tokens = ids(24, 250, 5);
        let [exact, rounded] = [Level::None, Level::Avx512Bf16].map(|level| {
            let mut s = setup(Tiny::new(family).bytes(), true, level);
            s.loss(&tokens, true);
            s.gradients()
        });
        let cosine = cosine(&exact, &rounded);
        eprintln!("{family:?}: cosine {cosine:.6}");
        assert!(cosine > 0.999, "{family:?}: {cosine}");
    }
}

fn cosine(x: &[f32], y: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
}

/// A tiny Llama whose weights the engine has quantized, each matrix to the type that its number gives.
fn quantized(type_of: impl Fn(usize) -> GgmlType) -> Vec<u8> {
    let mut raw = Raw::of(&Tiny { n_embd: 256, n_ff: 256, ..Tiny::new(Family::Llama) });
    let matrices = raw.tensors.iter_mut().filter(|t| t.dims.len() == 2);
    for (tensor, ggml_type) in matrices.enumerate().map(|(i, tensor)| (tensor, type_of(i))) {
        let float = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
        let floats: Vec<f32> = tensor.data.chunks_exact(4).map(float).collect();
        tensor.data = quantize(ggml_type.id(), &floats, tensor.dims[0] as usize, None).unwrap();
        tensor.type_id = ggml_type.id();
    }
    raw.bytes()
}

#[test]
fn quantized_weights_give_the_gradients_of_what_they_stand_for() {
    use GgmlType::*;
    let types = [
        F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
        IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS, IQ2_XXS, IQ1_M, IQ1_S, TQ1_0, TQ2_0, MXFP4, NVFP4, Q1_0,
        Q2_0,
    ];
    let mut files: Vec<(String, Vec<u8>)> =
        types.iter().map(|t| (t.name().to_owned(), quantized(|_| *t))).collect();
    // As files are made: attention and feed-forward parts of several types.
    let usual = [Q6_K, Q4_K, Q5_0, Q8_0, Q4_K, F16, Q5_K];
    files.push(("the usual ones mixed".into(), quantized(|i| usual[i % usual.len()])));
    for shift in [0, 16] {
        let of = |i: usize| types[(i + shift) % types.len()];
        files.push((format!("all mixed, from {shift}"), quantized(of)));
    }
    // Long rows are multiplied with dequantized weights, too.
    let lengths = |level| [(level, 24), (level, 160)];
    for (i, (name, bytes)) in files.iter().enumerate() {
        // Every type at the highest level and without kernels, every level with all types mixed.
        let mixed = i + 1 == files.len();
        let chosen = |l: &Level| mixed || [Level::None, Level::current()].contains(l);
        for (level, n) in levels().into_iter().filter(chosen).flat_map(lengths) {
            check_quantized(name, bytes, level, n);
        }
    }
}

/// Compares a file's gradients with those of its weights dequantized.
fn check_quantized(name: &str, bytes: &[u8], level: Level, n: usize) {
    let tokens = ids(n, 250, 5);
    let mut quantized = setup(bytes.to_vec(), true, level);
    let mut plain = setup(bytes.to_vec(), true, level);
    plain.dequantize(bytes.to_vec());
    let (a, b) = (quantized.loss(&tokens, true).sum, plain.loss(&tokens, true).sum);
    // The engine quantizes the activations of short rows, and of the logits; the rest is rounded to f16.
    let bound = if n < 128 { 1e-2 } else { 1e-3 };
    let cosine = cosine(&quantized.gradients(), &plain.gradients());
    eprintln!(
        "{name}, {level:?}, {n} tokens: cosine {cosine:.6}, loss {:.1e} apart",
        (a - b).abs() / b
    );
    assert!((a - b).abs() / b < bound, "{name} {level:?}: {a} {b}");
    assert!(cosine > 0.999, "{name} {level:?}: {cosine}");
}
