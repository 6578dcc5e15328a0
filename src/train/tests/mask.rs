//! Which tokens are learned: each adds its own part, and nothing else does.

use crate::cancel::CancelToken;
use crate::dataset::Row;
use crate::format::{Access, ModelFiles, Source};
use crate::kernels::Level;
use crate::test_support::Tiny;
use crate::test_support::run::ids;
use crate::train::engine::{Engine, EngineOptions};

use super::stored::params;
use super::{FAMILIES, levels};

const N: usize = 12;

#[test]
fn the_loss_of_single_tokens_adds_up_to_that_of_all() {
    for (family, level) in FAMILIES.iter().flat_map(|f| levels().into_iter().map(|l| (*f, l))) {
        let bytes = Tiny::new(family).bytes();
        let files = ModelFiles::open(&Source::memory(bytes), Access::Map).unwrap();
        let params = params(&files);
        let o = EngineOptions { n_max: N, dropout: false, n_threads: 1, n_stored: 0, level };
        let mut engine = Engine::new(&files, &params, o).unwrap();
        let mut learn = |wanted: &dyn Fn(usize) -> bool| {
            let row = Row {
                tokens: ids(N, 250, 5),
                positions: (0..N as i32).collect(),
                segments: vec![0; N],
                loss: (0..N).map(wanted).collect(),
                sequences: vec![0],
            };
            engine.clear(&params).unwrap();
            let loss = engine.learn(&row, None, &CancelToken::new()).unwrap();
            (loss, engine.gradients(&params, 1.0).unwrap().concat())
        };
        let (all, gradient) = learn(&|i| i > 0);
        assert_eq!(all.tokens, N as u64 - 1);
        let (mut sum, mut together) = (0.0, vec![0.0; gradient.len()]);
        for only in 1..N {
            let (loss, part) = learn(&|i| i == only);
            assert_eq!(loss.tokens, 1);
            assert!(loss.sum > 0.0 && part.iter().any(|g| *g != 0.0), "{family:?} {only}");
            sum += loss.sum;
            together.iter_mut().zip(part).for_each(|(t, g)| *t += g);
        }
        assert!((sum - all.sum).abs() / all.sum < 1e-5, "{family:?}: {sum} {}", all.sum);
        let largest = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
        let apart = gradient.iter().zip(&together).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        let bound = if level < Level::Avx512Bf16 { 2e-3 } else { 1e-2 };
        assert!(apart < bound * largest, "{family:?} {level:?}: {apart} of {largest}");
        let (none, zero) = learn(&|_| false);
        assert_eq!((none.sum, none.tokens), (0.0, 0));
        assert!(zero.iter().all(|g| *g == 0.0), "{family:?}");
    }
}
