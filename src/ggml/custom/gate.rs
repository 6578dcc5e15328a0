//! Activations that gate a second value.

use super::Out;
use crate::ggml::{Graph, Tensor};
use crate::kernels::rows::{Curve, GateForward};
use crate::kernels::train::GateBack;

impl Graph<'_> {
    /// f(x), or f(x) * up. `None` without kernels for it.
    pub(crate) fn kernel_gate(
        &self,
        curve: Curve,
        x: Tensor,
        up: Option<Tensor>,
    ) -> Option<Tensor> {
        let dims = self.dense(x)?;
        let fits = up.is_none_or(|up| self.dense(up) == Some(dims));
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let ([width, a, b], stride) = (dims, dims[0]);
        let gate = GateForward {
            curve,
            width,
            rows: a * b,
            x: nothing,
            x_stride: stride,
            up: nothing,
            up_stride: stride,
            y: nothing,
            y_stride: stride,
        };
        let need = gate.need(level).filter(|_| fits)?;
        let inputs: Vec<Tensor> = [Some(x), up].into_iter().flatten().collect();
        let out = Out::New(dims.map(|n| n as i64));
        Some(self.custom("a gate", &inputs, out, need, move |site, crew, s| {
            let gate = GateForward { x: site.input(0), up: site.input(1), y: site.out(), ..gate };
            // SAFETY: the shapes were checked, the level is the workspace's.
            unsafe { gate.run(level, crew, s) }
        }))
    }

    /// What goes back through [`kernel_gate`](Self::kernel_gate): the gradients of `x` and of `up`, if there is one.
    pub(crate) fn kernel_gate_back(
        &self,
        curve: Curve,
        x: Tensor,
        up: Option<Tensor>,
        dy: Tensor,
    ) -> Option<(Tensor, Option<Tensor>)> {
        let dims = self.dense(x)?;
        let fits = up.is_none_or(|up| self.dense(up) == Some(dims)) && self.dense(dy)? == dims;
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let n: usize = dims.iter().product();
        let gate =
            GateBack { curve, n, x: nothing, up: nothing, dy: nothing, dx: nothing, dup: nothing };
        let need = gate.need(level).filter(|_| fits)?;
        // Both gradients are one tensor, one after the other.
        let inputs: Vec<Tensor> = [Some(x), Some(dy), up].into_iter().flatten().collect();
        let out = Out::New([if up.is_some() { 2 * n } else { n } as i64, 1, 1]);
        let both = self.custom("a gate's gradients", &inputs, out, need, move |site, crew, s| {
            let (x, dy, up, dx) = (site.input(0), site.input(1), site.input(2), site.out());
            let dup = dx.wrapping_add(n);
            let gate = GateBack { x, up, dy, dx, dup, ..gate };
            // SAFETY: the shapes were checked, the level is the workspace's.
            unsafe { gate.run(level, crew, s) }
        });
        Some((self.part(both, 0, dims), up.map(|_| self.part(both, n, dims))))
    }
}
