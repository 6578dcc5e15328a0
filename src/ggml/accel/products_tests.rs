//! How products with stacks of matrices are read.

use super::super::testing::{Builder, Graph, Tensor, WIDTH};
use super::*;

const TOKENS: i64 = 5;
const HEADS: i64 = 3;
const ROWS: i64 = 7;

/// How the product of a stack for so many heads with the vectors that are built is read.
fn read(heads: i64, build: impl FnOnce(&Builder) -> Tensor) -> Option<BatchedProduct> {
    let graph = Graph::new(1, |of, _| {
        let x = build(of);
        vec![x, of.times_stack(x, [ROWS, heads])]
    });
    // SAFETY: the graph is valid, and so are its tensors.
    let reading = unsafe { batched(&graph.from(graph.last())) }?;
    let Kernel::Batched(products) = reading.kernel else { panic!("another kernel") };
    assert_eq!((reading.taken, reading.at), (1, 0));
    Some(products)
}

#[test]
fn each_matrix_has_its_own_vectors() {
    // As attention has them: the vectors of a token's heads lie side by side.
    let products = read(HEADS, |of| of.by_heads(of.terms([WIDTH, HEADS, TOKENS])));
    let BatchedProduct { first, count, weight_stride, x_stride, y_stride } =
        products.expect("a kernel");
    let (width, rows) = (WIDTH as usize, ROWS as usize);
    assert_eq!((first.tokens, count), (TOKENS as usize, HEADS as usize));
    assert_eq!((first.weight.width, first.weight.rows), (width, rows));
    assert_eq!(weight_stride, rows * first.weight.weight_type.bytes_of(width));
    assert_eq!((first.x.distance(), x_stride), (Some(width * HEADS as usize), width));
    assert_eq!((first.y.distance(), y_stride), (Some(rows), rows * TOKENS as usize));
}

#[test]
fn shared_matrices_are_the_engines() {
    let products = read(1, |of| of.by_heads(of.terms([WIDTH, HEADS, TOKENS])));
    assert!(products.is_none());
}
