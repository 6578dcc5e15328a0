//! The operations of a graph. Only such as every back end of the engine has.

use llama_cpp_sys_2 as sys;

use super::graph::Graph;
use super::workspace::Tensor;

/// The engine's number for [`Rope::neox`].
const NEOX: i32 = 2;

/// How positions are rotated into queries and keys (RoPE).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Rope {
    /// Dimensions of a head that are rotated.
    pub n_dims: u32,
    /// Pairs are (i, i + n/2) instead of (2i, 2i + 1).
    pub neox: bool,
    /// The base of the wave lengths.
    pub freq_base: f32,
    /// Multiplies positions: 1 / factor of linear scaling.
    pub freq_scale: f32,
    /// Multiplies the rotated values.
    pub attention_factor: f32,
    /// Divisors of the frequencies, `n_dims / 2` of them.
    pub factors: Option<Tensor>,
}

macro_rules! unary {
    ($($(#[$meta:meta])* $name:ident = $engine:ident;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name(&self, x: Tensor) -> Tensor {
            // SAFETY: the context has room, the tensor is ours and contiguous f32.
            self.op(stringify!($name), &[x], |t| is_dense(t[0]), |c| unsafe {
                sys::$engine(c, x.pointer.as_ptr())
            })
        }
    )*};
}

macro_rules! binary {
    ($($(#[$meta:meta])* $name:ident = $engine:ident;)*) => {$(
        $(#[$meta])*
        ///
        /// `b` is repeated over `a` where its dims divide those of `a`.
        pub(crate) fn $name(&self, a: Tensor, b: Tensor) -> Tensor {
            let fits = |t: &[&sys::ggml_tensor]| is_f32(t[0]) && is_f32(t[1]) && repeats(t[1], t[0]);
            // SAFETY: the context has room, both are ours, and `b` can be repeated over `a`.
            self.op(stringify!($name), &[a, b], fits, |c| unsafe {
                sys::$engine(c, a.pointer.as_ptr(), b.pointer.as_ptr())
            })
        }
    )*};
}

impl Graph<'_> {
    unary! {
        /// x squared.
        sqr = ggml_sqr;
        /// The square root.
        sqrt = ggml_sqrt;
        /// The hyperbolic tangent.
        tanh = ggml_tanh;
        /// x times its logistic function.
        silu = ggml_silu;
        /// The logistic function.
        sigmoid = ggml_sigmoid;
        /// The mean of each row.
        mean = ggml_mean;
        /// The sum of each row.
        sum_rows = ggml_sum_rows;
        /// The index of each row's largest value.
        argmax = ggml_argmax;
    }

    binary! {
        /// a + b.
        add = ggml_add;
        /// a - b.
        sub = ggml_sub;
        /// a * b, element by element.
        mul = ggml_mul;
        /// a / b, element by element.
        div = ggml_div;
    }

    /// x * scale + bias.
    pub(crate) fn affine(&self, x: Tensor, scale: f32, bias: f32) -> Tensor {
        // SAFETY: the context has room, the tensor is ours and contiguous f32.
        self.op(
            "affine",
            &[x],
            |t| is_dense(t[0]),
            |c| unsafe { sys::ggml_scale_bias(c, x.pointer.as_ptr(), scale, bias) },
        )
    }

    /// x * scale.
    pub(crate) fn scale(&self, x: Tensor, scale: f32) -> Tensor {
        self.affine(x, scale, 0.0)
    }

    /// Each row divided by its root mean square.
    pub(crate) fn rms_norm(&self, x: Tensor, eps: f32) -> Tensor {
        // SAFETY: as in `affine`.
        self.op(
            "rms_norm",
            &[x],
            |t| is_dense(t[0]) && eps >= 0.0,
            |c| unsafe { sys::ggml_rms_norm(c, x.pointer.as_ptr(), eps) },
        )
    }

    /// Each row less its mean, divided by its standard deviation.
    pub(crate) fn layer_norm(&self, x: Tensor, eps: f32) -> Tensor {
        // SAFETY: as in `affine`.
        self.op(
            "layer_norm",
            &[x],
            |t| is_dense(t[0]) && eps >= 0.0,
            |c| unsafe { sys::ggml_norm(c, x.pointer.as_ptr(), eps) },
        )
    }

    /// a^T b over the first dim: `[k, m] x [k, n]` gives `[m, n]`. `a` may be quantized; later dims of
    /// `a` are repeated over those of `b`.
    pub(crate) fn mul_mat(&self, a: Tensor, b: Tensor) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            let (a, b) = (t[0], t[1]);
            let repeats = (2..4).all(|i| b.ne[i] % a.ne[i] == 0);
            // SAFETY: both are live tensors.
            let packed =
                unsafe { a.nb[0] == sys::ggml_type_size(a.type_) && !sys::ggml_is_transposed(a) };
            a.ne[0] == b.ne[0] && repeats && packed && b.nb[0] == 4 && is_f32(b)
        };
        // SAFETY: the context has room, both are ours and their shapes fit.
        self.op("mul_mat", &[a, b], fits, |c| unsafe {
            sys::ggml_mul_mat(c, a.pointer.as_ptr(), b.pointer.as_ptr())
        })
    }

    /// The rows of `table` (`[n, rows]`, any type) that `ids` (i32) name, as f32: the dequantizer.
    pub(crate) fn get_rows(&self, table: Tensor, ids: Tensor) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            let flat = |t: &sys::ggml_tensor| t.ne[2] == 1 && t.ne[3] == 1;
            t[1].type_ == sys::GGML_TYPE_I32 && flat(t[0]) && flat(t[1]) && t[1].ne[1] == 1
        };
        // SAFETY: the context has room, both are ours and their shapes fit; ids are in range, as whoever
        // writes them checks.
        self.op("get_rows", &[table, ids], fits, |c| unsafe {
            sys::ggml_get_rows(c, table.pointer.as_ptr(), ids.pointer.as_ptr())
        })
    }

    /// softmax(scale * x + mask) over each row; the mask's rows are repeated over later dims.
    pub(crate) fn soft_max(&self, x: Tensor, mask: Option<Tensor>, scale: f32) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            let masks = t.get(1).is_none_or(|m| {
                let same = m.ne[0] == t[0].ne[0] && m.ne[1] >= t[0].ne[1];
                // SAFETY: a live tensor.
                let dense = unsafe { sys::ggml_is_contiguous(*m) };
                same && dense && is_f32(m) && m.ne[2] == 1 && m.ne[3] == 1
            });
            is_dense(t[0]) && masks
        };
        let inputs: Vec<_> = [Some(x), mask].into_iter().flatten().collect();
        let mask = mask.map_or(std::ptr::null_mut(), |m| m.pointer.as_ptr());
        // SAFETY: the context has room, all are ours and their shapes fit.
        self.op("soft_max", &inputs, fits, |c| unsafe {
            sys::ggml_soft_max_ext(c, x.pointer.as_ptr(), mask, scale, 0.0)
        })
    }

    /// Rotates `[head, heads, tokens]` by `positions` (i32, one a token), or back.
    pub(crate) fn rope(&self, x: Tensor, positions: Tensor, rope: &Rope, back: bool) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            let dims = i64::from(rope.n_dims);
            let positions = t[1].type_ == sys::GGML_TYPE_I32 && t[1].ne[0] == t[0].ne[2];
            let factors = t.get(2).is_none_or(|f| is_f32(f) && f.ne[0] >= dims / 2);
            is_f32(t[0])
                && t[0].nb[0] == 4
                && dims % 2 == 0
                && dims <= t[0].ne[0]
                && positions
                && factors
        };
        let inputs: Vec<_> =
            [Some(x), Some(positions), rope.factors].into_iter().flatten().collect();
        let factors = rope.factors.map_or(std::ptr::null_mut(), |f| f.pointer.as_ptr());
        let mode = if rope.neox { NEOX } else { 0 };
        let make = if back { sys::ggml_rope_ext_back } else { sys::ggml_rope_ext };
        // SAFETY: the context has room, all are ours and their shapes fit.
        self.op("rope", &inputs, fits, |c| unsafe {
            make(
                c,
                x.pointer.as_ptr(),
                positions.pointer.as_ptr(),
                factors,
                rope.n_dims as i32,
                mode,
                0,
                rope.freq_base,
                rope.freq_scale,
                0.0,
                rope.attention_factor,
                32.0,
                1.0,
            )
        })
    }

    /// Copies `x` into `to`, which stays; gives `to`.
    pub(crate) fn copy(&self, x: Tensor, to: Tensor) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| elements(t[0]) == elements(t[1]);
        // SAFETY: the context has room, both are ours and as large.
        self.op("copy", &[x, to], fits, |c| unsafe {
            sys::ggml_cpy(c, x.pointer.as_ptr(), to.pointer.as_ptr())
        })
    }

    /// `x` as a contiguous f16 tensor of the same dims.
    pub(crate) fn to_f16(&self, x: Tensor) -> Tensor {
        // SAFETY: the context has room, the tensor is ours.
        self.op(
            "to_f16",
            &[x],
            |t| is_f32(t[0]),
            |c| unsafe { sys::ggml_cast(c, x.pointer.as_ptr(), sys::GGML_TYPE_F16) },
        )
    }

    /// Whether a tensor's elements lie in blocks.
    pub(crate) fn is_quantized(&self, x: Tensor) -> bool {
        // SAFETY: the tensor is ours; its type is one of the engine's.
        self.owns(x) && unsafe { sys::ggml_is_quantized(x.pointer.as_ref().type_) }
    }

    /// A contiguous copy.
    pub(crate) fn cont(&self, x: Tensor) -> Tensor {
        // SAFETY: the context has room, the tensor is ours.
        self.op("cont", &[x], |_| true, |c| unsafe { sys::ggml_cont(c, x.pointer.as_ptr()) })
    }

    /// A view with the first two dims swapped.
    pub(crate) fn transpose(&self, x: Tensor) -> Tensor {
        // SAFETY: the context has room, the tensor is ours.
        self.op(
            "transpose",
            &[x],
            |_| true,
            |c| unsafe { sys::ggml_transpose(c, x.pointer.as_ptr()) },
        )
    }

    /// A view with the second and third dims swapped: heads and tokens.
    pub(crate) fn swap_heads(&self, x: Tensor) -> Tensor {
        // SAFETY: the context has room, the tensor is ours.
        self.op(
            "swap_heads",
            &[x],
            |_| true,
            |c| unsafe { sys::ggml_permute(c, x.pointer.as_ptr(), 0, 2, 1, 3) },
        )
    }

    /// The same elements under other dims.
    pub(crate) fn reshape(&self, x: Tensor, dims: [i64; 3]) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            // SAFETY: a live tensor.
            let dense = unsafe { sys::ggml_is_contiguous(t[0]) };
            dense && dims.iter().product::<i64>() == elements(t[0])
        };
        // SAFETY: the context has room, the tensor is ours, contiguous and as large.
        self.op("reshape", &[x], fits, |c| unsafe {
            sys::ggml_reshape_3d(c, x.pointer.as_ptr(), dims[0], dims[1], dims[2])
        })
    }

    /// A view of `length` indices of one dim, from `start`. The first dim of quantized tensors is whole.
    pub(crate) fn slice(&self, x: Tensor, dim: usize, start: i64, length: i64) -> Tensor {
        let mut ne = self.dims(x);
        let fits = |t: &[&sys::ggml_tensor]| {
            let inside = dim < 3 && start >= 0 && length > 0 && start + length <= t[0].ne[dim];
            // SAFETY: a live tensor, whose type the engine knows.
            let whole = dim > 0 || unsafe { sys::ggml_blck_size(t[0].type_) } == 1;
            inside && whole && t[0].ne[3] == 1
        };
        // SAFETY: the context has room, the tensor is ours and the view lies inside it.
        self.op("slice", &[x], fits, |c| unsafe {
            let raw = x.pointer.as_ref();
            ne[dim] = length;
            let offset = start as usize * raw.nb[dim];
            sys::ggml_view_3d(
                c,
                x.pointer.as_ptr(),
                ne[0],
                ne[1],
                ne[2],
                raw.nb[1],
                raw.nb[2],
                offset,
            )
        })
    }

    /// `a` and `b` one after the other along a dim; both f32 or both f16.
    pub(crate) fn concat(&self, a: Tensor, b: Tensor, dim: usize) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            let same = (0..4).all(|i| i == dim || t[0].ne[i] == t[1].ne[i]);
            let plain = [sys::GGML_TYPE_F32, sys::GGML_TYPE_F16].contains(&t[0].type_);
            dim < 4 && same && plain && t[0].type_ == t[1].type_
        };
        // SAFETY: the context has room, both are ours and their shapes fit.
        self.op("concat", &[a, b], fits, |c| unsafe {
            sys::ggml_concat(c, a.pointer.as_ptr(), b.pointer.as_ptr(), dim as i32)
        })
    }
}

fn is_f32(t: &sys::ggml_tensor) -> bool {
    t.type_ == sys::GGML_TYPE_F32
}

fn elements(t: &sys::ggml_tensor) -> i64 {
    t.ne.iter().product()
}

/// f32, with contiguous rows.
pub(super) fn is_dense(t: &sys::ggml_tensor) -> bool {
    // SAFETY: a live tensor.
    is_f32(t) && unsafe { sys::ggml_is_contiguous(t) }
}

/// Whether `small` can be repeated over `large`.
fn repeats(small: &sys::ggml_tensor, large: &sys::ggml_tensor) -> bool {
    (0..4).all(|i| small.ne[i] > 0 && large.ne[i] % small.ne[i] == 0)
}
