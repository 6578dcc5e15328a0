//! Which sums of weighted vectors are read as one.

use super::super::testing::{Builder, Graph, Tensor, WIDTH};
use super::*;

const TOKENS: i64 = 5;

/// How the node after the two that are given is read: the terms, the nodes that are taken, and the place.
fn read(build: impl FnOnce(&Builder, [Tensor; 2]) -> Vec<Tensor>, terms: i64) -> Option<Reading> {
    let graph = Graph::new(1, |of, _| {
        let (x, weights) = (of.terms([WIDTH, terms, TOKENS]), of.terms([1, terms, TOKENS]));
        [vec![x, weights], build(of, [x, weights])].concat()
    });
    // SAFETY: the graph is valid, and so are its tensors.
    unsafe { weighted(&graph.from(2)) }
}

/// The product, the views and the sums.
fn sum(of: &Builder, [x, weights]: [Tensor; 2], terms: usize) -> Vec<Tensor> {
    let product = of.multiplied(x, weights);
    let views: Vec<Tensor> = (0..terms).map(|i| of.term(product, i)).collect();
    let mut nodes = [vec![product], views.clone()].concat();
    let mut last = views[0];
    for view in &views[1..] {
        last = of.added(last, *view);
        nodes.push(last);
    }
    nodes
}

#[test]
fn terms_are_weighted_and_added_in_one() {
    for terms in [2, 3, 8, MOST_OTHERS + 1] {
        let Reading { kernel, taken, at } = read(|of, both| sum(of, both, terms), terms as i64)
            .unwrap_or_else(|| panic!("{terms}"));
        let Kernel::WeightedSum(sum) = kernel else { panic!("another kernel") };
        assert_eq!((sum.terms, sum.rows, sum.width), (terms, TOKENS as usize, WIDTH as usize));
        assert_eq!(sum.x_strides, [WIDTH as usize, terms * WIDTH as usize]);
        assert_eq!(sum.weight_strides, [1, terms]);
        assert_eq!((at, taken.count_ones() as usize), (2 * terms - 1, terms));
    }
    let terms = MOST_OTHERS + 2;
    assert!(read(|of, both| sum(of, both, terms), terms as i64).is_none(), "too many");
}

#[test]
fn what_something_else_reads_or_adds_is_computed_by_itself() {
    type Build = fn(&Builder, [Tensor; 2]) -> Vec<Tensor>;
    let cases: [(&str, Build); 7] = [
        ("the product is wanted", |of, both| {
            let nodes = sum(of, both, 3);
            of.wanted(nodes[0]);
            nodes
        }),
        ("another node reads the product", |of, both| {
            let nodes = sum(of, both, 3);
            let other = of.squared(nodes[0]);
            [nodes, vec![other]].concat()
        }),
        ("another node reads a view", |of, both| {
            let nodes = sum(of, both, 3);
            let other = of.squared(nodes[2]);
            [nodes, vec![other]].concat()
        }),
        ("a sum in between is wanted", |of, both| {
            let nodes = sum(of, both, 3);
            of.wanted(nodes[4]);
            nodes
        }),
        ("not all terms are added", |of, both| sum(of, both, 2)),
        ("other weights", |of, [x, _]| sum(of, [x, of.terms([WIDTH, 3, TOKENS])], 3)),
        ("no sums", |of, [x, weights]| vec![of.multiplied(x, weights)]),
    ];
    for (what, build) in cases {
        assert!(read(build, 3).is_none(), "{what}");
    }
}
