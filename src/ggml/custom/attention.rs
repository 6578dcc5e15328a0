//! Attention for training.

use super::Out;
use crate::ggml::{Graph, Tensor};
use crate::kernels::attention_back::{AttentionBack, AttentionShape, TrainAttention};

/// What an attention gave: its output, and what its way back needs besides.
#[derive(Clone, Copy)]
pub(crate) struct Attended {
    /// `[head_v, tokens, heads]`.
    pub out: Tensor,
    /// The log-sum-exp of each row of scores, `[tokens, heads]`.
    lse: Tensor,
}

impl Graph<'_> {
    /// softmax(scale * K^T Q + mask) over V; `q` is `[head_k, tokens, heads]`, `k` and `v` are `[head, tokens, groups]`,
    /// `mask` is `[tokens, tokens]`. `None` without kernels for it.
    pub(crate) fn kernel_attention(
        &self,
        [q, k, v]: [Tensor; 3],
        mask: Tensor,
        scale: f32,
    ) -> Option<Attended> {
        let shape = self.attention_shape([q, k, v], mask, scale)?;
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let kernel = TrainAttention {
            shape,
            q: nothing,
            k: nothing,
            v: nothing,
            mask: nothing,
            out: nothing,
            lse: nothing,
        };
        let need = kernel.need(level)?;
        // Both results are one tensor, one after the other.
        let rows = shape.tokens * shape.heads;
        let n = shape.head_v * rows;
        let out = Out::New([(n + rows) as i64, 1, 1]);
        let both = self.custom("attention", &[q, k, v, mask], out, need, move |site, crew, s| {
            let (q, k, v, mask) = (site.input(0), site.input(1), site.input(2), site.input(3));
            let (out, lse) = (site.out(), site.out().wrapping_add(n));
            let kernel = TrainAttention { q, k, v, mask, out, lse, ..kernel };
            // SAFETY: the shapes were checked, the level is the workspace's, the scratch is as large as needed.
            unsafe { kernel.run(level, crew, s) }
        });
        let dims = [shape.head_v, shape.tokens, shape.heads];
        let out = self.part(both, 0, dims);
        Some(Attended { out, lse: self.part(both, n, [rows, 1, 1]) })
    }

    /// The gradients of q, k and v for that of the output.
    pub(crate) fn kernel_attention_back(
        &self,
        [q, k, v]: [Tensor; 3],
        mask: Tensor,
        scale: f32,
        attended: Attended,
        dy: Tensor,
    ) -> Option<[Tensor; 3]> {
        let shape = self.attention_shape([q, k, v], mask, scale)?;
        let Attended { out, lse } = attended;
        let fits = self.dense(dy)? == [shape.head_v, shape.tokens, shape.heads];
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let kernel = AttentionBack {
            shape,
            q: nothing,
            k: nothing,
            v: nothing,
            mask: nothing,
            out: nothing,
            lse: nothing,
            dy: nothing,
            dq: nothing,
            dk: nothing,
            dv: nothing,
        };
        let need = kernel.need(level).filter(|_| fits)?;
        let dims = [self.dense(q)?, self.dense(k)?, self.dense(v)?];
        let [n_q, n_k, n_v] = dims.map(|dims| dims.iter().product::<usize>());
        let inputs = [q, k, v, mask, out, lse, dy];
        let to = Out::New([(n_q + n_k + n_v) as i64, 1, 1]);
        let all = self.custom("attention's gradients", &inputs, to, need, move |site, crew, s| {
            let dq: *mut f32 = site.out();
            let kernel = AttentionBack {
                q: site.input(0),
                k: site.input(1),
                v: site.input(2),
                mask: site.input(3),
                out: site.input(4),
                lse: site.input(5),
                dy: site.input(6),
                dq,
                dk: dq.wrapping_add(n_q),
                dv: dq.wrapping_add(n_q + n_k),
                ..kernel
            };
            // SAFETY: as above.
            unsafe { kernel.run(level, crew, s) }
        });
        let [dims_q, dims_k, dims_v] = dims;
        let dv = self.part(all, n_q + n_k, dims_v);
        Some([self.part(all, 0, dims_q), self.part(all, n_q, dims_k), dv])
    }

    fn attention_shape(
        &self,
        [q, k, v]: [Tensor; 3],
        mask: Tensor,
        scale: f32,
    ) -> Option<AttentionShape> {
        let ([head_k, tokens, heads], [head_v, _, groups]) = (self.dense(q)?, self.dense(v)?);
        let fits = self.dense(k)? == [head_k, tokens, groups]
            && self.dense(v)? == [head_v, tokens, groups]
            && self.dense(mask)? == [tokens, tokens, 1];
        fits.then_some(AttentionShape { tokens, heads, groups, head_k, head_v, scale })
    }
}
