//! How a product with a mixture of experts is read.

use llama_cpp_sys_2 as sys;

use super::nodes::Nodes;
use super::table::{Kernel, Reading, matrices, on_host_or_unplaced, vectors};
use crate::kernels::ExpertProduct;

/// A product of each token's vectors with matrices of weights that the graph has chosen for it.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn experts(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    let [weight, x, chosen] = [0, 1, 2].map(|i| node.src[i]);
    // SAFETY: by the contract of this function; such products have three sources.
    let (weight, x, chosen) = unsafe { (weight.as_ref()?, x.as_ref()?, chosen.as_ref()?) };
    // SAFETY: as above.
    let reachable = unsafe { on_host_or_unplaced(chosen) };
    let floats = x.type_ == sys::GGML_TYPE_F32 && node.type_ == sys::GGML_TYPE_F32;
    if !floats || !reachable || chosen.type_ != sys::GGML_TYPE_I32 {
        return None;
    }
    // SAFETY: as above.
    let (weight, experts, expert_stride) = unsafe { matrices(weight)? };
    let [slots, tokens, 1, 1] = chosen.ne.map(|n| n as usize) else { return None };
    let [of_slot, of_token, ..] = chosen.nb.map(|bytes| bytes / size_of::<i32>());
    let ((given, x), (wanted, y)) = (vectors(x)?, vectors(node)?);
    // The engine lets slots share vectors in other ways, too, which no model uses.
    let x_is_shared = given == tokens && slots > 1;
    let fits = (x_is_shared || given == tokens * slots) && wanted == tokens * slots && experts > 0;
    let product = ExpertProduct {
        weight,
        experts,
        expert_stride,
        tokens,
        slots,
        chosen: chosen.data.cast_const().cast(),
        chosen_strides: [of_token, of_slot],
        x,
        x_is_shared,
        y,
    };
    fits.then(|| Reading::alone(Kernel::Experts(product)))
}
