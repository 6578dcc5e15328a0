//! The nodes of the table that layers with a state of fixed size have.

use llama_cpp_sys_2 as sys;

use super::nodes::Nodes;
use super::rows::strides;
use super::table::{Kernel, Reading, on_host_or_unplaced};
use crate::kernels::recurrent::{Convolution, DeltaRule, Steps};

/// A convolution of each channel along the tokens.
///
/// # Safety
/// The nodes are valid, and so are their sources.
pub(super) unsafe fn convolution(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function; a convolution has two sources.
    let (x, weight) = unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()?) };
    let ([x_channel, x_sequence, _], [weight_channel, ..]) = (strides(x)?, strides(weight)?);
    let [y_token, y_sequence, _] = strides(node)?;
    let [channels, tokens, sequences, _] = node.ne.map(|n| n as usize);
    // SAFETY: by the contract of this function.
    let is_reachable = unsafe { on_host_or_unplaced(weight) };
    is_reachable.then(|| {
        Reading::alone(Kernel::Convolution(Convolution {
            channels,
            tokens,
            taps: weight.ne[0] as usize,
            sequences,
            x: x.data.cast_const().cast(),
            x_channel,
            x_sequence,
            weight: weight.data.cast_const().cast(),
            weight_channel,
            y: node.data.cast(),
            y_token,
            y_sequence,
        }))
    })
}

/// A gated delta rule that keeps no states but the last.
///
/// # Safety
/// As [`convolution`].
pub(super) unsafe fn delta_rule(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function; such a rule has six sources.
    let [q, k, v, gate, beta, state] = unsafe {
        let [q, k, v, gate, beta, state] = [0, 1, 2, 3, 4, 5].map(|i| node.src[i].as_ref());
        [q?, k?, v?, gate?, beta?, state?]
    };
    let [size, heads, tokens, sequences] = v.ne.map(|n| n as usize);
    // Queries and keys may be shared by heads, not by sequences.
    let fits = [q, k].iter().all(|x| x.ne[0] == v.ne[0] && x.ne[2..] == v.ne[2..]);
    let keeps_last = node.op_params[0] == 1;
    let are_reachable =
        // SAFETY: by the contract of this function.
        [q, k, v, gate, beta, state].iter().all(|x| unsafe { on_host_or_unplaced(x) });
    if !fits || !keeps_last || !are_reachable || node.type_ != sys::GGML_TYPE_F32 {
        return None;
    }
    let [_, _, state_sequence] = strides(state)?;
    if sequences > 1 && state_sequence != heads * size * size {
        return None;
    }
    let y = node.data.cast::<f32>();
    let rule = DeltaRule {
        size,
        heads,
        tokens,
        sequences,
        q: steps(q)?,
        q_heads: q.ne[1] as usize,
        k: steps(k)?,
        k_heads: k.ne[1] as usize,
        v: steps(v)?,
        gate: steps(gate)?,
        gates_elements: gate.ne[0] > 1,
        beta: steps(beta)?,
        state: state.data.cast_const().cast(),
        y,
        state_after: y.wrapping_add(size * heads * tokens * sequences),
    };
    Some(Reading::alone(Kernel::DeltaRule(Box::new(rule))))
}

fn steps(tensor: &sys::ggml_tensor) -> Option<Steps> {
    let [head, token, sequence] = strides(tensor)?;
    Some(Steps { at: tensor.data.cast_const().cast(), head, token, sequence })
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "recurrent_tests.rs"]
mod tests;
