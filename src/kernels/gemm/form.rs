//! Which products are those of integers, and of which; or else of other numbers than the level's.

use super::super::{Level, Product, WeightType};

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;

/// Up to so many tokens, VNNI is quicker than AMX, which multiplies eight times as much but needs weights as brain floats.
pub(super) const FEW_FOR_TILES: usize = 64;

/// How weights are multiplied. With quants the number is that of the elements that have a scale together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// Bytes with VNNI, of types whose quants have signs.
    Signed32,
    Signed16,
    /// Bytes with VNNI, of others.
    Any32,
    AnyOfSupers32,
    Any16,
    /// Bytes with AVX2; the bits decide how many products fit into a sum of 16 bits.
    FourBits32,
    FiveBits32,
    ThreeBits16,
    SixBits16,
    /// 16-bit integers with AVX2.
    Short32,
    ShortShifted32,
    Short16,
    ShortShifted16,
    /// 16-bit floats with AMX, where one brain float would lose some of their bits: a second one keeps these.
    InTwoParts,
    /// Integers of 14 bits with VNNI: of 16-bit floats, of which a brain float would lose some bits, or where those are not
    /// multiplied and f32 takes longer.
    Fixed,
}

impl Form {
    /// That of a product; `None` if it is none of integers.
    pub(super) fn of(product: &Product, level: Level) -> Option<Self> {
        let weight_type = product.weight.weight_type;
        match level {
            Level::None | Level::Avx512 => None,
            Level::Amx if matches!(weight_type, WeightType::F16) => Some(Self::InTwoParts),
            Level::Avx512Vnni if matches!(weight_type, WeightType::F16 | WeightType::Bf16) => {
                Some(Self::Fixed)
            }
            Level::Avx512Bf16 if matches!(weight_type, WeightType::F16) => Some(Self::Fixed),
            Level::Avx2 if product.to_bytes => {
                Self::bytes(weight_type).or(Self::shorts(weight_type))
            }
            Level::Avx2 => Self::shorts(weight_type),
            Level::Avx512Vnni | Level::Avx512Bf16 if product.to_bytes => Self::vnni(weight_type),
            Level::Amx if product.to_bytes && product.tokens <= FEW_FOR_TILES => {
                Self::vnni(weight_type)
            }
            Level::Avx512Vnni | Level::Avx512Bf16 | Level::Amx => None,
        }
    }

    pub(super) fn is_of_bytes(self) -> bool {
        use Form::*;
        !matches!(self, Short32 | ShortShifted32 | Short16 | ShortShifted16 | InTwoParts | Fixed)
    }

    fn vnni(weight_type: WeightType) -> Option<Self> {
        use WeightType::*;
        match weight_type {
            F32 | F16 | Bf16 | Other(..) => None,
            Q4_0 | Q8_0 | Iq4Nl | Iq4Xs | Mxfp4 => Some(Self::Signed32),
            Q4_1 | Q5_0 | Q5_1 => Some(Self::Any32),
            Q4K | Q5K => Some(Self::AnyOfSupers32),
            Q3K | Q6K => Some(Self::Signed16),
            Q2K => Some(Self::Any16),
        }
    }

    /// With AVX2 alone: products of 7 bits and more do not fit.
    fn bytes(weight_type: WeightType) -> Option<Self> {
        use WeightType::*;
        match weight_type {
            F32 | F16 | Bf16 | Q8_0 | Iq4Nl | Iq4Xs | Other(..) => None,
            Q4_0 | Q4_1 | Q4K => Some(Self::FourBits32),
            Q5_0 | Q5_1 | Q5K | Mxfp4 => Some(Self::FiveBits32),
            Q2K | Q3K => Some(Self::ThreeBits16),
            Q6K => Some(Self::SixBits16),
        }
    }

    fn shorts(weight_type: WeightType) -> Option<Self> {
        use WeightType::*;
        match weight_type {
            F32 | F16 | Bf16 | Other(..) => None,
            Q4_0 | Q8_0 | Iq4Nl | Iq4Xs | Mxfp4 => Some(Self::Short32),
            Q4_1 | Q5_0 | Q5_1 | Q4K | Q5K => Some(Self::ShortShifted32),
            Q3K | Q6K => Some(Self::Short16),
            Q2K => Some(Self::ShortShifted16),
        }
    }
}
