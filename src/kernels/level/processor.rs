//! Whether the processor's tiles (AMX) are there and may be used, and who made it.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Whether the processor multiplies tiles of brain floats, and the system lets this process use them. Linux has to be
/// asked: it then keeps room for the tiles in signal frames, and refuses stacks for signal handlers that are too small
/// for them, of which there must be none yet.
pub(super) fn has_tiles() -> bool {
    has_instructions() && is_permitted()
}

/// Whether the processor says that it is Intel's.
pub(super) fn is_of_intel() -> bool {
    let said = __cpuid(0);
    [said.ebx, said.edx, said.ecx].map(u32::to_le_bytes).concat() == *b"GenuineIntel"
}

fn has_instructions() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    /// The parts of the state that the system saves: the configuration of tiles, and their data.
    const STATE: u64 = 3 << 17;

    #[target_feature(enable = "xsave")]
    fn state() -> u64 {
        // SAFETY: register 0 always exists.
        unsafe { _xgetbv(0) }
    }

    // SAFETY: the register is there, as the processor says.
    let is_saved = || unsafe { state() } & STATE == STATE;
    __cpuid(0).eax >= 7
        && __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES
        && __cpuid(1).ecx & OSXSAVE != 0
        && is_saved()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: no memory is named; a system that does not know the request refuses it.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_permitted() -> bool {
    false
}
