//! What is read as one, in graphs that the engine builds.

use std::ptr::null_mut;

use super::*;
use crate::kernels::Level;

type Tensor = *mut sys::ggml_tensor;

const WIDTH: i64 = 64;
const TOKENS: i64 = 40;

/// A graph whose tensors have memory, freed with it.
struct Graph {
    context: *mut sys::ggml_context,
    buffer: sys::ggml_backend_buffer_t,
    graph: *mut sys::ggml_cgraph,
}

/// What graphs are built of.
struct Builder(*mut sys::ggml_context);

impl Builder {
    fn matrix(&self, kind: sys::ggml_type, [width, rows]: [i64; 2]) -> Tensor {
        // SAFETY: the context is valid, and has room for what a test makes.
        unsafe { sys::ggml_new_tensor_2d(self.0, kind, width, rows) }
    }

    fn vectors(&self) -> Tensor {
        self.matrix(sys::GGML_TYPE_F32, [WIDTH, TOKENS])
    }

    /// A product with weights of so many rows.
    fn times(&self, x: Tensor, rows: i64) -> Tensor {
        let weight = self.matrix(sys::GGML_TYPE_Q4_0, [WIDTH, rows]);
        // SAFETY: as in `matrix`; the tensors are the context's.
        unsafe { sys::ggml_mul_mat(self.0, weight, x) }
    }

    fn gated(&self, gate: Tensor, up: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_swiglu_split(self.0, gate, up) }
    }

    fn added(&self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_add(self.0, a, b) }
    }

    fn squared(&self, x: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_sqr(self.0, x) }
    }
}

impl Graph {
    /// Of what `build` makes of vectors, one after the other.
    fn new(build: impl FnOnce(&Builder, Tensor) -> Vec<Tensor>) -> Self {
        let params =
            sys::ggml_init_params { mem_size: 1 << 20, mem_buffer: null_mut(), no_alloc: true };
        // SAFETY: the engine makes all of it, and it is freed in the end.
        unsafe {
            let context = sys::ggml_init(params);
            let builder = Builder(context);
            let results = build(&builder, builder.vectors());
            let graph = sys::ggml_new_graph(context);
            results.into_iter().for_each(|node| sys::ggml_build_forward_expand(graph, node));
            let cpu = sys::ggml_backend_cpu_buffer_type();
            let buffer = sys::ggml_backend_alloc_ctx_tensors_from_buft(context, cpu);
            Self { context, buffer, graph }
        }
    }

    /// The nodes from number `first` on.
    fn from(&self, first: usize) -> Nodes<'_> {
        // SAFETY: the graph is valid.
        unsafe { Nodes::of(self.graph, first).expect("a node") }
    }

    /// The kernel for the first product of the graph.
    fn kernel(&self) -> Kernel {
        // SAFETY: the graph is valid, and so are its tensors.
        let (kernel, _) = unsafe { Kernel::of(&self.from(0), Level::Avx2).expect("a kernel") };
        kernel
    }

    /// How many nodes the first product's kernel computes.
    fn count(&self) -> usize {
        self.kernel().nodes()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody has them any more.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.context);
        }
    }
}

#[test]
fn networks_are_gated_in_either_order() {
    for is_swapped in [false, true] {
        let graph = Graph::new(|of, x| {
            let [first, second] = [0, 1].map(|_| of.times(x, 96));
            let (gate, up) = if is_swapped { (second, first) } else { (first, second) };
            vec![first, second, of.gated(gate, up)]
        });
        let Kernel::Fused(fused) = graph.kernel() else { panic!("not fused") };
        let Then::Gate { up, .. } = fused.then else { panic!("not gated") };
        let weight = |i: usize| {
            let product = graph.from(i);
            // SAFETY: a product has two sources.
            unsafe { (*product.node().src[0]).data.cast_const().cast() }
        };
        let expected = if is_swapped { (weight(1), weight(0)) } else { (weight(0), weight(1)) };
        assert!((fused.product.weight.data, up.data) == expected, "swapped: {is_swapped}");
        assert_eq!(graph.count(), 3);
    }
}

#[test]
fn networks_are_not_gated_if_something_else_is_read_or_multiplied() {
    type Build = fn(&Builder, Tensor, [Tensor; 2]) -> Vec<Tensor>;
    let cases: [(&str, Build, usize); 4] = [
        ("fused", |of, _, [a, b]| vec![of.gated(a, b)], 3),
        ("a result is read twice", |of, _, [a, b]| vec![of.gated(a, b), of.squared(a)], 1),
        (
            "a result is wanted",
            |of, _, [a, b]| {
                // SAFETY: a tensor of the graph.
                unsafe { sys::ggml_set_output(b) };
                vec![of.gated(a, b)]
            },
            1,
        ),
        ("other vectors", |of, _, [a, _]| vec![of.gated(a, of.times(of.vectors(), 96))], 1),
    ];
    for (what, build, count) in cases {
        let graph = Graph::new(|of, x| build(of, x, [0, 1].map(|_| of.times(x, 96))));
        assert_eq!(graph.count(), count, "{what}");
    }
}

#[test]
fn residuals_and_biases_are_added() {
    const F32: sys::ggml_type = sys::GGML_TYPE_F32;
    let cases = [
        ("as many vectors", F32, [WIDTH, TOKENS], Some(WIDTH as usize)),
        ("one", F32, [WIDTH, 1], Some(0)),
        ("of another type", sys::GGML_TYPE_F16, [WIDTH, TOKENS], None),
        ("one number", F32, [1, 1], None),
    ];
    for (what, kind, shape, distance) in cases {
        for is_swapped in [false, true] {
            let graph = Graph::new(|of, x| {
                let (product, other) = (of.times(x, WIDTH), of.matrix(kind, shape));
                // The engine repeats only what is on the right.
                let is_left = is_swapped && kind == F32 && shape == [WIDTH, TOKENS];
                let sum = if is_left { of.added(other, product) } else { of.added(product, other) };
                vec![product, sum]
            });
            let found = match graph.kernel() {
                Kernel::Fused(FusedProduct { then: Then::Add(other), .. }) => other.distance(),
                _ => None,
            };
            assert_eq!(found, distance, "{what}");
        }
    }
}

#[test]
fn vectors_stay_packed_until_they_or_their_memory_are_written() {
    use super::super::packed::Packed;
    use crate::kernels::Need;

    let graph = Graph::new(|of, x| {
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|_| of.times(x, 96));
        // SAFETY: as for the others.
        let written = unsafe { sys::ggml_sqr_inplace(of.0, x) };
        vec![first, of.squared(first), second, third, written, fourth]
    });
    let level = Level::Avx2;
    let meet = |packed: &mut Packed, i: usize| {
        let nodes = graph.from(i);
        // SAFETY: the graph is valid, and so are its tensors.
        unsafe {
            let kernel = Kernel::of(&nodes, level);
            let met = kernel.and_then(|(mut kernel, need)| {
                packed.meets(&mut kernel, need, level);
                kernel.product().map(|product| product.is_packed)
            });
            packed.passes(nodes.node());
            met
        }
    };
    let mut packed = Packed::default();
    let met: Vec<_> = (0..6).map(|i| meet(&mut packed, i)).collect();
    assert_eq!(met, [Some(false), None, Some(true), Some(true), None, Some(false)]);
    // Something else needs the memory.
    let mut packed = Packed::default();
    assert_eq!(meet(&mut packed, 2), Some(false));
    packed.meets(&mut Kernel::Broken(0), Need { shared: 64, own: 0 }, level);
    assert_eq!(meet(&mut packed, 3), Some(false));
}
