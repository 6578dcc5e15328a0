//! The types of weights, as GGUF numbers them, and where a matrix of them lies.

use std::ffi::c_void;

/// Makes `n` elements, whole blocks, f32: a dequantizer that the engine has.
pub(crate) type ToF32 = unsafe extern "C" fn(from: *const c_void, to: *mut f32, n: i64);

/// The type of a weight's elements.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WeightType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq4Nl,
    Iq4Xs,
    Mxfp4,
    /// A type without kernels of its own: elements of a block, its bytes, and the engine's dequantizer.
    Other(usize, usize, ToF32),
}

impl WeightType {
    /// The types with kernels of their own, with their numbers in GGUF.
    pub(crate) const KNOWN: [(u32, WeightType); 16] = [
        (0, WeightType::F32),
        (1, WeightType::F16),
        (30, WeightType::Bf16),
        (2, WeightType::Q4_0),
        (3, WeightType::Q4_1),
        (6, WeightType::Q5_0),
        (7, WeightType::Q5_1),
        (8, WeightType::Q8_0),
        (10, WeightType::Q2K),
        (11, WeightType::Q3K),
        (12, WeightType::Q4K),
        (13, WeightType::Q5K),
        (14, WeightType::Q6K),
        (20, WeightType::Iq4Nl),
        (23, WeightType::Iq4Xs),
        (39, WeightType::Mxfp4),
    ];

    /// The type with this number, if there are kernels for it.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        Self::KNOWN.iter().find(|(known, _)| *known == id).map(|(_, weight_type)| *weight_type)
    }

    /// Elements in a block.
    pub(crate) fn block(self) -> usize {
        use WeightType::*;
        match self {
            F32 | F16 | Bf16 => 1,
            Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | Iq4Nl | Mxfp4 => 32,
            Q2K | Q3K | Q4K | Q5K | Q6K | Iq4Xs => 256,
            Other(block, ..) => block,
        }
    }

    /// Bytes of a block.
    pub(crate) fn bytes(self) -> usize {
        use WeightType::*;
        match self {
            F32 => 4,
            F16 | Bf16 => 2,
            Mxfp4 => 17,
            Q4_0 | Iq4Nl => 18,
            Q4_1 => 20,
            Q5_0 => 22,
            Q5_1 => 24,
            Q8_0 => 34,
            Q2K => 84,
            Q3K => 110,
            Q4K => 144,
            Q5K => 176,
            Q6K => 210,
            Iq4Xs => 136,
            Other(_, bytes, _) => bytes,
        }
    }

    /// Bytes of so many elements, whole blocks.
    pub(crate) fn bytes_of(self, elements: usize) -> usize {
        elements / self.block() * self.bytes()
    }
}

/// A matrix of weights: `rows` rows of `width` elements, each row in whole blocks. A product with it gives `rows` values
/// for `width` ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub weight_type: WeightType,
    pub data: *const u8,
    /// Bytes from one row to the next.
    pub stride: usize,
    pub rows: usize,
    pub width: usize,
}
