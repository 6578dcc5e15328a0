//! RMS norms.

use super::Out;
use crate::ggml::{Graph, Tensor};
use crate::kernels::rows::NormForward;
use crate::kernels::train::{NormBack, RmsNorm};

impl Graph<'_> {
    /// Each row divided by its root mean square, times the weight. `None` without kernels for it.
    pub(crate) fn kernel_norm(&self, weight: Tensor, eps: f32, x: Tensor) -> Option<Tensor> {
        let (norm, dims) = self.rms_norm_of(weight, eps, x)?;
        let level = self.level();
        let RmsNorm { width, rows, .. } = norm;
        let (nothing, y, x_stride, y_stride) =
            (std::ptr::null(), std::ptr::null_mut(), width, width);
        let forward =
            NormForward { weight: nothing, eps, width, rows, x: nothing, x_stride, y, y_stride };
        let need = forward.need(level)?;
        Some(self.custom("a norm", &[x, weight], Out::New(dims), need, move |site, crew, s| {
            let (x, weight) = (site.input(0), site.input(1));
            let forward = NormForward { x, weight, y: site.out(), ..forward };
            // SAFETY: the shapes were checked, the level is the workspace's.
            unsafe { forward.run(level, crew, s) }
        }))
    }

    /// What goes back through [`kernel_norm`](Self::kernel_norm), added to `base`.
    pub(crate) fn kernel_norm_back(
        &self,
        weight: Tensor,
        eps: f32,
        x: Tensor,
        dy: Tensor,
        base: Option<Tensor>,
    ) -> Option<Tensor> {
        let (norm, dims) = self.rms_norm_of(weight, eps, x)?;
        let like_x = |t: Tensor| self.dense(t) == self.dense(x);
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let back = NormBack { norm, dy: nothing, base: nothing, dx: nothing };
        let need = back.need(level).filter(|_| like_x(dy) && base.is_none_or(like_x))?;
        let mut inputs = vec![x, weight, dy];
        inputs.extend(base);
        let out = Out::New(dims);
        Some(self.custom("a norm's gradient", &inputs, out, need, move |site, crew, s| {
            let norm = RmsNorm { x: site.input(0), weight: site.input(1), ..norm };
            let (dy, base) = (site.input(2), site.input(3));
            // SAFETY: as above.
            unsafe { NormBack { norm, dy, base, dx: site.out() }.run(level, crew, s) }
        }))
    }

    /// The norm without its pointers, and the dims of its result.
    fn rms_norm_of(&self, weight: Tensor, eps: f32, x: Tensor) -> Option<(RmsNorm, [i64; 3])> {
        let dims = self.dense(x)?;
        let [width, a, b] = dims;
        let nothing = std::ptr::null();
        let norm = RmsNorm { weight: nothing, eps, width, rows: a * b, x: nothing };
        (self.dense(weight)? == [width, 1, 1]).then_some((norm, dims.map(|n| n as i64)))
    }
}
