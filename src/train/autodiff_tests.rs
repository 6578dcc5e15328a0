//! The gradients of whole rows against the engine's own differentiation of one graph: the forward pass written again in
//! plain operations, the loss with one-hot labels at every position, the way back by `ggml_build_backward_expand`.
//!
//! It can do the families whose layers are RMS norms and SwiGLU: llama, qwen2, qwen3. For the others the engine has no
//! way back and would end the process: gpt2 has layer norms and GELU, gemma3 GEGLU. phi3's layers are llama's with
//! joined weights, whose parts would have to be written as views here. For these the slopes of the loss (`tests`) and
//! PyTorch (`tests/train_golden.rs`) are the references.

use std::collections::HashMap;

use super::arch::Arch;
use super::engine::{Engine, EngineOptions};
use super::lora::{LoraParams, LoraSpec};
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::dataset::Row;
use crate::format::{Access, ModelFiles, Source};
use crate::ggml::{F32, Graph, I32, Rope, Tensor, Workspace};
use crate::kernels::Level;
use crate::options::TrainerOptions;
use crate::rng::Rng;
use crate::test_support::run::ids;
use crate::test_support::{Family, Tiny};
use crate::train::tests::levels;

/// A model with the pairs of its adapter, as one graph sees them.
struct Oracle<'g, 'w> {
    g: &'g Graph<'w>,
    arch: &'g Arch,
    weights: &'g Weights,
    pairs: HashMap<String, (Tensor, Tensor)>,
    scale: f32,
    positions: Tensor,
    mask: Tensor,
    tokens: i64,
}

impl Oracle<'_, '_> {
    fn weight(&self, name: &str) -> Tensor {
        self.weights.need(name).unwrap()
    }

    /// W x + b + scale B (A x).
    fn linear(&self, name: &str, x: Tensor) -> Tensor {
        let (g, name) = (self.g, name.to_owned());
        let mut y = g.mul_mat(self.weight(&format!("{name}.weight")), x);
        if let Some(bias) = self.weights.get(&format!("{name}.bias")) {
            y = g.add(y, bias);
        }
        let (a, b) = self.pairs[&format!("{name}.weight")];
        g.add(y, g.scale(g.mul_mat(b, g.mul_mat(a, x)), self.scale))
    }

    fn norm(&self, name: &str, x: Tensor) -> Tensor {
        self.g.mul(self.g.rms_norm(x, self.arch.eps), self.weight(&format!("{name}.weight")))
    }

    /// `[head * heads, tokens]` to `[head, tokens, heads]`, normed and rotated if it is asked for.
    fn heads(&self, x: Tensor, heads: i64, turn: Option<&str>) -> Tensor {
        let (g, arch) = (self.g, self.arch);
        let mut x = g.reshape(x, [arch.head_k, heads, self.tokens]);
        if let Some(norm) = turn {
            if self.weights.get(&format!("{norm}.weight")).is_some() {
                x = self.norm(norm, x);
            }
            let r = arch.rotation.unwrap();
            let rope = Rope {
                n_dims: r.n_dims,
                neox: r.neox,
                freq_base: r.freq_base,
                freq_scale: r.freq_scale,
                attention_factor: r.attention_factor,
                factors: None,
            };
            x = g.rope(x, self.positions, &rope, false);
        }
        g.swap_heads(x)
    }

    fn attention(&self, layer: usize, x: Tensor) -> Tensor {
        let (g, arch) = (self.g, self.arch);
        let name = |part: &str| format!("blk.{layer}.{part}");
        let [q, k, v] = ["attn_q", "attn_k", "attn_v"].map(|part| self.linear(&name(part), x));
        let q = self.heads(q, arch.heads, Some(&name("attn_q_norm")));
        let k = self.heads(k, arch.groups, Some(&name("attn_k_norm")));
        let v = self.heads(v, arch.groups, None);
        let scores = g.mul_mat(g.cont(k), g.cont(q));
        let seen = g.soft_max(scores, Some(self.mask), arch.attention_scale);
        let out = g.mul_mat(g.cont(g.transpose(v)), seen);
        let out = g.reshape(g.cont(g.swap_heads(out)), [arch.head_v * arch.heads, self.tokens, 1]);
        self.linear(&name("attn_output"), out)
    }

    fn feed_forward(&self, layer: usize, x: Tensor) -> Tensor {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let gate = self.g.silu(self.linear(&name("ffn_gate"), x));
        let up = self.linear(&name("ffn_up"), x);
        self.linear(&name("ffn_down"), self.g.mul(gate, up))
    }

    fn logits(&self, ids: Tensor) -> Tensor {
        let g = self.g;
        let mut x = g.get_rows(self.weight("token_embd.weight"), ids);
        for layer in 0..self.arch.n_layer {
            let normed = self.norm(&format!("blk.{layer}.attn_norm"), x);
            x = g.add(x, self.attention(layer, normed));
            let normed = self.norm(&format!("blk.{layer}.ffn_norm"), x);
            x = g.add(x, self.feed_forward(layer, normed));
        }
        let output = self.weights.get("output.weight");
        let output = output.unwrap_or_else(|| self.weight("token_embd.weight"));
        g.mul_mat(output, self.norm("output_norm", x))
    }
}

/// The mean loss of predicting each token from those before it, and its gradients in the parameters' order.
fn oracle(files: &ModelFiles, params: &LoraParams, tokens: &[i32]) -> (f32, Vec<Vec<f32>>) {
    let arch = Arch::of(files).unwrap();
    let mut w = Workspace::new(1, false).unwrap();
    let weights = Weights::load(&mut w, files).unwrap();
    let (n, vocabulary) = (tokens.len() as u64 - 1, arch.n_vocab as u64);

    let made = w.tensors(&[
        (I32, &[n]),
        (I32, &[n]),
        (F32, &[n, n]),
        (F32, &[vocabulary, n]),
        (F32, &[1]),
        (F32, &[1]),
    ]);
    let [inputs, positions, mask, labels, one, value] = *made.unwrap() else { panic!() };
    w.write_i32(inputs, &tokens[..n as usize]).unwrap();
    w.write_i32(positions, &(0..n as i32).collect::<Vec<_>>()).unwrap();
    let sees = |i: u64, j: u64| if j <= i { 0.0 } else { f32::NEG_INFINITY };
    let causal: Vec<f32> = (0..n).flat_map(|i| (0..n).map(move |j| sees(i, j))).collect();
    w.write(mask, &causal).unwrap();
    let one_hot = |token: &i32| {
        let token = *token as u64;
        (0..vocabulary).map(move |v| if v == token { 1.0 } else { 0.0 })
    };
    w.write(labels, &tokens[1..].iter().flat_map(one_hot).collect::<Vec<f32>>()).unwrap();
    w.write(one, &[1.0]).unwrap();

    let mut parameters = Vec::new();
    let mut pairs = HashMap::new();
    for pair in params.pairs() {
        let (a, b) =
            ([pair.n_in as u64, params.rank() as u64], [params.rank() as u64, pair.n_out as u64]);
        let made = w.tensors(&[(F32, &a), (F32, &b), (F32, &a), (F32, &b)]).unwrap();
        let [a, b, da, db] = *made else { panic!() };
        w.write(a, &pair.a).unwrap();
        w.write(b, &pair.b).unwrap();
        parameters.extend([(a, da), (b, db)]);
        pairs.insert(pair.weight(), (a, b));
    }

    let g = w.graph(2048).unwrap();
    let (scale, tokens) = (params.scale(), n as i64);
    let (arch, weights) = (&arch, &weights);
    let oracle = Oracle { g: &g, arch, weights, pairs, scale, positions, mask, tokens };
    let loss = g.cross_entropy(oracle.logits(inputs), labels);
    drop(oracle);
    g.autodiff((loss, value), one, &parameters).unwrap();

    let mut loss = [0f32];
    w.read(value, &mut loss).unwrap();
    let gradients = parameters.iter().zip(params.tensors()).map(|((_, gradient), like)| {
        let mut values = vec![0f32; like.len()];
        w.read(*gradient, &mut values).unwrap();
        values
    });
    (loss[0], gradients.collect())
}

/// An adapter for every weight, A and B of random numbers.
fn random_params(files: &ModelFiles) -> LoraParams {
    let o = TrainerOptions { lora_rank: 4, lora_alpha: 6.0, ..TrainerOptions::default() };
    let arch = &files.hparams().arch;
    let mut params =
        LoraParams::init(&LoraSpec::new(&o).unwrap(), arch, files.tensors(), 1).unwrap();
    let mut rng = Rng::keyed(&[5]);
    for pair in params.pairs_mut() {
        pair.b.iter_mut().for_each(|b| *b = (0.4 * rng.unit() - 0.2) as f32);
    }
    params
}

#[test]
fn gradients_are_those_of_the_engines_own_differentiation() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let bytes = Tiny::new(family).bytes();
        let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
        let params = random_params(&files);
        let tokens = ids(24, 250, 5);
        let (expected, oracle) = oracle(&files, &params, &tokens);

        let row = Row {
            positions: (0..tokens.len() as i32).collect(),
            segments: vec![0; tokens.len()],
            loss: vec![true; tokens.len()],
            sequences: vec![0],
            tokens,
        };
        // All layers computed again on the way back, some of them kept, all of them kept.
        for (level, n_stored) in levels().into_iter().flat_map(|l| (0..=2).map(move |n| (l, n))) {
            let n_max = row.tokens.len();
            let o = EngineOptions { n_max, dropout: false, n_threads: 1, n_stored, level };
            let mut engine = Engine::new(&files, &params, o).unwrap();
            let loss = engine.learn(&row, None, &CancelToken::new()).unwrap();
            let apart = (loss.mean() - f64::from(expected)).abs() / f64::from(expected);
            // Products of brain floats round both factors to 8 bits.
            let (loss_bound, bound) =
                if level < Level::Avx512Bf16 { (1e-5, 1e-3) } else { (2e-3, 3e-2) };
            assert!(apart < loss_bound, "{family:?} {level:?}: {} {expected}", loss.mean());
            let ours = engine.gradients(&params, 1.0 / loss.tokens as f32).unwrap();
            let worst = largest_difference(&params, &ours, &oracle);
            eprintln!("{family:?}, {level:?}, {n_stored} layers kept: {worst:?}");
            assert!(worst.1 < bound, "{family:?}, {level:?}, {n_stored} layers kept: {worst:?}");
        }
    }
}

/// Of all tensors that whose difference is largest against its norm.
fn largest_difference(
    params: &LoraParams,
    ours: &[Vec<f32>],
    theirs: &[Vec<f32>],
) -> (String, f64) {
    let names =
        params.pairs().iter().flat_map(|p| ["a", "b"].map(|x| format!("{} {x}", p.weight())));
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart = ours.iter().zip(theirs).map(|(ours, theirs)| {
        let norm: f64 = theirs.iter().map(|x| square(*x)).sum();
        let off: f64 = ours.iter().zip(theirs).map(|(a, b)| square(a - b)).sum();
        assert!(norm > 0.0);
        (off / norm).sqrt()
    });
    names.zip(apart).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}
