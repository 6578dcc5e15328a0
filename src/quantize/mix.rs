//! The mixes of types that llama.cpp names, such as `q4_k_m`.

use GgmlType as T;
use Mix::*;

use crate::error::{Result, bail, err};
use crate::format::gguf::GgmlType;

macro_rules! mixes {
    ($($name:ident = $id:literal, $default:ident;)*) => {
        /// A mix: most tensors get its default type, some a better one. Ids are those of `general.file_type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "the names are the field's own")]
        #[repr(u32)]
        pub(crate) enum Mix { $($name = $id,)* }

        impl Mix {
            /// Every mix, in the order of its id.
            pub const ALL: &'static [Mix] = &[$($name,)*];

            /// The usual name, `Q4_K_M`.
            pub const fn name(self) -> &'static str {
                match self { $($name => stringify!($name),)* }
            }

            /// The type of most tensors.
            pub const fn default_type(self) -> GgmlType {
                match self { $($name => T::$default,)* }
            }
        }
    };
}

mixes! {
    F32 = 0, F32;
    F16 = 1, F16;
    Q4_0 = 2, Q4_0;
    Q4_1 = 3, Q4_1;
    Q8_0 = 7, Q8_0;
    Q5_0 = 8, Q5_0;
    Q5_1 = 9, Q5_1;
    Q2_K = 10, Q2_K;
    Q3_K_S = 11, Q3_K;
    Q3_K_M = 12, Q3_K;
    Q3_K_L = 13, Q3_K;
    Q4_K_S = 14, Q4_K;
    Q4_K_M = 15, Q4_K;
    Q5_K_S = 16, Q5_K;
    Q5_K_M = 17, Q5_K;
    Q6_K = 18, Q6_K;
    IQ2_XXS = 19, IQ2_XXS;
    IQ2_XS = 20, IQ2_XS;
    Q2_K_S = 21, Q2_K;
    IQ3_XS = 22, IQ3_S;
    IQ3_XXS = 23, IQ3_XXS;
    IQ1_S = 24, IQ1_S;
    IQ4_NL = 25, IQ4_NL;
    IQ3_S = 26, IQ3_S;
    IQ3_M = 27, IQ3_S;
    IQ2_S = 28, IQ2_XS;
    IQ2_M = 29, IQ2_S;
    IQ4_XS = 30, IQ4_XS;
    IQ1_M = 31, IQ1_M;
    BF16 = 32, BF16;
    TQ1_0 = 36, TQ1_0;
    TQ2_0 = 37, TQ2_0;
    MXFP4_MOE = 38, MXFP4;
    Q1_0 = 40, Q1_0;
    Q2_0 = 41, Q2_0;
}

/// Names that stand for another.
const ALIASES: &[(&str, Mix)] = &[("q3_k", Q3_K_M), ("q4_k", Q4_K_M), ("q5_k", Q5_K_M)];

impl Mix {
    /// The number in `general.file_type`.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The mix with this name, in any case.
    ///
    /// # Errors
    /// `QuantizeType` lists the names.
    pub fn from_name(name: &str) -> Result<Self> {
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let named = || Self::ALL.iter().copied().find(|m| m.name().eq_ignore_ascii_case(name));
        alias.map(|(_, mix)| *mix).or_else(named).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|m| m.name().to_lowercase()).collect();
            err!(
                QuantizeType,
                "no mix of types is named {name:?}; give one of {}",
                names.join(", ")
            )
        })
    }
}

/// The type with this name, in any case, which must be one that tensors can be written in.
///
/// # Errors
/// `QuantizeType` lists the names.
pub(crate) fn type_from_name(name: &str) -> Result<GgmlType> {
    let found = GgmlType::from_name(name).filter(|t| WRITABLE.contains(t));
    let Some(found) = found else {
        let names: Vec<_> = WRITABLE.iter().map(|t| t.name().to_lowercase()).collect();
        bail!(
            QuantizeType,
            "tensors cannot be written in a type {name:?}; give one of {}",
            names.join(", ")
        )
    };
    Ok(found)
}

/// The types that tensors can be written in.
pub(crate) const WRITABLE: &[GgmlType] = &[
    T::F32,
    T::F16,
    T::BF16,
    T::Q8_0,
    T::Q6_K,
    T::Q5_K,
    T::Q5_1,
    T::Q5_0,
    T::Q4_K,
    T::Q4_1,
    T::Q4_0,
    T::IQ4_NL,
    T::IQ4_XS,
    T::Q3_K,
    T::IQ3_S,
    T::IQ3_XXS,
    T::Q2_K,
    T::IQ2_S,
    T::IQ2_XS,
    T::IQ2_XXS,
    T::IQ1_M,
    T::IQ1_S,
    T::TQ2_0,
    T::TQ1_0,
    T::MXFP4,
    T::Q2_0,
    T::Q1_0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn names_are_found_in_any_case_and_others_list_what_there_is() {
        for mix in Mix::ALL {
            assert_eq!(Mix::from_name(&mix.name().to_lowercase()).unwrap(), *mix);
        }
        assert_eq!(Mix::from_name("Q4_K").unwrap(), Q4_K_M);
        let error = Mix::from_name("q7_k").unwrap_err();
        assert_eq!(error.code(), Code::QuantizeType);
        assert!(error.message().contains("q4_k_m"));
        assert!(type_from_name("iq4_xs").is_ok());
        // A type that activations alone have.
        assert_eq!(type_from_name("q8_1").unwrap_err().code(), Code::QuantizeType);
    }
}
