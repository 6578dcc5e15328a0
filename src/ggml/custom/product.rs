//! Products with weights.

use llama_cpp_sys_2 as sys;

use super::Out;
use crate::ggml::accel::weight_type;
use crate::ggml::{Graph, Tensor};
use crate::kernels::{Product, ProductBack, Weight};

impl Graph<'_> {
    /// `W x`: `[in, out] x [in, tokens]` gives `[out, tokens]`. `None` without kernels for it.
    pub(crate) fn kernel_product(&self, weight: Tensor, x: Tensor) -> Option<Tensor> {
        let (w, [width, tokens, flat]) = (self.weight(weight)?, self.dense(x)?);
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let (x_stride, y_stride) = (width, w.rows);
        let product = Product {
            weight: w,
            x: nothing,
            x_stride,
            tokens,
            y: nothing,
            y_stride,
            to_bytes: false,
        };
        let need = product.need(level).filter(|_| width == w.width && flat == 1)?;
        let out = Out::New([w.rows as i64, tokens as i64, 1]);
        Some(self.custom("a product", &[weight, x], out, need, move |site, crew, s| {
            let weight = Weight { data: site.input(0), ..w };
            let product = Product { weight, x: site.input(1), y: site.out(), ..product };
            // SAFETY: the shapes were checked, the level is the workspace's, the scratch is as large as needed.
            unsafe { product.run(level, crew, s) }
        }))
    }

    /// `W^T dy`, added to `Some` of what there is, which becomes the sum. `None` without kernels for it.
    pub(crate) fn kernel_product_back(
        &self,
        weight: Tensor,
        dy: Tensor,
        before: Option<Tensor>,
    ) -> Option<Tensor> {
        let (w, [rows, tokens, flat]) = (self.weight(weight)?, self.dense(dy)?);
        let dims = [w.width, tokens, 1];
        let fits = rows == w.rows && flat == 1;
        let fits = fits && before.is_none_or(|before| self.dense(before) == Some(dims));
        let (nothing, level) = (std::ptr::null_mut(), self.level());
        let back = ProductBack {
            weight: w,
            dy: nothing,
            dy_stride: rows,
            tokens,
            dx: nothing,
            dx_stride: w.width,
            accumulate: before.is_some(),
        };
        let need = back.need(level).filter(|_| fits)?;
        let out = before.map_or(Out::New(dims.map(|n| n as i64)), |_| Out::Over);
        let inputs = [before.unwrap_or(dy), weight, dy];
        Some(self.custom("a product's gradient", &inputs, out, need, move |site, crew, s| {
            let weight = Weight { data: site.input(1), ..w };
            let back = ProductBack { weight, dy: site.input(2), dx: site.out(), ..back };
            // SAFETY: as above.
            unsafe { back.run(level, crew, s) }
        }))
    }

    /// A matrix of weights in memory that the processor reads, without its pointer.
    pub(super) fn weight(&self, tensor: Tensor) -> Option<Weight> {
        let raw = self.raw(tensor)?;
        // SAFETY: a live tensor; only one that has a buffer is asked for it.
        let (host, dense) = unsafe {
            let host = raw.buffer.is_null() || sys::ggml_backend_buffer_is_host(raw.buffer);
            (host, sys::ggml_is_contiguous(raw))
        };
        let matrix = raw.ne[2] == 1 && raw.ne[3] == 1 && dense;
        let (width, rows, stride) = (raw.ne[0] as usize, raw.ne[1] as usize, raw.nb[1]);
        let (weight_type, data) = (weight_type(raw.type_)?, std::ptr::null());
        (host && matrix).then_some(Weight { weight_type, data, stride, rows, width })
    }
}
