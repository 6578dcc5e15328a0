//! A trained pair beside a weight.

use super::Out;
use crate::ggml::{Graph, Tensor};
use crate::kernels::train::{LoraBack, LoraDown, LoraUp, Pair};

/// The tensors of a pair: `a` is `[in, rank]`, `b` is `[rank, out]`.
#[derive(Clone, Copy)]
pub(crate) struct PairTensors {
    pub a: Tensor,
    pub b: Tensor,
    pub scale: f32,
}

/// What goes back through a pair.
#[derive(Clone, Copy)]
pub(crate) struct PairBack {
    pub pair: PairTensors,
    /// What was multiplied with A, `[in, tokens]`.
    pub x: Tensor,
    /// A times it, `[rank, tokens]`.
    pub u: Tensor,
    /// The gradient of the output, `[out, tokens]`.
    pub dy: Tensor,
    /// Where the gradients of `a` and `b` are summed up: they stay.
    pub sums: [Tensor; 2],
    /// What the gradient of the input is multiplied with, like `x`.
    pub mask: Option<Tensor>,
}

impl Graph<'_> {
    /// `y + s B A x`, and `A x`. `y` becomes the sum: nobody else may read it. `None` without kernels for it.
    pub(crate) fn kernel_pair(
        &self,
        p: PairTensors,
        x: Tensor,
        y: Tensor,
    ) -> Option<(Tensor, Tensor)> {
        let (pair, tokens) = self.pair(p, x, y)?;
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let down = LoraDown { pair, tokens, x: nothing, u: nothing };
        let up = LoraUp { pair, tokens, u: nothing, y: nothing };
        let (need_down, need_up) = (down.need(level)?, up.need(level)?);
        let dims = [pair.rank as i64, tokens as i64, 1];
        let u =
            self.custom("a pair", &[p.a, x], Out::New(dims), need_down, move |site, crew, s| {
                let pair = Pair { a: site.input(0), ..pair };
                let down = LoraDown { pair, x: site.input(1), u: site.out(), ..down };
                // SAFETY: the shapes were checked, the level is the workspace's, the scratch is as large as needed.
                unsafe { down.run(level, crew, s) }
            });
        let y = self.custom("a pair", &[y, p.b, u], Out::Over, need_up, move |site, crew, s| {
            let pair = Pair { b: site.input(1), ..pair };
            let up = LoraUp { pair, u: site.input(2), y: site.out(), ..up };
            // SAFETY: as above.
            unsafe { up.run(level, crew, s) }
        });
        Some((y, u))
    }

    /// Adds to the sums of a pair's gradients. Gives the gradient of its input, if that is wanted: added to `Some` of
    /// what there is, which becomes the sum. Else gives what must be computed. `None` without kernels for it.
    pub(crate) fn kernel_pair_back(
        &self,
        back: PairBack,
        wanted: bool,
        before: Option<Tensor>,
    ) -> Option<Tensor> {
        let PairBack { pair: p, x, u, dy, sums: [da, db], mask } = back;
        let (pair, tokens) = self.pair(p, x, dy)?;
        let fits = self.dense(da)? == self.dense(p.a)?
            && self.dense(db)? == self.dense(p.b)?
            && self.dense(u)? == [pair.rank, tokens, 1]
            && [mask, before].into_iter().flatten().all(|t| self.dense(t) == self.dense(x));
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let kernel = LoraBack {
            pair,
            tokens,
            x: nothing,
            u: nothing,
            dy: nothing,
            da: nothing,
            db: nothing,
            dx: nothing,
            mask: nothing,
            accumulate: before.is_some(),
        };
        let need = kernel.need(level).filter(|_| fits)?;
        let (first, out) = match (wanted, before) {
            (true, Some(before)) => (before, Out::Over),
            (true, None) => (x, Out::New([pair.n_in as i64, tokens as i64, 1])),
            (false, _) => (db, Out::Over),
        };
        let mut inputs = vec![first, p.a, p.b, x, u, dy, da, db];
        inputs.extend(mask);
        Some(self.custom("a pair's gradients", &inputs, out, need, move |site, crew, s| {
            let pair = Pair { a: site.input(1), b: site.input(2), ..pair };
            let kernel = LoraBack {
                pair,
                x: site.input(3),
                u: site.input(4),
                dy: site.input(5),
                da: site.input(6),
                db: site.input(7),
                dx: if wanted { site.out() } else { nothing },
                mask: site.input(8),
                ..kernel
            };
            // SAFETY: the shapes were checked, the level is the workspace's, the scratch is as large as needed.
            unsafe { kernel.run(level, crew, s) }
        }))
    }

    /// The pair without its pointers, and the tokens, if all shapes fit.
    fn pair(&self, p: PairTensors, x: Tensor, y: Tensor) -> Option<(Pair, usize)> {
        let ([n_in, rank, ..], [_, n_out, ..]) = (self.dense(p.a)?, self.dense(p.b)?);
        let tokens = self.dense(x)?[1];
        let fits = self.dense(p.b)? == [rank, n_out, 1]
            && self.dense(p.a)? == [n_in, rank, 1]
            && self.dense(x)? == [n_in, tokens, 1]
            && self.dense(y)? == [n_out, tokens, 1];
        let nothing = std::ptr::null();
        let pair = Pair { a: nothing, b: nothing, rank, n_in, n_out, scale: p.scale };
        fits.then_some((pair, tokens))
    }
}
