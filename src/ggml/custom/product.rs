//! Products with weights.

use llama_cpp_sys_2 as sys;

use super::Out;
use crate::ggml::accel::weight_type;
use crate::ggml::{Graph, Tensor};
use crate::kernels::{Product, ProductBack, Vectors, Weight};

impl Graph<'_> {
    /// `W x`: `[in, out] x [in, tokens]` gives `[out, tokens]`. `None` without kernels for it.
    pub(crate) fn kernel_product(&self, weight: Tensor, x: Tensor) -> Option<Tensor> {
        let (w, [width, tokens, flat]) = (self.weight(weight)?, self.dense(x)?);
        let level = self.level();
        let product = move |weight, x, y| {
            let (x, y) = (Vectors::to_read(x, width), Vectors::new(y, w.rows));
            Product { weight, x, tokens, y, to_bytes: false, is_packed: false }
        };
        let nowhere = product(w, std::ptr::null(), std::ptr::null_mut());
        let need = nowhere.need(level).filter(|_| width == w.width && flat == 1)?;
        let out = Out::New([w.rows as i64, tokens as i64, 1]);
        Some(self.custom("a product", &[weight, x], out, need, move |site, crew, s| {
            let weight = Weight { data: site.input(0), ..w };
            let product = product(weight, site.input(1), site.out());
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
        let (level, accumulate) = (self.level(), before.is_some());
        let back = move |weight, dy, dx| {
            let (dy, dx) = (Vectors::to_read(dy, rows), Vectors::new(dx, w.width));
            ProductBack { weight, dy, tokens, dx, accumulate }
        };
        let nowhere = back(w, std::ptr::null(), std::ptr::null_mut());
        let need = nowhere.need(level).filter(|_| fits)?;
        let out = before.map_or(Out::New(dims.map(|n| n as i64)), |_| Out::Over);
        let inputs = [before.unwrap_or(dy), weight, dy];
        Some(self.custom("a product's gradient", &inputs, out, need, move |site, crew, s| {
            let weight = Weight { data: site.input(1), ..w };
            let back = back(weight, site.input(2), site.out());
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
