//! What the processor can do, found out once.

#[cfg(target_arch = "x86_64")]
mod processor;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use processor::{has_tiles, is_of_intel};

/// The variable that lowers the level, for tests and for whoever suspects a kernel: one of [`Level::NAMES`].
const VARIABLE: &str = "NESTLING_CPU_LEVEL";

/// A set of instructions; each level has those of the levels before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// No kernels: the engine computes everything.
    None,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512,
    /// AVX-512 VNNI: products of 8-bit integers.
    Avx512Vnni,
    /// AVX-512 BF16: products of 16-bit brain floats.
    Avx512Bf16,
    /// AMX with BF16: products of tiles of brain floats, where the system lets the process use them.
    Amx,
}

impl Level {
    /// Every level by the name that the variable takes, the lowest first.
    pub(crate) const NAMES: [(&'static str, Level); 6] = [
        ("none", Level::None),
        ("avx2", Level::Avx2),
        ("avx512", Level::Avx512),
        ("avx512-vnni", Level::Avx512Vnni),
        ("avx512-bf16", Level::Avx512Bf16),
        ("amx", Level::Amx),
    ];

    /// The level to use: the processor's quickest, or one that the environment asks for and the processor has.
    pub(crate) fn current() -> Self {
        static CURRENT: OnceLock<Level> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let asked = std::env::var(VARIABLE).ok();
            let asked = Self::NAMES.iter().find(|(name, _)| Some(*name) == asked.as_deref());
            match asked.map(|(_, level)| *level) {
                None => Self::of_processor().quickest(),
                Some(Level::Amx) => Self::of_processor(),
                // The system is not asked for tiles that are not used.
                Some(lower) => lower.min(Self::without_tiles()),
            }
        })
    }

    /// The name that the variable takes.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("none", |(name, _)| name)
    }

    /// The highest level of this processor.
    pub(crate) fn of_processor() -> Self {
        match Self::without_tiles() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 if has_tiles() => Level::Amx,
            level => level,
        }
    }

    /// The level to use if this is the processor's. Instructions for brain floats multiply twice as much as those for f32 on
    /// AMD's processors, and half as much on Intel's, which have tiles for it unless they are kept from a virtual machine.
    fn quickest(self) -> Self {
        #[cfg(target_arch = "x86_64")]
        if self == Level::Avx512Bf16 && is_of_intel() {
            return Level::Avx512Vnni;
        }
        self
    }

    #[cfg(target_arch = "x86_64")]
    fn without_tiles() -> Self {
        use std::arch::is_x86_feature_detected as has;
        if !(has!("avx2") && has!("fma") && has!("f16c")) {
            Level::None
        } else if !(has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq")) {
            Level::Avx2
        } else if !has!("avx512vnni") {
            Level::Avx512
        } else if !has!("avx512bf16") {
            Level::Avx512Vnni
        } else {
            Level::Avx512Bf16
        }
    }

    /// The engine has kernels of its own for other processors.
    #[cfg(not(target_arch = "x86_64"))]
    fn without_tiles() -> Self {
        Level::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brain_floats_without_tiles_are_for_those_who_multiply_them_quickly() {
        for (_, level) in Level::NAMES {
            let lower = level == Level::Avx512Bf16 && level.quickest() != level;
            assert_eq!(level.quickest(), if lower { Level::Avx512Vnni } else { level });
            #[cfg(target_arch = "x86_64")]
            assert!(!lower || is_of_intel());
        }
    }
}
