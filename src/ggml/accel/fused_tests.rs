//! What is read as one, in graphs that the engine builds.

use super::super::testing::{Builder, Graph, Tensor, WIDTH};
use super::*;
use crate::kernels::Level;

const TOKENS: i64 = 40;

#[test]
fn networks_are_gated_in_either_order() {
    for is_swapped in [false, true] {
        let graph = Graph::new(TOKENS, |of, x| {
            let [first, second] = [0, 1].map(|_| of.times(x, 96));
            let (gate, up) = if is_swapped { (second, first) } else { (first, second) };
            vec![first, second, of.gated(gate, up)]
        });
        let Kernel::Fused(fused) = graph.reading().kernel else { panic!("not fused") };
        let Then::Gate { up, .. } = fused.then else { panic!("not gated") };
        let weight = |i: usize| {
            let product = graph.from(i);
            // SAFETY: a product has two sources.
            unsafe { (*product.node().src[0]).data.cast_const().cast() }
        };
        let expected = if is_swapped { (weight(1), weight(0)) } else { (weight(0), weight(1)) };
        assert!((fused.product.weight.data, up.data) == expected, "swapped: {is_swapped}");
        assert_eq!(graph.reading().taken.count_ones(), 3);
    }
}

#[test]
fn networks_are_not_gated_if_something_else_is_read_or_multiplied() {
    type Build = fn(&Builder, Tensor, [Tensor; 2]) -> Vec<Tensor>;
    let cases: [(&str, Build, u32); 4] = [
        ("fused", |of, _, [a, b]| vec![of.gated(a, b)], 3),
        ("a result is read twice", |of, _, [a, b]| vec![of.gated(a, b), of.squared(a)], 1),
        ("a result is wanted", |of, _, [a, b]| vec![of.gated(a, of.wanted(b))], 1),
        ("other vectors", |of, _, [a, _]| vec![of.gated(a, of.times(of.vectors(TOKENS), 96))], 1),
    ];
    for (what, build, count) in cases {
        let graph = Graph::new(TOKENS, |of, x| build(of, x, [0, 1].map(|_| of.times(x, 96))));
        assert_eq!(graph.reading().taken.count_ones(), count, "{what}");
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
            let graph = Graph::new(TOKENS, |of, x| {
                let (product, other) = (of.times(x, WIDTH), of.matrix(kind, shape));
                // The engine repeats only what is on the right.
                let is_left = is_swapped && kind == F32 && shape == [WIDTH, TOKENS];
                let sum = if is_left { of.added(other, product) } else { of.added(product, other) };
                vec![product, sum]
            });
            let found = match graph.reading().kernel {
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

    let graph = Graph::new(TOKENS, |of, x| {
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|_| of.times(x, 96));
        let written = of.squared_in_place(x);
        vec![first, of.squared(first), second, third, written, fourth]
    });
    let level = Level::Avx2;
    let meet = |packed: &mut Packed, i: usize| {
        let nodes = graph.from(i);
        // SAFETY: the graph is valid, and so are its tensors.
        unsafe {
            let kernel = Kernel::of(&nodes, level);
            let met = kernel.and_then(|(mut reading, need)| {
                packed.meets(&mut reading.kernel, need, level);
                reading.kernel.product().map(|product| product.is_packed)
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
