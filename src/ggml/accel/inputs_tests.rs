//! Which nodes before attention are read together, and that they give what the engine gives.

use super::super::testing::{Builder, Graph, Tensor, WIDTH};
use super::*;
use crate::kernels::oracle::relative_error;
use crate::kernels::testing::{Together, levels, run_crew};

const CELLS: i64 = 48;

/// What a layer has besides its weights.
struct Layer {
    x: Tensor,
    positions: Tensor,
    numbers: Tensor,
    tables: [Tensor; 2],
}

impl Layer {
    fn new(of: &Builder, x: Tensor, kind: sys::ggml_type) -> Self {
        // SAFETY: the tensor is valid.
        let tokens = unsafe { (*x).ne[1] };
        Self {
            x: of.normed(x),
            positions: of.numbers(sys::GGML_TYPE_I32, tokens),
            numbers: of.numbers(sys::GGML_TYPE_I64, tokens),
            tables: [0, 1].map(|_| of.matrix(kind, [2 * WIDTH, CELLS])),
        }
    }

    /// So many heads for each token.
    fn heads(&self, of: &Builder, heads: i64) -> Tensor {
        of.divided(of.times(self.x, heads * WIDTH), heads)
    }

    fn turned(&self, of: &Builder, x: Tensor) -> Tensor {
        of.turned(x, self.positions)
    }

    /// What a model makes of them, in the engine's order.
    fn nodes(&self, of: &Builder, are_normed: bool) -> Vec<Tensor> {
        let [q, k] = [5, 2].map(|heads| {
            let heads = self.heads(of, heads);
            self.turned(of, if are_normed { of.normed(heads) } else { heads })
        });
        let (v, [keys, values]) = (self.heads(of, 2), self.tables);
        let put = [of.put(keys, k, self.numbers), of.put(values, v, self.numbers)];
        vec![of.wanted(q), v, k, put[0], put[1], of.squared(q)]
    }
}

/// How many products and chains the kernel of the first node is, of how many nodes, and in place of which.
fn read(graph: &Graph) -> Option<(usize, usize, u32, usize)> {
    // SAFETY: the graph is valid, and so are its tensors.
    let Reading { kernel, taken, at } = unsafe { inputs(&graph.from(0)) }?;
    let Kernel::Inputs(inputs) = kernel else { panic!("not these") };
    let products = inputs.projections.products.iter().flatten().count();
    Some((products, inputs.heads.chains.iter().flatten().count(), taken.count_ones(), at))
}

#[test]
fn what_attention_takes_is_read_together() {
    for (are_normed, nodes) in [(false, 9), (true, 13)] {
        for tokens in [1, 3, 40] {
            let graph = Graph::new(tokens, |of, x| {
                Layer::new(of, x, sys::GGML_TYPE_F16).nodes(of, are_normed)
            });
            let expected = Some((3, 3, nodes, graph.last() - 1));
            assert_eq!(read(&graph), expected, "{are_normed}, {tokens}");
        }
    }
}

#[test]
fn heads_may_be_parts_of_one_product() {
    let graph = Graph::new(3, |of, x| {
        let layer = Layer::new(of, x, sys::GGML_TYPE_F16);
        let all = of.times(layer.x, 9 * WIDTH);
        let [q, k, v] = [(0, 5), (5, 2), (7, 2)].map(|(first, heads)| of.part(all, first, heads));
        let (q, k) = (layer.turned(of, q), layer.turned(of, k));
        let [keys, values] = layer.tables;
        let put = [of.put(keys, k, layer.numbers), of.put(values, v, layer.numbers)];
        vec![q, k, put[0], put[1], of.wanted(of.squared(q))]
    });
    assert_eq!(read(&graph), Some((1, 3, 7, graph.last() - 1)));
}

#[test]
fn what_cannot_be_put_into_a_cache_is_left_where_the_engine_looks_for_it() {
    let graph = Graph::new(3, |of, x| Layer::new(of, x, sys::GGML_TYPE_Q8_0).nodes(of, false));
    let (products, chains, nodes, at) = read(&graph).unwrap();
    assert!((products, chains, nodes) == (3, 2, 7) && at < graph.last() - 2);
}

#[test]
fn chains_end_with_what_others_read() {
    let graph = Graph::new(3, |of, x| {
        let layer = Layer::new(of, x, sys::GGML_TYPE_F16);
        let heads = of.wanted(of.normed(layer.heads(of, 2)));
        vec![layer.turned(of, heads)]
    });
    assert_eq!(read(&graph), Some((1, 1, 5, graph.last() - 1)));
}

#[test]
fn nodes_between_them_are_computed_before() {
    let graph = Graph::new(3, |of, x| {
        let layer = Layer::new(of, x, sys::GGML_TYPE_F16);
        let q = layer.turned(of, layer.heads(of, 5));
        let other = of.wanted(of.squared(of.vectors(3)));
        vec![q, other, layer.turned(of, layer.heads(of, 2)), of.squared(q)]
    });
    assert_eq!(read(&graph), Some((2, 2, 6, graph.last() - 1)));
}

#[test]
fn nobody_else_needs_what_is_kept() {
    type Build = fn(&Builder, Layer) -> Vec<Tensor>;
    let cases: [(&str, Build); 8] = [
        ("no steps", |of, layer| vec![layer.heads(of, 2)]),
        ("a product is wanted", |of, layer| {
            let product = of.wanted(of.times(layer.x, WIDTH));
            vec![layer.turned(of, of.divided(product, 1))]
        }),
        ("a product is read elsewhere", |of, layer| {
            let product = of.times(layer.x, WIDTH);
            vec![layer.turned(of, of.divided(product, 1)), of.squared(product)]
        }),
        ("heads are read elsewhere", |of, layer| {
            let heads = layer.heads(of, 2);
            vec![layer.turned(of, heads), of.squared(heads)]
        }),
        ("the normed vectors are read elsewhere", |of, layer| {
            vec![layer.turned(of, layer.heads(of, 2)), of.squared(layer.x)]
        }),
        ("a product comes after what reads another", |of, layer| {
            let q = of.squared(layer.turned(of, layer.heads(of, 2)));
            vec![q, layer.turned(of, layer.heads(of, 2))]
        }),
        ("some of the tokens", |of, layer| {
            let some = of.first_tokens(of.times(layer.x, 2 * WIDTH), 2);
            let numbers = of.numbers(sys::GGML_TYPE_I64, 2);
            vec![of.put(layer.tables[0], of.divided(some, 2), numbers)]
        }),
        ("other steps", |of, layer| vec![of.squared(layer.heads(of, 2))]),
    ];
    for (what, build) in cases {
        let graph = Graph::new(3, |of, x| build(of, Layer::new(of, x, sys::GGML_TYPE_F16)));
        assert_eq!(read(&graph), None, "{what}");
    }
}

#[test]
fn they_give_what_the_engine_gives() {
    let kinds = [sys::GGML_TYPE_F16, sys::GGML_TYPE_F32, sys::GGML_TYPE_BF16];
    for (kind, are_normed) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        for tokens in [1, 2, 7, 40] {
            let mut layer = None;
            let graph = Graph::new(tokens, |of, x| {
                layer.insert(Layer::new(of, x, kind)).nodes(of, are_normed)
            });
            layer.unwrap().compare(&graph, tokens);
        }
    }
}

impl Layer {
    /// Compares all that is written.
    fn compare(&self, graph: &Graph, tokens: i64) {
        let mut nodes = (0..=graph.last()).map(|i| graph.from(i));
        let turned = nodes.find(|nodes| nodes.node().op == sys::GGML_OP_ROPE).unwrap();
        let first = graph.from(0);
        let written = [turned.at(0).unwrap(), self.tables[0], self.tables[1]];
        graph.fill();
        // SAFETY: the tensors are valid, have their memory, and are of these types. Each crew ends before the next begins.
        unsafe {
            for token in 0..tokens as usize {
                *(*self.positions).data.cast::<i32>().add(token) = 3 * token as i32;
                *(*self.numbers).data.cast::<i64>().add(token) = (CELLS - 1) - token as i64;
            }
            written.iter().for_each(|tensor| clear(*tensor));
            graph.compute();
            let engines = written.map(|tensor| values(tensor));
            for (level, threads) in levels().into_iter().flat_map(|level| [(level, 1), (level, 2)])
            {
                written.iter().for_each(|tensor| clear(*tensor));
                let (reading, need) = Kernel::of(&first, level).unwrap();
                assert!(matches!(reading.kernel, Kernel::Inputs(_)));
                let kernel = Together(reading.kernel);
                run_crew(threads, need, |crew, scratch| kernel.get().run(level, crew, scratch));
                for (tensor, engines) in written.into_iter().zip(&engines) {
                    let engines: Vec<f64> = engines.iter().map(|x| f64::from(*x)).collect();
                    let bound = 2e-2;
                    let error = relative_error(&values(tensor), &engines);
                    assert!(error <= bound, "{level:?}, {threads} threads: {error:e}");
                }
            }
        }
    }
}

/// Sets all elements to zero.
///
/// # Safety
/// The tensor is valid, and nobody else uses it.
unsafe fn clear(tensor: Tensor) {
    // SAFETY: by the contract of this function.
    unsafe { (*tensor).data.cast::<u8>().write_bytes(0, sys::ggml_nbytes(tensor)) };
}

/// All elements.
///
/// # Safety
/// As [`clear`]; they are of a type of floats.
unsafe fn values(tensor: Tensor) -> Vec<f32> {
    // SAFETY: by the contract of this function.
    unsafe {
        let count = sys::ggml_nelements(tensor) as usize;
        let halves = std::slice::from_raw_parts((*tensor).data.cast::<u16>(), count);
        match (*tensor).type_ {
            sys::GGML_TYPE_F16 => {
                halves.iter().map(|x| half::f16::from_bits(*x).to_f32()).collect()
            }
            sys::GGML_TYPE_BF16 => {
                halves.iter().map(|x| half::bf16::from_bits(*x).to_f32()).collect()
            }
            _ => std::slice::from_raw_parts((*tensor).data.cast::<f32>(), count).to_vec(),
        }
    }
}
