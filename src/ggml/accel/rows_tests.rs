//! Which activations and concatenations are read, in graphs that the engine builds.

use super::super::testing::{Builder, Graph, Tensor};
use super::*;
use crate::kernels::rows::Curve;

#[test]
fn activations_alone_are_read_if_there_is_a_curve_for_them() {
    type Build = fn(&Builder, Tensor) -> Tensor;
    let cases: [(Build, Option<Curve>); 6] = [
        (|of, x| of.activated(x, sys::GGML_UNARY_OP_SILU), Some(Curve::Silu)),
        (|of, x| of.activated(x, sys::GGML_UNARY_OP_GELU), Some(Curve::Gelu)),
        (|of, x| of.activated(x, sys::GGML_UNARY_OP_GELU_ERF), None),
        (|of, x| of.activated(x, sys::GGML_UNARY_OP_GELU_QUICK), None),
        (|of, x| of.activated(x, sys::GGML_UNARY_OP_RELU), None),
        (|of, x| of.squared(x), None),
    ];
    for (build, curve) in cases {
        let graph = Graph::new(40, |of, x| vec![build(of, of.squared(x))]);
        // SAFETY: the graph is valid, and so are its tensors.
        let read = unsafe { Kernel::of(&graph.from(1), crate::kernels::Level::Avx2) };
        let found = read.map(|(reading, _)| match reading.kernel {
            Kernel::Gate(gate) => (gate.curve, gate.up.is_null(), gate.rows),
            _ => panic!("not an activation"),
        });
        assert_eq!(found, curve.map(|curve| (curve, true, 40)));
    }
}

#[test]
fn rows_that_others_continue_are_the_engines() {
    let size = [9, 21, 3];
    let [plain, turned]: [fn(&Builder) -> Tensor; 2] = [
        |of| of.squared(of.given([9, 21, 3])),
        |of| of.transposed(of.squared(of.given([21, 30, 3]))),
    ];
    for second in [plain, turned] {
        let graph = Graph::new(1, |of, _| vec![of.concat(of.given(size), second(of), 0)]);
        graph.assert_engines(0.0);
    }
    let graph = Graph::new(1, |of, _| vec![of.concat(of.given(size), plain(of), 1)]);
    // SAFETY: the graph is valid, and so are its tensors.
    let read = unsafe { Kernel::of(&graph.from(graph.last()), crate::kernels::Level::Avx2) };
    assert!(read.is_none(), "along the other dimension");
}
