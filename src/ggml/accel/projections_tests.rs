//! Which norms are read with what is made of them.

use super::super::testing::{Builder, Graph, Tensor};
use super::*;

/// How many nodes the kernel of the first computes, in place of which, and of how many products; `None`: the norm alone.
fn read(graph: &Graph) -> Option<(u32, usize, usize)> {
    let Reading { kernel, taken, at } = graph.reading();
    match kernel {
        Kernel::Projections(all) => Some((taken, at, all.products.iter().flatten().count())),
        Kernel::Norm(_) => None,
        _ => panic!("neither"),
    }
}

type Build = fn(&Builder, Tensor) -> Vec<Tensor>;

#[test]
fn products_are_read_with_their_norm() {
    let cases: [(&str, Build, (u32, usize, usize)); 4] = [
        (
            "a network",
            |of, x| {
                let x = of.normed(x);
                let [a, b] = [0, 1].map(|_| of.times(x, 96));
                vec![a, b, of.gated(a, b)]
            },
            (0b11111, 4, 1),
        ),
        (
            "three products, with nodes between them",
            |of, x| {
                let x = of.normed(x);
                let [a, b, c] = [0, 1, 2].map(|_| of.times(x, 96));
                // Their results are read in the end, so that their memory stays their own.
                let [d, e] = [of.squared(a), of.squared(b)];
                let all = of.added(of.added(of.added(a, b), of.added(d, e)), c);
                vec![a, d, b, e, c, all]
            },
            (0b1010111, 2, 3),
        ),
        (
            "biases",
            |of, x| {
                let x = of.normed(x);
                let sums = [0, 1].map(|_| of.added(of.times(x, 64), of.vectors(1)));
                sums.to_vec()
            },
            (0b111111, 3, 2),
        ),
        ("one", |of, x| vec![of.times(of.normed(x), 32)], (0b111, 2, 1)),
    ];
    for (what, build, expected) in cases {
        for count in [1, 8, 9, 512] {
            assert_eq!(read(&Graph::new(count, build)), Some(expected), "{what}, {count} vectors");
        }
    }
}

#[test]
fn a_norm_is_computed_where_something_else_needs_it() {
    let cases: [(&str, Build); 6] = [
        ("it is wanted", |of, x| {
            let x = of.wanted(of.normed(x));
            vec![of.times(x, 96)]
        }),
        ("another node reads it", |of, x| {
            let x = of.normed(x);
            vec![of.times(x, 96), of.squared(x)]
        }),
        ("more products than there is room for", |of, x| {
            let x = of.normed(x);
            [0, 1, 2, 3].map(|_| of.times(x, 96)).to_vec()
        }),
        ("something lies before the first", |of, x| {
            let (other, normed) = (of.squared(x), of.normed(x));
            vec![normed, other, of.times(normed, 96)]
        }),
        ("the memory of the second is that of the first until it is read", |of, x| {
            let x = of.normed(x);
            let first = of.times(x, 64);
            vec![of.times(first, 64), of.times(x, 64)]
        }),
        ("what is added is computed between them", |of, x| {
            let x = of.normed(x);
            let first = of.times(x, 64);
            let other = of.wanted(of.squared(first));
            vec![first, other, of.added(of.times(x, 64), other)]
        }),
    ];
    for (what, build) in cases {
        for count in [1, 9] {
            assert_eq!(read(&Graph::new(count, build)), None, "{what}, {count} vectors");
        }
    }
}
