//! Graphs that the engine builds, with memory as it shares it out, for tests of how they are read.

use std::ptr::null_mut;

use llama_cpp_sys_2 as sys;

use super::compute;
use super::nodes::Nodes;
use super::table::{Kernel, Reading};
use crate::kernels::oracle::{random_floats, random_weight, relative_error};
use crate::kernels::testing::{Together, levels, run_crew};
use crate::kernels::{Level, WeightType};

pub(super) type Tensor = *mut sys::ggml_tensor;

pub(super) const WIDTH: i64 = 64;

/// A graph and what it is made of, freed with it.
pub(super) struct Graph {
    contexts: [*mut sys::ggml_context; 2],
    buffer: sys::ggml_backend_buffer_t,
    memory: sys::ggml_gallocr_t,
    graph: *mut sys::ggml_cgraph,
}

/// What graphs are built of: one context is for what is given, the other for what is computed.
pub(super) struct Builder {
    given: *mut sys::ggml_context,
    computed: *mut sys::ggml_context,
}

impl Builder {
    /// A matrix that is given.
    pub(super) fn matrix(&self, kind: sys::ggml_type, [width, rows]: [i64; 2]) -> Tensor {
        // SAFETY: the context is valid, and has room for what a test makes.
        unsafe { sys::ggml_new_tensor_2d(self.given, kind, width, rows) }
    }

    /// Vectors that are given.
    pub(super) fn vectors(&self, count: i64) -> Tensor {
        self.matrix(sys::GGML_TYPE_F32, [WIDTH, count])
    }

    /// A product with weights of so many rows.
    pub(super) fn times(&self, x: Tensor, rows: i64) -> Tensor {
        let weight = self.matrix(sys::GGML_TYPE_Q4_0, [WIDTH, rows]);
        // SAFETY: as in `matrix`; the tensors are of these contexts.
        unsafe { sys::ggml_mul_mat(self.computed, weight, x) }
    }

    /// A product with a stack of matrices.
    pub(super) fn times_stack(&self, x: Tensor, [rows, count]: [i64; 2]) -> Tensor {
        // SAFETY: as in `times`.
        unsafe {
            let kind = sys::GGML_TYPE_Q4_0;
            let weights = sys::ggml_new_tensor_3d(self.given, kind, WIDTH, rows, count);
            sys::ggml_mul_mat(self.computed, weights, x)
        }
    }

    /// A view that has the tokens of each head one after the other, not the heads of each token.
    pub(super) fn by_heads(&self, x: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_permute(self.computed, x, 0, 2, 1, 3) }
    }

    pub(super) fn gated(&self, gate: Tensor, up: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_swiglu_split(self.computed, gate, up) }
    }

    pub(super) fn activated(&self, x: Tensor, curve: sys::ggml_unary_op) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_unary(self.computed, x, curve) }
    }

    pub(super) fn added(&self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_add(self.computed, a, b) }
    }

    /// Floats that are given, of any shape.
    pub(super) fn given(&self, [width, rows, sheets]: [i64; 3]) -> Tensor {
        // SAFETY: as in `matrix`.
        unsafe { sys::ggml_new_tensor_3d(self.given, sys::GGML_TYPE_F32, width, rows, sheets) }
    }

    /// Numbers that are given.
    pub(super) fn numbers(&self, kind: sys::ggml_type, count: i64) -> Tensor {
        self.matrix(kind, [count, 1])
    }

    /// Vectors as so many heads each.
    pub(super) fn divided(&self, x: Tensor, heads: i64) -> Tensor {
        // SAFETY: as in `times`.
        unsafe {
            let [width, tokens, ..] = (*x).ne;
            sys::ggml_reshape_3d(self.computed, x, width / heads, heads, tokens)
        }
    }

    /// So many heads of each vector, from one on.
    pub(super) fn part(&self, x: Tensor, first: usize, heads: i64) -> Tensor {
        let head = WIDTH as usize * size_of::<f32>();
        // SAFETY: as in `times`.
        unsafe {
            let (tokens, row) = ((*x).ne[1], (*x).nb[1]);
            sys::ggml_view_3d(self.computed, x, WIDTH, heads, tokens, head, row, first * head)
        }
    }

    /// The first vectors.
    pub(super) fn first_tokens(&self, x: Tensor, tokens: i64) -> Tensor {
        // SAFETY: as in `times`; there are as many.
        unsafe { sys::ggml_view_2d(self.computed, x, (*x).ne[0], tokens, (*x).nb[1], 0) }
    }

    /// Heads turned by position.
    pub(super) fn turned(&self, x: Tensor, positions: Tensor) -> Tensor {
        let (dims, halves) = (WIDTH as i32, 2);
        let (base, nothing) = (1e4, null_mut());
        // SAFETY: as in `times`.
        unsafe {
            sys::ggml_rope_ext(
                self.computed,
                x,
                positions,
                nothing,
                dims,
                halves,
                0,
                base,
                1.0,
                0.0,
                1.0,
                32.0,
                1.0,
            )
        }
    }

    /// All heads of each token as a row, put into a table.
    pub(super) fn put(&self, table: Tensor, x: Tensor, numbers: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe {
            let (row, tokens) = ((*x).ne[0] * (*x).ne[1], (*x).ne[2]);
            let rows = sys::ggml_view_2d(self.computed, x, row, tokens, (*x).nb[2], 0);
            sys::ggml_set_rows(self.computed, table, rows, numbers)
        }
    }

    /// The first heads of each token.
    pub(super) fn head(&self, x: Tensor, heads: i64) -> Tensor {
        // SAFETY: as in `times`; a token has as many.
        unsafe {
            let (width, tokens, strides) = ((*x).ne[0], (*x).ne[2], (*x).nb);
            sys::ggml_view_3d(self.computed, x, width, heads, tokens, strides[1], strides[2], 0)
        }
    }

    /// A view that has columns for rows.
    pub(super) fn transposed(&self, x: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_transpose(self.computed, x) }
    }

    /// `a`, and `b` behind it in this dimension.
    pub(super) fn concat(&self, a: Tensor, b: Tensor, dimension: i32) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_concat(self.computed, a, b, dimension) }
    }

    /// A convolution along the tokens.
    pub(super) fn convolved(&self, x: Tensor, weight: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_ssm_conv(self.computed, x, weight) }
    }

    /// A gated delta rule that keeps so many states, of queries, keys, values, gates, betas and states.
    pub(super) fn delta_rule(
        &self,
        [q, k, v, gate, beta, state]: [Tensor; 6],
        kept: i64,
    ) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_gated_delta_net(self.computed, q, k, v, gate, beta, state, kept) }
    }

    pub(super) fn squared(&self, x: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_sqr(self.computed, x) }
    }

    pub(super) fn squared_in_place(&self, x: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_sqr_inplace(self.computed, x) }
    }

    /// A norm with factors.
    pub(super) fn normed(&self, x: Tensor) -> Tensor {
        let factors = self.vectors(1);
        // SAFETY: as in `times`.
        unsafe { sys::ggml_mul(self.computed, sys::ggml_rms_norm(self.computed, x, 1e-5), factors) }
    }

    /// Vectors for so many terms of so many tokens, made from what is given.
    pub(super) fn terms(&self, [width, terms, tokens]: [i64; 3]) -> Tensor {
        // SAFETY: as in `matrix`.
        let given = unsafe {
            sys::ggml_new_tensor_3d(self.given, sys::GGML_TYPE_F32, width, terms, tokens)
        };
        self.squared(given)
    }

    pub(super) fn multiplied(&self, a: Tensor, b: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_mul(self.computed, a, b) }
    }

    /// The vectors of one term of each token.
    pub(super) fn term(&self, x: Tensor, i: usize) -> Tensor {
        // SAFETY: as in `times`; the term is one of the tensor's.
        unsafe {
            let (width, tokens, strides) = ((*x).ne[0], (*x).ne[2], (*x).nb);
            sys::ggml_view_2d(self.computed, x, width, tokens, strides[2], i * strides[1])
        }
    }

    /// Lets the result of a node be wanted by who has the graph.
    pub(super) fn wanted(&self, node: Tensor) -> Tensor {
        // SAFETY: as in `times`.
        unsafe { sys::ggml_set_output(node) };
        node
    }
}

impl Graph {
    /// Of what `build` makes, one after the other, if `count` vectors are given.
    pub(super) fn new(count: i64, build: impl FnOnce(&Builder, Tensor) -> Vec<Tensor>) -> Self {
        let params =
            sys::ggml_init_params { mem_size: 1 << 20, mem_buffer: null_mut(), no_alloc: true };
        // SAFETY: the engine makes all of it, and it is freed in the end.
        unsafe {
            let contexts = [sys::ggml_init(params), sys::ggml_init(params)];
            let builder = Builder { given: contexts[0], computed: contexts[1] };
            let results = build(&builder, builder.vectors(count));
            let graph = sys::ggml_new_graph(contexts[1]);
            results.into_iter().for_each(|node| sys::ggml_build_forward_expand(graph, node));
            let cpu = sys::ggml_backend_cpu_buffer_type();
            let buffer = sys::ggml_backend_alloc_ctx_tensors_from_buft(contexts[0], cpu);
            let memory = sys::ggml_gallocr_new(cpu);
            assert!(sys::ggml_gallocr_alloc_graph(memory, graph));
            Self { contexts, buffer, memory, graph }
        }
    }

    /// The nodes from number `first` on.
    pub(super) fn from(&self, first: usize) -> Nodes<'_> {
        // SAFETY: the graph is valid.
        unsafe { Nodes::of(self.graph, first) }.unwrap_or_else(|| panic!("no node {first}"))
    }

    /// Gives random values to all floats and weights that are given.
    pub(super) fn fill(&self) {
        // SAFETY: the context is valid, and its tensors have their memory.
        unsafe {
            let mut given = sys::ggml_get_first_tensor(self.contexts[0]);
            for seed in 0.. {
                let Some(tensor) = given.as_ref() else { break };
                let count = sys::ggml_nelements(tensor) as usize;
                if tensor.type_ == sys::GGML_TYPE_F32 {
                    let values = random_floats(count, seed);
                    tensor.data.cast::<f32>().copy_from(values.as_ptr(), values.len());
                } else if tensor.type_ == sys::GGML_TYPE_Q4_0 {
                    let width = tensor.ne[0] as usize;
                    let bytes = random_weight(WeightType::Q4_0, count / width, width, seed);
                    tensor.data.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len());
                }
                given = sys::ggml_get_next_tensor(self.contexts[0], given);
            }
        }
    }

    /// Computes it as the engine does.
    pub(super) fn compute(&self) {
        // SAFETY: the graph is valid, and its tensors have their memory.
        unsafe {
            let backend = sys::ggml_backend_cpu_init();
            let status = compute::run(backend, self.graph);
            sys::ggml_backend_free(backend);
            assert_eq!(status, sys::GGML_STATUS_SUCCESS);
        }
    }

    /// The number of the last node.
    pub(super) fn last(&self) -> usize {
        self.from(0).count() - 1
    }

    /// Checks that the last node has a kernel, and that this gives what the engine gives, but for so much of it.
    pub(super) fn assert_engines(&self, bound: f64) {
        let nodes = self.from(self.last());
        let node = nodes.node();
        // SAFETY: the tensors are valid and of floats, and have their memory; what the last node reads is left by the
        // computation. Each crew ends before the next begins.
        unsafe {
            self.fill();
            self.compute();
            let results = std::slice::from_raw_parts_mut(
                node.data.cast::<f32>(),
                sys::ggml_nelements(node) as usize,
            );
            let engines: Vec<f64> = results.iter().map(|x| f64::from(*x)).collect();
            for level in levels() {
                results.fill(f32::NAN);
                let (reading, need) =
                    Kernel::of(&nodes, level).unwrap_or_else(|| panic!("no kernel"));
                let kernel = Together(reading.kernel);
                run_crew(2, need, |crew, scratch| kernel.get().run(level, crew, scratch));
                let error = relative_error(results, &engines);
                assert!(error <= bound, "{level:?}: {error:e}");
            }
        }
    }

    /// How the first node is read.
    pub(super) fn reading(&self) -> Reading {
        // SAFETY: the graph is valid, and so are its tensors.
        let read = unsafe { Kernel::of(&self.from(0), Level::Avx2) };
        read.unwrap_or_else(|| panic!("no kernel")).0
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody has them any more.
        unsafe {
            sys::ggml_gallocr_free(self.memory);
            sys::ggml_backend_buffer_free(self.buffer);
            for context in self.contexts {
                sys::ggml_free(context);
            }
        }
    }
}
