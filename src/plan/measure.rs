//! Memory as the engine counts it, without allocating it.

use crate::error::Result;
use crate::ggml::{self, ContextParams, MemoryPart, RawContext};
use crate::model::Model;

/// Contexts up to this many tokens are counted by the engine, which keeps a record of each token even so.
const COUNTED: u32 = 131_072;

/// The engine rounds a context up to a multiple of this.
const STEP: u64 = 256;

/// What a context would take with so many threads, by kind of buffer, with the model's weights.
///
/// Above [`COUNTED`] tokens all parts grow linearly, so that two smaller contexts tell the larger one.
pub(super) fn measure(
    model: &Model,
    params: &ContextParams,
    n_threads: i32,
) -> Result<Vec<MemoryPart>> {
    model.check_work(params.work)?;
    let hollow = model.hollow()?;
    let count = |n_ctx: u32| -> Result<Vec<MemoryPart>> {
        // A context over a model without weights: the engine counts, but allocates nothing.
        let context = RawContext::new(&hollow, &ContextParams { n_ctx, ..params.clone() })?;
        ggml::breakdown(&context, n_threads)
    };
    if params.n_ctx <= COUNTED {
        return count(params.n_ctx);
    }
    let (half, whole) = (count(COUNTED / 2)?, count(COUNTED)?);
    let above = u64::from(params.n_ctx).next_multiple_of(STEP) - u64::from(COUNTED);
    let grow = |half: u64, whole: u64| {
        let slope = u128::from(whole.saturating_sub(half)) * u128::from(above);
        whole.saturating_add(u64::try_from(slope / u128::from(COUNTED / 2)).unwrap_or(u64::MAX))
    };
    Ok(whole
        .into_iter()
        .map(|part| {
            match half.iter().find(|h| (&h.name, &h.device) == (&part.name, &part.device)) {
                Some(half) => MemoryPart {
                    kv_cache: grow(half.kv_cache, part.kv_cache),
                    compute: grow(half.compute, part.compute),
                    ..part
                },
                None => part,
            }
        })
        .collect())
}
