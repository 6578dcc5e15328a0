//! LoRA parameters: for each adapted weight W a pair A, B, so that y = W x + scale B (A x).
//!
//! Hu and others, "LoRA: low-rank adaptation of large language models" (2021); the scale alpha / sqrt(rank):
//! Kalajdzievski, "A rank stabilization scaling factor for fine-tuning with LoRA" (2023).

use std::collections::{BTreeMap, BTreeSet};

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use super::target::{Target, Targets, list};
use crate::error::{Result, bail};
use crate::format::gguf::TensorInfo;
use crate::options::TrainerOptions;

/// What an adapter shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSpec {
    /// The inner width of each pair.
    pub rank: usize,
    /// The scale before division by the rank, or by its root.
    pub alpha: f64,
    /// Whether the scale is alpha / sqrt(rank) instead of alpha / rank.
    pub rs_lora: bool,
    /// Which weights of a layer.
    pub targets: Targets,
    /// The first layer.
    pub first_layer: u32,
    /// The last layer; `None` is the model's last.
    pub last_layer: Option<u32>,
}

impl LoraSpec {
    /// The part of the options that says what the adapter shall be.
    ///
    /// # Errors
    /// `LoraTarget` for an unknown target, `InvalidOption`.
    pub fn new(options: &TrainerOptions) -> Result<Self> {
        crate::options::Options::validate(options)?;
        let layer = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Self {
            rank: options.lora_rank.unsigned_abs() as usize,
            alpha: options.lora_alpha,
            rs_lora: options.rs_lora,
            targets: Targets::parse(&options.lora_targets)?,
            first_layer: layer(options.first_layer),
            last_layer: options.last_layer.value().map(layer),
        })
    }
}

/// The pair of one adapted weight. Rows are contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraPair {
    /// The weight's layer.
    pub layer: u32,
    /// Which weight of the layer.
    pub target: Target,
    /// Width of the weight's input.
    pub n_in: usize,
    /// Width of its output.
    pub n_out: usize,
    /// `rank` rows of `n_in` elements; in ggml's order `[n_in, rank]`.
    pub a: Vec<f32>,
    /// `n_out` rows of `rank` elements; in ggml's order `[rank, n_out]`.
    pub b: Vec<f32>,
}

impl LoraPair {
    /// The name of the adapted weight, `blk.0.attn_q.weight`.
    pub fn weight(&self) -> String {
        self.target.weight(self.layer)
    }
}

/// All trained parameters, in one order: by layer, then by target, A before B.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraParams {
    pub(super) architecture: String,
    pub(super) rank: usize,
    pub(super) rs_lora: bool,
    /// What a reader divides by the rank, whichever way the scale was given.
    pub(super) file_alpha: f32,
    pub(super) pairs: Vec<LoraPair>,
}

impl LoraParams {
    /// New parameters for the weights among a model's tensors: A uniform in ±1/sqrt(n_in), which is PEFT's Kaiming
    /// initialisation, B zero, so that training starts from the base model. Every A has a generator of its own, from
    /// the seed and the weight's name: adding a target does not change the others.
    ///
    /// # Errors
    /// `LoraTarget` when a target is not in the model, `LoraLayers` for layers outside it, `LoraRank` when the rank
    /// is 0 or larger than a side of a weight, `Unsupported` when a weight is not a matrix.
    pub fn init<'a>(
        spec: &LoraSpec,
        architecture: &str,
        tensors: impl IntoIterator<Item = &'a TensorInfo>,
        seed: u64,
    ) -> Result<Self> {
        if spec.rank == 0 {
            bail!(LoraRank, "lora_rank is 0; give at least 1, usually 4 to 64")
        }
        let mut pairs = Vec::new();
        for ((layer, target), dims) in select(spec, tensors)? {
            let name = target.weight(layer);
            let &[n_in, n_out] = dims else {
                bail!(Unsupported, "{name} is not a matrix, so no adapter can be trained for it")
            };
            let (n_in, n_out) = (n_in as usize, n_out as usize);
            if spec.rank > n_in.min(n_out) {
                bail!(
                    LoraRank,
                    "lora_rank is {}, but {name} is {n_in} by {n_out}; give at most {}",
                    spec.rank,
                    n_in.min(n_out)
                )
            }
            let a = kaiming(seed, &name, n_in, spec.rank);
            pairs.push(LoraPair { layer, target, n_in, n_out, a, b: vec![0.0; spec.rank * n_out] });
        }
        let file_alpha = file_alpha(spec.alpha, spec.rank, spec.rs_lora);
        let architecture = architecture.to_owned();
        Ok(Self { architecture, rank: spec.rank, rs_lora: spec.rs_lora, file_alpha, pairs })
    }

    /// The architecture of the model that the adapter is for.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The inner width of every pair.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Whether the scale was given as alpha / sqrt(rank).
    pub fn rs_lora(&self) -> bool {
        self.rs_lora
    }

    /// What B (A x) is multiplied by: the same 32-bit float that a reader of the file gets.
    pub fn scale(&self) -> f32 {
        self.file_alpha / self.rank as f32
    }

    /// `adapter.lora.alpha` of the file. Readers divide it by the rank, also for rsLoRA.
    pub fn file_alpha(&self) -> f32 {
        self.file_alpha
    }

    /// The pairs, by layer, then by target.
    pub fn pairs(&self) -> &[LoraPair] {
        &self.pairs
    }

    /// The pairs, to be changed; their sizes must stay.
    pub fn pairs_mut(&mut self) -> &mut [LoraPair] {
        &mut self.pairs
    }

    /// The targets that occur, in order.
    pub fn targets(&self) -> Vec<Target> {
        self.pairs.iter().map(|p| p.target).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The elements of each tensor: A and B of the first pair, of the second, ...
    pub fn sizes(&self) -> Vec<usize> {
        self.tensors().map(<[f32]>::len).collect()
    }

    /// The number of trained parameters.
    pub fn n_parameters(&self) -> usize {
        self.tensors().map(<[f32]>::len).sum()
    }

    /// The tensors in the order of [`sizes`](Self::sizes).
    pub fn tensors(&self) -> impl Iterator<Item = &[f32]> {
        self.pairs.iter().flat_map(|p| [&p.a[..], &p.b[..]])
    }

    /// The tensors in the order of [`sizes`](Self::sizes), for the optimizer.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.pairs.iter_mut().flat_map(|p| [&mut p.a[..], &mut p.b[..]])
    }
}

/// The value whose quotient by the rank is the scale.
fn file_alpha(alpha: f64, rank: usize, rs_lora: bool) -> f32 {
    if rs_lora { (alpha * (rank as f64).sqrt()) as f32 } else { alpha as f32 }
}

type Weights<'a> = BTreeMap<(u32, Target), &'a [u64]>;

/// The weights that a specification means, with their dimensions.
fn select<'a>(
    spec: &LoraSpec,
    tensors: impl IntoIterator<Item = &'a TensorInfo>,
) -> Result<Weights<'a>> {
    let place = |t: &'a TensorInfo| Some((Target::of_weight(&t.name)?, t.dims.as_slice()));
    let mut weights: Weights<'a> = tensors.into_iter().filter_map(place).collect();
    let Some(n_layer) = weights.keys().map(|(layer, _)| layer.saturating_add(1)).max() else {
        bail!(LoraTarget, "the model has none of the weights {}", list(Target::ALL))
    };
    let last = spec.last_layer.unwrap_or(n_layer - 1);
    if spec.first_layer > last || last >= n_layer {
        bail!(
            LoraLayers,
            "layers {} to {last} are to be adapted, but the model has layers 0 to {}; change first_layer and \
             last_layer",
            spec.first_layer,
            n_layer - 1
        )
    }
    weights.retain(|(layer, _), _| (spec.first_layer..=last).contains(layer));
    let there: BTreeSet<Target> = weights.keys().map(|(_, target)| *target).collect();
    let missing: Vec<Target> = match &spec.targets {
        Targets::Only(only) => only.iter().copied().filter(|t| !there.contains(t)).collect(),
        Targets::All | Targets::Attention => Vec::new(),
    };
    weights.retain(|(_, target), _| spec.targets.contains(*target));
    if !missing.is_empty() || weights.is_empty() {
        let missing = if missing.is_empty() { spec.targets.to_string() } else { list(&missing) };
        bail!(
            LoraTarget,
            "lora_targets: these layers of the model have no {missing}; they have {}",
            list(&there)
        )
    }
    Ok(weights)
}

/// `rows` rows of uniform numbers in ±1/sqrt(n_in), that is ±sqrt(6 / ((1 + 5) n_in)).
fn kaiming(seed: u64, name: &str, n_in: usize, rows: usize) -> Vec<f32> {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    let key = hash.first_chunk::<8>().copied().unwrap_or_default();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(u64::from_le_bytes(key));
    let bound = 1.0 / (n_in as f64).sqrt();
    let unit = |word: u64| (word >> 11) as f64 / (1u64 << 53) as f64;
    (0..n_in * rows).map(|_| ((2.0 * unit(rng.next_u64()) - 1.0) * bound) as f32).collect()
}

#[cfg(test)]
#[path = "lora_tests.rs"]
mod tests;
