//! The loss over a vocabulary.

use std::ptr::{NonNull, null_mut};

use llama_cpp_sys_2 as sys;

use super::Out;
use crate::ggml::{Graph, Tensor};
use crate::kernels::Weight;
use crate::kernels::loss::CrossEntropy;

/// What a loss is computed from, and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct LossTensors {
    /// `[width, vocabulary]`.
    pub weight: Tensor,
    /// `[width, tokens]`.
    pub hidden: Tensor,
    /// The token that came after each, i32, all in the vocabulary.
    pub targets: Tensor,
    /// Where each token's -ln p goes, f32: it stays.
    pub costs: Tensor,
    /// Where each token's likeliest one goes, i32: it stays.
    pub best: Tensor,
    /// Logits are squeezed into plus or minus this.
    pub cap: Option<f32>,
}

impl Graph<'_> {
    /// Whether there is a kernel for the loss of so many tokens.
    pub(crate) fn has_kernel_loss(&self, weight: Tensor, tokens: usize) -> bool {
        self.weight(weight)
            .is_some_and(|w| cross_entropy(w, tokens, None, true).need(self.level()).is_some())
    }

    /// Computes the costs. Gives the gradient of the hidden states, if it is wanted, else what must be computed. `None`
    /// without kernels for it.
    pub(crate) fn kernel_loss(&self, l: LossTensors, wanted: bool) -> Option<Tensor> {
        let (weight, [width, tokens, flat]) = (self.weight(l.weight)?, self.dense(l.hidden)?);
        let level = self.level();
        let kernel = cross_entropy(weight, tokens, l.cap, wanted);
        let fits = width == weight.width
            && flat == 1
            && self.dense(l.costs)? == [tokens, 1, 1]
            && [l.targets, l.best].into_iter().all(|ids| self.are_ids(ids, tokens));
        let need = kernel.need(level).filter(|_| fits)?;
        let (first, out) = match wanted {
            true => (l.hidden, Out::New([width as i64, tokens as i64, 1])),
            false => (l.costs, Out::Over),
        };
        let inputs = [first, l.weight, l.hidden, l.targets, l.costs, l.best];
        Some(self.custom("a loss", &inputs, out, need, move |site, crew, s| {
            let kernel = CrossEntropy {
                weight: Weight { data: site.input(1), ..weight },
                hidden: site.input(2),
                targets: site.input(3),
                loss: site.input(4),
                best: site.input(5),
                gradient: if wanted { site.out() } else { null_mut() },
                ..kernel
            };
            // SAFETY: the shapes were checked, the level is the workspace's, the scratch is as large as needed, targets
            // are rows of the weight as whoever writes them checks.
            unsafe { kernel.run(level, crew, s) }
        }))
    }

    /// Whether it is a list of so many numbers of type i32.
    fn are_ids(&self, tensor: Tensor, n: usize) -> bool {
        self.raw(tensor).is_some_and(|raw| {
            // SAFETY: a live tensor.
            let dense = unsafe { sys::ggml_is_contiguous(raw) };
            raw.type_ == sys::GGML_TYPE_I32 && raw.ne == [n as i64, 1, 1, 1] && dense
        })
    }
}

/// The kernel without its pointers; `wanted` is the gradient.
fn cross_entropy(weight: Weight, tokens: usize, cap: Option<f32>, wanted: bool) -> CrossEntropy {
    CrossEntropy {
        weight,
        hidden: null_mut(),
        tokens,
        targets: null_mut(),
        cap: cap.unwrap_or(0.0),
        loss: null_mut(),
        best: null_mut(),
        gradient: if wanted { NonNull::dangling().as_ptr() } else { null_mut() },
    }
}
