//! Tensor types of ggml and what a file says about one tensor.

use std::fmt;

macro_rules! types {
    ($($name:ident = $id:literal, $label:literal, block $block:literal, bytes $bytes:literal;)*) => {
        /// How a tensor's numbers are stored. Ids are those of GGUF files; removed types are absent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are the field's own")]
        #[allow(non_camel_case_types, reason = "the names are the field's own")]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum GgmlType { $($name = $id,)* }

        impl GgmlType {
            /// Every type, by ascending id.
            pub const ALL: &'static [GgmlType] = &[$(GgmlType::$name,)*];

            /// The type with this id, if there is one.
            pub const fn from_u32(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$name),)* _ => None }
            }

            /// The id in a file.
            pub const fn id(self) -> u32 { self as u32 }

            /// The usual name, `Q4_K`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Elements in one block; a row holds whole blocks.
            pub const fn block_size(self) -> u64 {
                match self { $(Self::$name => $block,)* }
            }

            /// Bytes of one block.
            pub const fn type_size(self) -> u64 {
                match self { $(Self::$name => $bytes,)* }
            }
        }
    };
}

types! {
    F32 = 0, "F32", block 1, bytes 4;
    F16 = 1, "F16", block 1, bytes 2;
    Q4_0 = 2, "Q4_0", block 32, bytes 18;
    Q4_1 = 3, "Q4_1", block 32, bytes 20;
    Q5_0 = 6, "Q5_0", block 32, bytes 22;
    Q5_1 = 7, "Q5_1", block 32, bytes 24;
    Q8_0 = 8, "Q8_0", block 32, bytes 34;
    Q8_1 = 9, "Q8_1", block 32, bytes 36;
    Q2_K = 10, "Q2_K", block 256, bytes 84;
    Q3_K = 11, "Q3_K", block 256, bytes 110;
    Q4_K = 12, "Q4_K", block 256, bytes 144;
    Q5_K = 13, "Q5_K", block 256, bytes 176;
    Q6_K = 14, "Q6_K", block 256, bytes 210;
    Q8_K = 15, "Q8_K", block 256, bytes 292;
    IQ2_XXS = 16, "IQ2_XXS", block 256, bytes 66;
    IQ2_XS = 17, "IQ2_XS", block 256, bytes 74;
    IQ3_XXS = 18, "IQ3_XXS", block 256, bytes 98;
    IQ1_S = 19, "IQ1_S", block 256, bytes 50;
    IQ4_NL = 20, "IQ4_NL", block 32, bytes 18;
    IQ3_S = 21, "IQ3_S", block 256, bytes 110;
    IQ2_S = 22, "IQ2_S", block 256, bytes 82;
    IQ4_XS = 23, "IQ4_XS", block 256, bytes 136;
    I8 = 24, "I8", block 1, bytes 1;
    I16 = 25, "I16", block 1, bytes 2;
    I32 = 26, "I32", block 1, bytes 4;
    I64 = 27, "I64", block 1, bytes 8;
    F64 = 28, "F64", block 1, bytes 8;
    IQ1_M = 29, "IQ1_M", block 256, bytes 56;
    BF16 = 30, "BF16", block 1, bytes 2;
    TQ1_0 = 34, "TQ1_0", block 256, bytes 54;
    TQ2_0 = 35, "TQ2_0", block 256, bytes 66;
    MXFP4 = 39, "MXFP4", block 32, bytes 17;
    NVFP4 = 40, "NVFP4", block 64, bytes 36;
    Q1_0 = 41, "Q1_0", block 128, bytes 18;
    Q2_0 = 42, "Q2_0", block 64, bytes 18;
}

impl GgmlType {
    /// The type with this name, in any case (`q4_k`).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|t| t.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a row of `elements`; `None` when the row is not whole blocks or too long to count.
    pub fn row_bytes(self, elements: u64) -> Option<u64> {
        if !elements.is_multiple_of(self.block_size()) {
            return None;
        }
        (elements / self.block_size()).checked_mul(self.type_size())
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One tensor as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, `blk.0.attn_q.weight`.
    pub name: String,
    /// One to four dimensions in ggml's order: the row length first.
    pub dims: Vec<u64>,
    /// How the numbers are stored.
    pub ggml_type: GgmlType,
    /// Where the data begins, in bytes from the start of the GGUF file.
    pub offset: u64,
    /// How long the data is, in bytes, without padding.
    pub n_bytes: u64,
}

impl TensorInfo {
    /// The number of elements.
    pub fn n_elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

/// Writes dimensions as people read them: `[64, 300]`.
pub(crate) struct Shape<'a>(pub &'a [u64]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_future_ids_are_no_types() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, 999, u32::MAX] {
            assert_eq!(GgmlType::from_u32(id), None, "{id}");
        }
        for t in GgmlType::ALL {
            assert_eq!(GgmlType::from_u32(t.id()), Some(*t));
            assert_eq!(GgmlType::from_name(&t.name().to_lowercase()), Some(*t));
        }
    }

    #[test]
    fn a_row_is_whole_blocks() {
        assert_eq!(GgmlType::Q4_K.row_bytes(512), Some(288));
        assert_eq!(GgmlType::Q4_K.row_bytes(300), None);
        assert_eq!(GgmlType::F64.row_bytes(u64::MAX), None);
    }
}
