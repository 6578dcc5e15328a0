//! Whether an adapter fits a model.

use super::gguf::EMBEDDING;
use crate::error::{Result, bail};
use crate::format::AdapterFile;
use crate::format::gguf::TensorInfo;

/// A weight's name without its layer: `attn_q` of `blk.3.attn_q.weight`.
pub(super) fn target(weight: &str) -> &str {
    let rest = weight.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let name = rest.map_or(weight, |(_, name)| name);
    name.strip_suffix(".weight").unwrap_or(name)
}

/// Whether the adapter is for the architecture, and every pair fits the weight it changes. `find` finds a
/// weight of the model by name.
///
/// # Errors
/// `AdapterMismatch`.
pub(crate) fn check_fit<'a>(
    file: &AdapterFile,
    architecture: &str,
    find: impl Fn(&str) -> Option<&'a TensorInfo>,
) -> Result<()> {
    if file.arch() != architecture {
        bail!(
            AdapterMismatch,
            "the adapter is for the architecture {:?}, the model is {architecture:?}; use one made for \
             this model",
            file.arch()
        )
    }
    for (name, a, b) in file.pairs() {
        let Some(weight) = find(name) else {
            bail!(AdapterMismatch, "the adapter changes {name:?}, which this model does not have")
        };
        // The engine would take the pair for the output's, too, and end the process over its shape.
        if name == EMBEDDING && find("output.weight").is_none() {
            bail!(
                AdapterMismatch,
                "the adapter changes the embeddings, which are this model's output matrix, too; train without them"
            )
        }
        let dim = |dims: &[u64], i: usize| dims.get(i).copied().unwrap_or(1);
        // Embeddings are looked up by row, so their pair is the other way round.
        let (input, output) = if name == EMBEDDING { (1, 0) } else { (0, 1) };
        let a_in = if input == 0 { dim(&a.dims, 0) } else { dim(&a.dims, 1) };
        if a_in != dim(&weight.dims, input) || dim(&b.dims, 1) != dim(&weight.dims, output) {
            bail!(
                AdapterMismatch,
                "the adapter's pair for {name:?} has the shapes {:?} and {:?}, which do not fit the \
                 model's {:?}; use one made for this model",
                a.dims,
                b.dims,
                weight.dims
            )
        }
    }
    Ok(())
}
