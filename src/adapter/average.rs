//! Several adapters become one: for federated learning, or to ship one file.

use std::collections::BTreeMap;
use std::path::Path;

use super::convert::{Converted, Input, write};
use super::lora::{Lora, Matrix, Pair};
use super::low_rank::low_rank;
use crate::error::{Result, bail};
use crate::job::Monitor;
use crate::options::{AdapterFormat, AdapterOptions, AverageMethod, Options as _};

/// One adapter's pair, and what its product is multiplied by: its weight times its scale.
type Term<'a> = (f64, &'a Pair);

/// Writes the weighted sum of adapters as one adapter. `inputs` are GGUF files or PEFT directories with their weights.
/// With `normalize` the weights are divided by their sum, so that numbers of examples can be given.
///
/// # Errors
/// `AdapterAverage` for adapters or weights that cannot be averaged, and those of [`convert`](super::convert).
pub fn average(
    inputs: &[(impl AsRef<Path>, f32)],
    output: impl AsRef<Path>,
    options: &AdapterOptions,
    monitor: &Monitor,
) -> Result<Converted> {
    options.validate()?;
    let output = output.as_ref();
    let weights = weights(inputs.iter().map(|(_, weight)| *weight), options.normalize)?;
    let format = match options.format {
        AdapterFormat::Auto => AdapterFormat::Gguf,
        given => given,
    };
    let (mut adapters, mut base) = (Vec::new(), None);
    for (path, _) in inputs {
        let input = Input::open(path.as_ref(), &options.base)?;
        input.check_output(format, output, options.force)?;
        adapters.push(input.lora()?);
        base = base.or(input.base);
        monitor.cancel().check("averaging the adapters")?;
    }
    let averaged = combine(&adapters, &weights, options, monitor)?;
    write(format, output, &averaged, base.as_ref(), &options.base_model_name)
}

fn weights(given: impl Iterator<Item = f32>, normalize: bool) -> Result<Vec<f64>> {
    let given: Vec<f64> = given.map(f64::from).collect();
    if given.is_empty() {
        bail!(AdapterAverage, "no adapter is given; give at least one")
    }
    if let Some(bad) = given.iter().find(|w| !w.is_finite()) {
        bail!(AdapterAverage, "a weight is {bad}; give finite numbers")
    }
    if !normalize {
        return Ok(given);
    }
    let sum: f64 = given.iter().sum();
    if sum.abs() < 1e-12 {
        bail!(
            AdapterAverage,
            "the weights add up to {sum}; give others, or do not divide them by their sum (normalize)"
        )
    }
    Ok(given.into_iter().map(|w| w / sum).collect())
}

fn combine(
    adapters: &[Lora],
    weights: &[f64],
    options: &AdapterOptions,
    monitor: &Monitor,
) -> Result<Lora> {
    let mut sums: BTreeMap<&str, Vec<Term<'_>>> = BTreeMap::new();
    let mut made = Lora::default();
    for (adapter, weight) in adapters.iter().zip(weights) {
        if made.architecture.is_empty() {
            made.architecture.clone_from(&adapter.architecture);
            made.base_model.clone_from(&adapter.base_model);
        }
        if made.architecture != adapter.architecture {
            bail!(
                AdapterAverage,
                "the adapters are for the architectures {:?} and {:?}; average adapters of one model",
                made.architecture,
                adapter.architecture
            )
        }
        for (name, pair) in &adapter.pairs {
            sums.entry(name).or_default().push((weight * pair.scale, pair));
        }
    }
    made.name = format!("average of {} adapters", adapters.len());
    let all = sums.len().max(1) as f32;
    let auto = adapters.iter().flat_map(|a| a.pairs.values()).map(Pair::rank).max().unwrap_or(1);
    let rank = options.rank.value().map_or(auto, |rank| rank as usize);
    for (i, (name, terms)) in sums.into_iter().enumerate() {
        monitor.report(i as f32 / all);
        monitor.cancel().check("averaging the adapters")?;
        check_shapes(name, &terms)?;
        let pair = match options.method {
            AverageMethod::Cat => cat(&terms),
            AverageMethod::Linear => linear(name, &terms)?,
            AverageMethod::Svd => low_rank(&cat(&terms), rank),
        };
        pair.check(name)?;
        made.pairs.insert(name.to_owned(), pair);
    }
    Ok(made)
}

fn check_shapes(name: &str, terms: &[Term<'_>]) -> Result<()> {
    let shape = |pair: &Pair| [pair.b.rows, pair.a.columns];
    let mut shapes = terms.iter().map(|(_, pair)| shape(pair));
    let first = shapes.next();
    match shapes.find(|shape| Some(*shape) != first) {
        Some(other) => bail!(
            AdapterAverage,
            "the adapters change {name} as a matrix of {:?} and of {other:?}; average adapters of one model",
            first.unwrap_or_default()
        ),
        None => Ok(()),
    }
}

/// [B1 B2 ...] [w1 A1; w2 A2; ...] is the sum itself.
fn cat(terms: &[Term<'_>]) -> Pair {
    let Some((_, first)) = terms.first() else {
        return Pair { scale: 1.0, a: empty(), b: empty() };
    };
    let rank: usize = terms.iter().map(|(_, pair)| pair.rank()).sum();
    let mut a = Vec::with_capacity(rank * first.a.columns);
    for (factor, pair) in terms {
        a.extend(pair.a.to_f32().into_iter().map(|v| (f64::from(v) * factor) as f32));
    }
    let bs: Vec<(usize, Vec<f32>)> =
        terms.iter().map(|(_, pair)| (pair.rank(), pair.b.to_f32())).collect();
    let mut b = Vec::with_capacity(rank * first.b.rows);
    for row in 0..first.b.rows {
        for (rank, values) in &bs {
            b.extend(values.get(row * rank..(row + 1) * rank).unwrap_or_default());
        }
    }
    Pair {
        scale: 1.0,
        a: Matrix::from_f32(rank, first.a.columns, &a),
        b: Matrix::from_f32(first.b.rows, rank, &b),
    }
}

/// As PEFT does: each half gets the root of the factor, A its sign.
fn linear(name: &str, terms: &[Term<'_>]) -> Result<Pair> {
    let Some((_, first)) = terms.first() else { return Ok(cat(terms)) };
    let rank = first.rank();
    if let Some((_, other)) = terms.iter().find(|(_, pair)| pair.rank() != rank) {
        bail!(
            AdapterAverage,
            "the adapters have the ranks {rank} and {} for {name}; the method linear wants one rank: use cat or svd",
            other.rank()
        )
    }
    let sum = |of: &dyn Fn(&Pair) -> &Matrix, factor: &dyn Fn(f64) -> f64| {
        let mut sums = vec![0f64; of(first).rows * of(first).columns];
        for (weight, pair) in terms {
            let factor = factor(*weight);
            let values = of(pair).to_f32();
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += factor * f64::from(v));
        }
        let sums: Vec<f32> = sums.into_iter().map(|v| v as f32).collect();
        Matrix::from_f32(of(first).rows, of(first).columns, &sums)
    };
    let root = |factor: f64| factor.abs().sqrt();
    Ok(Pair {
        scale: 1.0,
        a: sum(&|pair| &pair.a, &|f| if f < 0.0 { -root(f) } else { root(f) }),
        b: sum(&|pair| &pair.b, &root),
    })
}

fn empty() -> Matrix {
    Matrix::from_f32(0, 0, &[])
}
