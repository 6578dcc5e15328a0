//! A context that shows what a model's weights are multiplied with, while it evaluates tokens.
//!
//! The engine asks a function of ours before each node of its graph, and calls it again after each node that was wanted: then
//! the inputs of that node are still in memory.

use std::collections::{BTreeMap, HashSet};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llama_cpp_sys_2 as sys;

use super::context::{ContextParams, RawContext};
use super::device::text;
use super::model::RawModel;
use super::work::Work;
use crate::cancel::CancelToken;
use crate::error::{Error, Result, bail, err};

/// The squares of what one weight was multiplied with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Squares {
    /// Their sums, column by column: a row for each matrix of the weight.
    pub sums: Vec<f64>,
    /// Of how many tokens the sums are: one number for all rows, or for a mixture of experts one for each.
    pub counts: Vec<u64>,
}

/// A context, and what was seen with it so far.
pub(crate) struct Observer {
    /// Before `seen`: its callback points there.
    context: RawContext,
    /// Whether tokens are read as a text as a whole.
    at_once: bool,
    seen: Box<Mutex<Seen>>,
}

struct Seen {
    wanted: HashSet<String>,
    squares: BTreeMap<String, Squares>,
    /// Kept for their memory.
    values: Vec<u8>,
    ids: Vec<u8>,
    failure: Option<Error>,
}

impl Observer {
    /// Watches the weights with these names.
    pub(crate) fn new(
        model: &Arc<RawModel>,
        params: &ContextParams,
        wanted: HashSet<String>,
    ) -> Result<Self> {
        let seen = Seen {
            wanted,
            squares: BTreeMap::new(),
            values: Vec::new(),
            ids: Vec::new(),
            failure: None,
        };
        let seen = Box::new(Mutex::new(seen));
        let data = (&raw const *seen).cast_mut().cast();
        // SAFETY: `on_node` does not unwind, and takes what `data` points to, which is boxed and outlives the context.
        let context = unsafe { RawContext::watched(model, params, Some(on_node), data)? };
        let at_once = matches!(params.work, Work::Embed { .. });
        Ok(Self { context, at_once, seen })
    }

    pub(crate) fn set_threads(&mut self, n: i32) -> Result<()> {
        self.context.set_threads(n)
    }

    /// Evaluates tokens as one sequence, from an empty context, at most `step` at a time.
    ///
    /// # Errors
    /// `Engine` for numbers that are not finite; `Cancelled`, and those of evaluating.
    pub(crate) fn read(&mut self, tokens: &[i32], step: usize, cancel: &CancelToken) -> Result<()> {
        if self.at_once {
            self.context.embed(&[tokens], cancel)?;
            return self.check();
        }
        self.context.clear(false);
        for (start, part) in (0..).step_by(step.max(1)).zip(tokens.chunks(step.max(1))) {
            // All outputs are wanted: else the last layer would only see the last token.
            self.context.decode_for(part, start, |_| true, cancel)?;
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        match lock(&self.seen).failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// What was seen of each weight.
    pub(crate) fn squares(&self) -> BTreeMap<String, Squares> {
        lock(&self.seen).squares.clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by the engine, by one thread at a time: `ask` before a node, else after it. After a `false` to the latter the rest
/// of the graph is not computed.
extern "C" fn on_node(node: *mut sys::ggml_tensor, ask: bool, data: *mut c_void) -> bool {
    let looked = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `data` is the boxed state of a live observer, which is behind a lock; the engine gives a valid node.
        let (seen, node) = unsafe { (&*data.cast::<Mutex<Seen>>(), &*node) };
        let mut seen = lock(seen);
        let Some(product) = Product::of(node).filter(|p| seen.wanted.contains(&p.name)) else {
            return false;
        };
        if ask {
            return true;
        }
        match seen.add(&product) {
            Ok(()) => true,
            Err(error) => {
                seen.failure = Some(error);
                false
            }
        }
    }));
    looked.unwrap_or(false)
}

/// A node that multiplies a weight.
struct Product<'a> {
    name: String,
    weight: &'a sys::ggml_tensor,
    input: &'a sys::ggml_tensor,
    /// Which experts each token is sent to.
    ids: Option<&'a sys::ggml_tensor>,
}

impl<'a> Product<'a> {
    /// `None` for a node that is none, or whose input is not of 32-bit floats.
    fn of(node: &'a sys::ggml_tensor) -> Option<Self> {
        let by_expert = node.op == sys::GGML_OP_MUL_MAT_ID;
        if !by_expert && node.op != sys::GGML_OP_MUL_MAT {
            return None;
        }
        let [weight, input, ids, ..] = node.src;
        // SAFETY: the sources of a node of the engine's graph are null or valid, and live as long as the graph.
        let (weight, input, ids) = unsafe { (weight.as_ref()?, input.as_ref()?, ids.as_ref()) };
        let rows_are_whole = input.type_ == sys::GGML_TYPE_F32 && input.nb[0] == 4;
        if !rows_are_whole || (by_expert && ids?.type_ != sys::GGML_TYPE_I32) {
            return None;
        }
        let name = plain(&text(weight.name.as_ptr())).to_owned();
        Some(Self { name, weight, input, ids: ids.filter(|_| by_expert) })
    }
}

/// A weight's own name: copies for other devices are called `CUDA0#blk.0.attn_q.weight#0`.
fn plain(name: &str) -> &str {
    match name.split_once('#') {
        Some((_, rest)) => rest.split_once('#').map_or(rest, |(name, _)| name),
        None => name,
    }
}

impl Seen {
    fn add(&mut self, product: &Product<'_>) -> Result<()> {
        let (weight, input) = (product.weight, product.input);
        fetch(input, &mut self.values)?;
        let [width, n1, n2, n3] = input.ne.map(|n| usize::try_from(n).unwrap_or(0));
        let [_, _, w2, w3] = weight.ne.map(|n| usize::try_from(n).unwrap_or(0));
        let n_matrices = (w2 * w3).max(1);
        let n_counts = if product.ids.is_some() { n_matrices } else { 1 };
        let squares = self.squares.entry(product.name.clone()).or_default();
        if squares.sums.is_empty() {
            squares.sums = vec![0.0; width * n_matrices];
            squares.counts = vec![0; n_counts];
        }
        if squares.sums.len() != width * n_matrices || squares.counts.len() != n_counts {
            bail!(
                Engine,
                "the weight {} is used in two ways, which an importance matrix cannot tell apart",
                product.name
            )
        }
        let row = |i1: usize, i2: usize, i3: usize| {
            let at = i1 * input.nb[1] + i2 * input.nb[2] + i3 * input.nb[3];
            self.values.get(at..at + 4 * width)
        };
        let mut add = |matrix: usize, row: Option<&[u8]>| {
            let sums = squares.sums.get_mut(matrix * width..(matrix + 1) * width);
            let (Some(sums), Some(row)) = (sums, row) else {
                return Err(err!(Engine, "the inputs of {} have an odd shape", product.name));
            };
            add_squares(sums, row);
            Ok(())
        };
        if let Some(ids) = product.ids {
            fetch(ids, &mut self.ids)?;
            let [n_ids, n_tokens, ..] = ids.ne.map(|n| usize::try_from(n).unwrap_or(0));
            for token in 0..n_tokens {
                for i in 0..n_ids {
                    let at = i * ids.nb[0] + token * ids.nb[1];
                    let id = self.ids.get(at..at + 4).and_then(|b| b.try_into().ok());
                    let expert = id.and_then(|b| usize::try_from(i32::from_le_bytes(b)).ok());
                    let expert = expert.filter(|&e| e < n_matrices).unwrap_or(usize::MAX / width);
                    add(expert, row(i % n1.max(1), token, 0))?;
                    squares.counts.get_mut(expert).into_iter().for_each(|count| *count += 1);
                }
            }
        } else {
            for (i3, i2) in (0..n3).flat_map(|i3| (0..n2).map(move |i2| (i3, i2))) {
                let matrix = (i3 % w3.max(1)) * w2 + i2 % w2.max(1);
                for i1 in 0..n1 {
                    add(matrix, row(i1, i2, i3))?;
                }
            }
            let rows = (n1 * n2 * n3 / n_matrices) as u64;
            squares.counts.iter_mut().for_each(|count| *count += rows);
        }
        if squares.sums.iter().all(|sum| sum.is_finite()) {
            return Ok(());
        }
        bail!(
            Engine,
            "the model multiplies {} with numbers that are not finite; its weights are damaged, or its arithmetic \
             overflows",
            product.name
        )
    }
}

/// Adds the squares of little-endian floats.
fn add_squares(sums: &mut [f64], row: &[u8]) {
    for (sum, bytes) in sums.iter_mut().zip(row.chunks_exact(4)) {
        let value = f64::from(f32::from_ne_bytes(bytes.try_into().unwrap_or_default()));
        *sum += value * value;
    }
}

/// A copy of a tensor's memory, gaps between rows included.
fn fetch(tensor: &sys::ggml_tensor, out: &mut Vec<u8>) -> Result<()> {
    // SAFETY: the tensor is one of the engine's graph.
    let (n, has_memory) =
        unsafe { (sys::ggml_nbytes(tensor), !tensor.data.is_null() && !tensor.buffer.is_null()) };
    if !has_memory {
        bail!(Engine, "the engine computed a product whose input has no memory")
    }
    out.resize(n, 0);
    // SAFETY: the tensor has its memory and was computed; `out` is as long as it.
    unsafe { sys::ggml_backend_tensor_get(tensor, out.as_mut_ptr().cast(), 0, n) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_name_of_the_weight() {
        for name in ["blk.0.attn_q.weight", "CUDA0#blk.0.attn_q.weight#0", "a#blk.0.attn_q.weight"]
        {
            assert_eq!(plain(name), "blk.0.attn_q.weight");
        }
    }

    #[test]
    fn squares_add_up() {
        let bytes: Vec<u8> = [3f32, -4.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let mut sums = [1.0, 0.0];
        add_squares(&mut sums, &bytes);
        assert_eq!(sums, [10.0, 16.0]);
    }
}
