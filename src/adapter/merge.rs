//! Adapters become a part of their base model: W + scale * B A, a few rows at a time.

use std::path::Path;

use serde::Serialize;

use super::base::Base;
use super::convert::Input;
use super::lora::Pair;
use crate::error::{Context, Result, bail};
use crate::format::{Access, ModelFiles, Source, check_output};
use crate::job::Monitor;
use crate::options::{MergeOptions, Options as _, QuantizeOptions};
use crate::quantize::{Piece, Quantized, Rows, whole, write_quantized};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Weights that were changed.
    pub n_merged: u64,
    /// The file.
    #[serde(flatten)]
    pub quantized: Quantized,
}

/// One adapter's part in a weight.
struct Delta {
    factor: f32,
    rank: usize,
    /// Rank x inputs.
    a: Vec<f32>,
    /// Outputs x rank.
    b: Vec<f32>,
}

/// The rows of a weight with everything that was learned.
struct MergedRows<'a> {
    base: Box<dyn Rows + 'a>,
    width: usize,
    deltas: Vec<Delta>,
}

/// Writes `base` with adapters (GGUF files or PEFT directories, each with a scale, usually 1) merged into it. Tensors
/// that no adapter changes are copied as they are, unless another type is wanted.
///
/// # Errors
/// `AdapterMismatch`, `AdapterBase`, `Peft...`, `Adapter...`, `Gguf...` for a bad input, `QuantizeType` for a type,
/// `TensorValue`, `OutputExists`, `OutputIsInput`, `Cancelled` and those of files: the output is as it was then.
pub fn merge(
    base: impl Into<Source>,
    adapters: &[(impl AsRef<Path>, f32)],
    output: impl AsRef<Path>,
    options: &MergeOptions,
    monitor: &Monitor,
) -> Result<Merged> {
    options.validate()?;
    let output = output.as_ref();
    let files = ModelFiles::open(&base.into(), Access::Read)?;
    let facts = Base::of(&files);
    let base_files: Vec<&Path> = facts.files.iter().map(|f| f.as_path()).collect();
    check_output(output, options.force, &base_files)?;
    if adapters.is_empty() {
        bail!(InvalidArgument, "no adapter is given; give at least one to merge")
    }
    let mut loras = Vec::new();
    for (path, scale) in adapters {
        if !scale.is_finite() {
            bail!(
                InvalidArgument,
                "the scale of an adapter is {scale}; give a finite number, usually 1"
            )
        }
        let input = Input::for_model(path.as_ref(), output, options.force)?;
        let lora = input.lora_for(&facts).with_path(path.as_ref())?;
        loras.push((lora, f64::from(*scale)));
        monitor.cancel().check("merging the adapters")?;
    }
    let mut n_merged = 0;
    let (mut kv, pieces) = whole(&files)?;
    let with_adapters = |piece: Piece<'static>| {
        let pairs = loras.iter().filter_map(|(l, scale)| Some((l.pairs.get(&piece.name)?, *scale)));
        let deltas: Vec<Delta> = pairs.map(|(pair, scale)| Delta::of(pair, scale)).collect();
        if deltas.is_empty() {
            return piece;
        }
        n_merged += 1;
        let width = piece.width() as usize;
        Piece { rows: Box::new(MergedRows { base: piece.rows, width, deltas }), ..piece }
    };
    let pieces: Vec<_> = pieces.into_iter().map(with_adapters).collect();
    let types = QuantizeOptions {
        ftype: options.ftype.clone(),
        tensor_types: options.tensor_types.clone(),
        imatrix: options.imatrix.clone(),
        requantize: options.requantize,
        n_threads: options.n_threads,
        ..QuantizeOptions::default()
    };
    let quantized = write_quantized(output, &mut kv, &pieces, &types, monitor)?;
    Ok(Merged { n_merged, quantized })
}

impl Delta {
    fn of(pair: &Pair, scale: f64) -> Self {
        Self {
            factor: (scale * pair.scale) as f32,
            rank: pair.rank(),
            a: pair.a.to_f32(),
            b: pair.b.to_f32(),
        }
    }

    /// Adds its part in a row.
    fn add(&self, row: usize, out: &mut [f32]) {
        let weights = self.b.get(row * self.rank..(row + 1) * self.rank).unwrap_or_default();
        for (weight, a) in weights.iter().zip(self.a.chunks_exact(out.len().max(1))) {
            let factor = self.factor * weight;
            out.iter_mut().zip(a).for_each(|(out, a)| *out += factor * a);
        }
    }
}

impl Rows for MergedRows<'_> {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        self.base.read(first, out)?;
        for (i, row) in out.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.deltas.iter().for_each(|delta| delta.add(first as usize + i, row));
        }
        Ok(())
    }

    fn part(&self) -> u64 {
        self.base.part()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.base.check_unchanged()
    }
}
