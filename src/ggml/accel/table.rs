//! Which nodes of a graph our kernels compute. All others are the engine's.

use std::ptr::null;

use llama_cpp_sys_2 as sys;

use super::experts::experts;
use super::fused::{added, gated};
use super::inputs::inputs;
use super::nodes::Nodes;
use super::products::{batched, product};
use super::projections::projections;
use super::recurrent::{convolution, delta_rule};
use super::rows::{activation, concat, gate, norm, rope};
use super::weighted::weighted;
use crate::kernels::attention::Attention;
use crate::kernels::recurrent::{Convolution, DeltaRule};
use crate::kernels::rows::{Concat, GateForward, NormForward, Rope, WeightedSum};
use crate::kernels::{
    AttentionInputs, BatchedProduct, Crew, ExpertProduct, FusedProduct, Level, Need, Product,
    Projections, Scratch, Vectors, Weight, WeightType,
};

/// What a node computes, with the pointers and shapes of its tensors.
pub(super) enum Kernel {
    Product(Product),
    Fused(FusedProduct),
    Batched(BatchedProduct),
    Experts(ExpertProduct),
    WeightedSum(WeightedSum),
    Attention(Attention),
    Norm(NormForward),
    Projections(Box<Projections>),
    Inputs(Box<AttentionInputs>),
    Gate(GateForward),
    Rope(Rope),
    Concat(Box<Concat>),
    Convolution(Convolution),
    DeltaRule(Box<DeltaRule>),
    /// Panics on the thread of this number, while the others wait for it.
    #[cfg(test)]
    Broken(usize),
}

/// What a kernel computes: a node, and maybe some that follow.
pub(super) struct Reading {
    pub kernel: Kernel,
    /// A bit for each of these nodes, that of the first first.
    pub taken: u32,
    /// In place of which of them it is computed.
    pub at: usize,
}

impl Reading {
    /// A kernel that computes a node by itself.
    pub(super) fn alone(kernel: Kernel) -> Self {
        Self::of_first(1, kernel)
    }

    /// One that computes the first so many nodes, in place of the last of these.
    pub(super) fn of_first(nodes: usize, kernel: Kernel) -> Self {
        Self { kernel, taken: (1 << nodes) - 1, at: nodes - 1 }
    }
}

/// How a node is read, maybe with some that follow; `None`: shapes, types or memory are not what a kernel takes.
type Read = unsafe fn(&Nodes<'_>) -> Option<Reading>;

const TABLE: [(sys::ggml_op, Read); 16] = [
    (sys::GGML_OP_MUL_MAT, gated),
    (sys::GGML_OP_MUL_MAT, added),
    (sys::GGML_OP_MUL_MAT, product),
    (sys::GGML_OP_MUL_MAT, batched),
    (sys::GGML_OP_MUL_MAT_ID, experts),
    (sys::GGML_OP_MUL, weighted),
    (sys::GGML_OP_FLASH_ATTN_EXT, attention),
    (sys::GGML_OP_RMS_NORM, inputs),
    (sys::GGML_OP_RMS_NORM, projections),
    (sys::GGML_OP_RMS_NORM, norm),
    (sys::GGML_OP_GLU, gate),
    (sys::GGML_OP_UNARY, activation),
    (sys::GGML_OP_ROPE, rope),
    (sys::GGML_OP_CONCAT, concat),
    (sys::GGML_OP_SSM_CONV, convolution),
    (sys::GGML_OP_GATED_DELTA_NET, delta_rule),
];

impl Kernel {
    /// The kernel for a node, or for it and some that follow, and the memory that it works with.
    ///
    /// # Safety
    /// The nodes are valid, and so are their sources.
    pub(super) unsafe fn of(nodes: &Nodes<'_>, level: Level) -> Option<(Reading, Need)> {
        let reads = TABLE.iter().filter(|(op, _)| *op == nodes.node().op);
        reads
            .filter_map(|(_, read)| {
                // SAFETY: by the contract of this function.
                let reading = unsafe { read(nodes)? };
                let need = reading.kernel.need(level)?;
                Some((reading, need))
            })
            .next()
    }

    /// The product whose vectors it packs.
    pub(super) fn product(&mut self) -> Option<&mut Product> {
        match self {
            Self::Product(product) => Some(product),
            Self::Fused(fused) => Some(&mut fused.product),
            _ => None,
        }
    }

    /// The memory to work with; `None`: nothing for this shape at this level.
    fn need(&self, level: Level) -> Option<Need> {
        match self {
            Self::Product(product) => product.need(level),
            Self::Fused(product) => product.need(level),
            Self::Batched(products) => products.need(level),
            Self::Experts(product) => product.need(level),
            Self::WeightedSum(sum) => sum.need(level),
            Self::Attention(attention) => attention.need(level),
            Self::Norm(norm) => norm.need(level),
            Self::Projections(all) => all.need(level),
            Self::Inputs(inputs) => inputs.need(level),
            Self::Gate(gate) => gate.need(level),
            Self::Rope(rope) => rope.need(level),
            Self::Concat(concat) => concat.need(level),
            Self::Convolution(convolution) => convolution.need(level),
            Self::DeltaRule(rule) => rule.need(level),
            #[cfg(test)]
            Self::Broken(_) => Some(Need::default()),
        }
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`of`](Self::of) gave it for this level, and `scratch` holds as much as it said; the tensors have their memory.
    pub(super) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        // SAFETY: by the contract of this function.
        unsafe {
            match self {
                Self::Product(product) => product.run(level, crew, scratch),
                Self::Fused(product) => product.run(level, crew, scratch),
                Self::Batched(products) => products.run(level, crew, scratch),
                Self::Experts(product) => product.run(level, crew, scratch),
                Self::WeightedSum(sum) => sum.run(level, crew, scratch),
                Self::Attention(attention) => attention.run(level, crew, scratch),
                Self::Norm(norm) => norm.run(level, crew, scratch),
                Self::Projections(all) => all.run(level, crew, scratch),
                Self::Inputs(inputs) => inputs.run(level, crew, scratch),
                Self::Gate(gate) => gate.run(level, crew, scratch),
                Self::Rope(rope) => rope.run(level, crew, scratch),
                Self::Concat(concat) => concat.run(level, crew, scratch),
                Self::Convolution(convolution) => convolution.run(level, crew, scratch),
                Self::DeltaRule(rule) => rule.run(level, crew, scratch),
                #[cfg(test)]
                Self::Broken(who) if crew.index == *who => panic!("a kernel's mistake"),
                #[cfg(test)]
                Self::Broken(_) => crew.wait(),
            }
        }
    }
}

/// Attention over a cache, of one stream of sequences.
///
/// # Safety
/// As [`Kernel::of`].
unsafe fn attention(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    let [q, k, v, mask, sinks] = [0, 1, 2, 3, 4].map(|i| node.src[i]);
    // SAFETY: by the contract of this function; the last two may be null.
    let (q, k, v, mask, sinks) =
        unsafe { (q.as_ref()?, k.as_ref()?, v.as_ref()?, mask.as_ref(), sinks.as_ref()) };
    let [scale, max_bias, soft_cap] = [0, 1, 2].map(|i| number(node, i));
    let one_mask = mask.is_none_or(|m| m.type_ == sys::GGML_TYPE_F16 && m.ne[2] == 1);
    let plain = q.ne[3] == 1 && one_mask && k.ne[2] == v.ne[2];
    let float = |t: &sys::ggml_tensor| t.type_ == sys::GGML_TYPE_F32 && t.nb[0] == size_of::<f32>();
    let cell =
        |t: &sys::ggml_tensor| WeightType::from_id(t.type_).filter(|cell| t.nb[0] == cell.bytes());
    // SAFETY: by the contract of this function.
    let reachable = unsafe { on_host_or_unplaced(k) && on_host_or_unplaced(v) };
    if !plain || !float(q) || !float(node) || !reachable {
        return None;
    }
    Some(Reading::alone(Kernel::Attention(Attention {
        q: q.data.cast_const().cast(),
        q_token: q.nb[1],
        q_head: q.nb[2],
        k: k.data.cast_const().cast(),
        k_token: k.nb[1],
        k_head: k.nb[2],
        k_type: cell(k)?,
        v: v.data.cast_const().cast(),
        v_token: v.nb[1],
        v_head: v.nb[2],
        v_type: cell(v)?,
        mask: mask.map_or(null(), |m| m.data.cast_const().cast()),
        mask_stride: mask.map_or(0, |m| m.nb[1]),
        heads: q.ne[2] as usize,
        groups: k.ne[2] as usize,
        tokens: q.ne[1] as usize,
        kv: k.ne[1] as usize,
        head_k: k.ne[0] as usize,
        head_v: v.ne[0] as usize,
        scale,
        soft_cap,
        max_bias,
        sinks: sinks.map_or(null(), |s| s.data.cast_const().cast()),
        out: node.data.cast(),
    })))
}

/// A leaf of the graph, as matrices of weights: the first, how many there are, and the bytes from one to the next. Not
/// what the graph itself computes or is given, which wants more accuracy (the scores of an attention).
///
/// # Safety
/// The tensor is valid.
pub(super) unsafe fn matrices(tensor: &sys::ggml_tensor) -> Option<(Weight, usize, usize)> {
    let leaf = tensor.op == sys::GGML_OP_NONE && tensor.view_src.is_null();
    let input = tensor.flags & sys::GGML_TENSOR_FLAG_INPUT as i32 != 0;
    let [width, rows, count, 1] = tensor.ne else { return None };
    // SAFETY: by the contract of this function.
    if !leaf || input || unsafe { !on_host(tensor) } {
        return None;
    }
    let weight_type = weight_type(tensor.type_)?;
    let whole =
        (width as usize).is_multiple_of(weight_type.block()) && tensor.nb[0] == weight_type.bytes();
    let weight = Weight {
        weight_type,
        data: tensor.data.cast_const().cast(),
        stride: tensor.nb[1],
        rows: rows as usize,
        width: width as usize,
    };
    whole.then_some((weight, count as usize, tensor.nb[2]))
}

/// Whether a tensor lies in memory that the CPU can read, in the layout of its type: not repacked, not on a device.
///
/// # Safety
/// The tensor is valid.
unsafe fn on_host(tensor: &sys::ggml_tensor) -> bool {
    // SAFETY: by the contract of this function; a tensor's buffer is valid as long as the tensor.
    !tensor.buffer.is_null() && unsafe { sys::ggml_backend_buffer_is_host(tensor.buffer) }
}

/// As [`on_host`]; or the graph's memory is still to be shared out, which is the CPU's.
///
/// # Safety
/// The tensor is valid.
pub(super) unsafe fn on_host_or_unplaced(tensor: &sys::ggml_tensor) -> bool {
    // SAFETY: by the contract of this function.
    tensor.buffer.is_null() || unsafe { on_host(tensor) }
}

/// A type of weights that a kernel knows, or that the engine can make f32 of.
pub(in crate::ggml) fn weight_type(id: sys::ggml_type) -> Option<WeightType> {
    if let Some(known) = WeightType::from_id(id) {
        return Some(known);
    }
    // SAFETY: the number is that of a tensor, and so a valid type; its traits are static.
    let traits = unsafe { &*sys::ggml_get_type_traits(id) };
    let block = usize::try_from(traits.blck_size).ok().filter(|&block| block > 0)?;
    Some(WeightType::Other(block, traits.type_size, traits.to_float?))
}

/// A tensor of f32 as rows of equal distance: how many, and the floats from one to the next.
pub(super) fn rows(tensor: &sys::ggml_tensor) -> Option<(usize, usize)> {
    let [_, n, layers, sheets] = tensor.ne.map(|n| n as usize);
    let [float, row, layer, sheet] = tensor.nb;
    let even = (layers == 1 || layer == n * row) && (sheets == 1 || sheet == layers * layer);
    let aligned = float == size_of::<f32>() && row % float == 0;
    (even && aligned).then_some((n * layers * sheets, row / float))
}

/// The rows of a tensor of f32, and how many there are.
pub(super) fn vectors(tensor: &sys::ggml_tensor) -> Option<(usize, Vectors)> {
    let (count, stride) = rows(tensor)?;
    Some((count, Vectors::new(tensor.data.cast(), stride)))
}

/// A parameter of an operation that is a float.
pub(super) fn number(node: &sys::ggml_tensor, i: usize) -> f32 {
    f32::from_bits(node.op_params[i] as u32)
}
