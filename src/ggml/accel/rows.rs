//! The nodes of the table that work on each row by itself: norms, gates, activations, and the rotation that tells positions.

use std::ptr::null;

use llama_cpp_sys_2 as sys;

use super::nodes::{Nodes, is_computed};
use super::table::{Kernel, Reading, number, on_host_or_unplaced, rows};
use crate::kernels::rows::{Concat, Curve, GateForward, NormForward, Parts, Rope};

/// How the engine numbers the two kinds of pairs that turn: neighbours, and elements of both halves (ggml.h,
/// `GGML_ROPE_TYPE_NORMAL` and `_NEOX`, macros both).
const PAIRS: i32 = 0;
const HALVES: i32 = 2;

/// An RMS norm; with the product that follows, if that takes the norm's place.
///
/// # Safety
/// The nodes are valid, and so are their sources.
pub(super) unsafe fn norm(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function.
    let x = unsafe { node.src[0].as_ref()? };
    let (count, x_stride) = floats(x)?;
    let (_, y_stride) = floats(node)?;
    // SAFETY: by the contract of this function.
    let weight = nodes.after(1).and_then(|next| unsafe { factors(node, next) });
    let nodes = if weight.is_some() { 2 } else { 1 };
    let norm = NormForward {
        weight: weight.map_or(null(), |w| w.data.cast_const().cast()),
        eps: number(node, 0),
        width: node.ne[0] as usize,
        rows: count,
        x: x.data.cast_const().cast(),
        x_stride,
        y: node.data.cast(),
        y_stride,
    };
    Some(Reading::of_first(nodes, Kernel::Norm(norm)))
}

/// What each row of a norm is multiplied with in the next node, whose result takes the norm's place: then no other node
/// reads the norm.
///
/// # Safety
/// As [`norm`].
unsafe fn factors<'a>(
    norm: &sys::ggml_tensor,
    next: &'a sys::ggml_tensor,
) -> Option<&'a sys::ggml_tensor> {
    let is_product = next.op == sys::GGML_OP_MUL && std::ptr::eq(next.src[0], norm);
    let is_in_place =
        !norm.data.is_null() && next.data == norm.data && (next.ne, next.nb) == (norm.ne, norm.nb);
    if !is_computed(norm)
        || !is_computed(next)
        || !is_product
        || !is_in_place
        || next.type_ != sys::GGML_TYPE_F32
    {
        return None;
    }
    // SAFETY: by the contract of this function; a product has two sources.
    let weight = unsafe { next.src[1].as_ref()? };
    let is_row = weight.ne == [norm.ne[0], 1, 1, 1] && floats(weight).is_some();
    // SAFETY: by the contract of this function.
    (is_row && unsafe { on_host_or_unplaced(weight) }).then_some(weight)
}

/// SwiGLU or GeGLU, of two tensors or of both halves of one.
///
/// # Safety
/// As [`norm`].
pub(super) unsafe fn gate(nodes: &Nodes<'_>) -> Option<Reading> {
    // SAFETY: by the contract of this function.
    unsafe { gate_of(nodes.node()).map(|gate| Reading::alone(Kernel::Gate(gate))) }
}

/// The gate that a node is.
///
/// # Safety
/// As [`norm`].
pub(super) unsafe fn gate_of(node: &sys::ggml_tensor) -> Option<GateForward> {
    let curve = match node.op_params[0] as sys::ggml_glu_op {
        sys::GGML_GLU_OP_SWIGLU => Curve::Silu,
        sys::GGML_GLU_OP_GEGLU => Curve::Gelu,
        _ => return None,
    };
    // SAFETY: by the contract of this function.
    let (x, up) = unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()) };
    let width = node.ne[0] as usize;
    let (count, x_stride) = floats(x)?;
    let (_, y_stride) = floats(node)?;
    let start = |t: &sys::ggml_tensor| t.data.cast_const().cast::<f32>();
    let (x, up, up_stride) = match up {
        Some(up) => (start(x), start(up), floats(up)?.1),
        None => {
            let is_swapped = usize::from(node.op_params[1] != 0);
            let half = |i: usize| start(x).wrapping_add(i * width);
            (half(is_swapped), half(1 - is_swapped), x_stride)
        }
    };
    let y = node.data.cast();
    Some(GateForward { curve, width, rows: count, x, x_stride, up, up_stride, y, y_stride })
}

/// SiLU or GELU without a gate.
///
/// # Safety
/// As [`norm`].
pub(super) unsafe fn activation(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    let curve = match node.op_params[0] as sys::ggml_unary_op {
        sys::GGML_UNARY_OP_SILU => Curve::Silu,
        sys::GGML_UNARY_OP_GELU => Curve::Gelu,
        _ => return None,
    };
    // SAFETY: by the contract of this function.
    let x = unsafe { node.src[0].as_ref()? };
    let (count, x_stride) = floats(x)?;
    let (_, y_stride) = floats(node)?;
    Some(Reading::alone(Kernel::Gate(GateForward {
        curve,
        width: node.ne[0] as usize,
        rows: count,
        x: x.data.cast_const().cast(),
        x_stride,
        up: null(),
        up_stride: 0,
        y: node.data.cast(),
        y_stride,
    })))
}

/// Rotation by one position a token, without YaRN.
///
/// # Safety
/// As [`norm`].
pub(super) unsafe fn rope(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function; the last source may be null.
    let (x, positions, factors) =
        unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()?, node.src[2].as_ref()) };
    let (turned, mode, offset) = (node.op_params[1], node.op_params[2], node.op_params[15]);
    let is_known = mode == PAIRS || mode == HALVES;
    let is_stretched = number(node, 7) != 0.0;
    let is_plain = positions.type_ == sys::GGML_TYPE_I32 && x.ne[3] == 1 && offset == 0;
    let factors_fit = factors.is_none_or(|f| f.type_ == sys::GGML_TYPE_F32);
    // SAFETY: by the contract of this function.
    let is_reachable =
        unsafe { on_host_or_unplaced(positions) && factors.is_none_or(|f| on_host_or_unplaced(f)) };
    if !is_known || is_stretched || !is_plain || !factors_fit || !is_reachable {
        return None;
    }
    let [x_head, x_token, _] = strides(x)?;
    let [y_head, y_token, _] = strides(node)?;
    let [width, heads, tokens, _] = x.ne.map(|n| n as usize);
    let turned = usize::try_from(turned).ok()?;
    let rope = Rope {
        width,
        heads,
        tokens,
        turned,
        neighbours: mode == PAIRS,
        positions: positions.data.cast_const().cast(),
        base: number(node, 5),
        scale: number(node, 6),
        factors: factors.map_or(null(), |f| f.data.cast_const().cast()),
        magnitude: number(node, 8),
        x: x.data.cast_const().cast(),
        x_head,
        x_token,
        y: node.data.cast(),
        y_head,
        y_token,
    };
    Some(Reading::alone(Kernel::Rope(rope)))
}

/// Rows that others continue.
///
/// # Safety
/// As [`norm`].
pub(super) unsafe fn concat(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function; a concatenation has two sources.
    let (a, b) = unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()?) };
    let is_along_rows = node.op_params[0] == 0;
    // SAFETY: by the contract of this function.
    let are_reachable = unsafe { on_host_or_unplaced(a) && on_host_or_unplaced(b) };
    let [1, y_strides @ ..] = all_strides(node)? else { return None };
    if !is_along_rows || !are_reachable {
        return None;
    }
    let part = |tensor: &sys::ggml_tensor| {
        let (at, width) = (tensor.data.cast_const().cast(), tensor.ne[0] as usize);
        Some(Parts { at, width, strides: all_strides(tensor)? })
    };
    let [_, rows, sheets, books] = node.ne.map(|n| n as usize);
    let parts = [part(a)?, part(b)?];
    let concat = Concat { parts, rows, sheets, books, y: node.data.cast(), y_strides };
    Some(Reading::alone(Kernel::Concat(Box::new(concat))))
}

/// The floats from one element of a tensor of f32 to the next in each dimension.
fn all_strides(tensor: &sys::ggml_tensor) -> Option<[usize; 4]> {
    let float = size_of::<f32>();
    let are_whole = tensor.nb.iter().all(|bytes| bytes.is_multiple_of(float));
    (tensor.type_ == sys::GGML_TYPE_F32 && are_whole).then(|| tensor.nb.map(|bytes| bytes / float))
}

/// The same in each dimension but the first, whose elements have no gaps: such as from one head to the next, from one token
/// to the next, and from one sequence to the next.
pub(super) fn strides(tensor: &sys::ggml_tensor) -> Option<[usize; 3]> {
    let [1, strides @ ..] = all_strides(tensor)? else { return None };
    Some(strides)
}

/// A tensor of f32 as rows.
pub(super) fn floats(tensor: &sys::ggml_tensor) -> Option<(usize, usize)> {
    rows(tensor).filter(|_| tensor.type_ == sys::GGML_TYPE_F32)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
