//! The instructions for tiles on a processor that has none: the signal of an unknown instruction carries them out, so that
//! tests run what needs them. Sums are rounded as Intel's manual says (Software Developer's Manual, volume 2,
//! `TDPBF16PS`); numbers too small to be normal are not taken for zeros, as they are there.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

use super::amx::Config;

/// Where the context of a signal has the registers that an instruction numbers.
const REGISTERS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Two brain floats, or a float.
type Word = u32;

/// The tiles of a thread.
#[derive(Clone, Copy)]
struct Tiles {
    config: Config,
    words: [[[Word; 16]; 16]; 8],
}

impl Tiles {
    const NONE: Self = Self { config: Config::new(0), words: [[[0; 16]; 16]; 8] };
}

thread_local! {
    static TILES: RefCell<Tiles> = const { RefCell::new(Tiles::NONE) };
}

/// Has unknown instructions carried out from now on, if they are for tiles; gives whether the system lets it.
pub(crate) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // SAFETY: all zeros is an action without flags; the handler touches nothing but its thread's tiles, the registers
        // and what the instruction names.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &raw const action, null_mut()) == 0
        }
    })
}

extern "C" fn handle(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: a handler with `SA_SIGINFO` is given the context of what it interrupts, which is its alone.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize];
    // SAFETY: an instruction is there, and it has not been carried out.
    let done = unsafe {
        Instruction::decode(at as *const u8, registers).and_then(|instruction| {
            TILES.with_borrow_mut(|tiles| instruction.run(tiles)).map(|()| instruction.length)
        })
    };
    match done {
        Some(length) => registers[libc::REG_RIP as usize] = at + length as i64,
        // It comes again, and nobody catches it.
        // SAFETY: the default action is always there.
        None => unsafe { _ = libc::signal(libc::SIGILL, libc::SIG_DFL) },
    }
}

/// Which instruction it is among those that are coded alike.
struct Instruction {
    opcode: u8,
    prefix: u8,
    tile: usize,
    place: Place,
    /// A third tile.
    other: usize,
    /// Bytes.
    length: usize,
}

enum Place {
    Tile(usize),
    Memory { at: usize, stride: usize },
}

impl Instruction {
    /// Reads one that has three bytes before its opcode.
    ///
    /// # Safety
    /// An instruction is there.
    unsafe fn decode(code: *const u8, registers: &[i64; 23]) -> Option<Self> {
        // SAFETY: no more bytes are read than the ones before say that there are.
        let byte = |i: usize| unsafe { *code.add(i) };
        if byte(0) != 0xc4 || byte(1) & 31 != 2 {
            return None;
        }
        let (prefixes, opcode, operands) = (byte(2), byte(3), byte(4));
        let register = |number: u8, bit: u8| {
            let high = u8::from(byte(1) & bit == 0) << 3;
            registers[REGISTERS[(number & 7 | high) as usize] as usize] as usize
        };
        let (mode, low) = (operands >> 6, operands & 7);
        let (place, length) = if mode == 3 {
            (Place::Tile(low.into()), 5)
        } else {
            let (base, index, length) = if low == 4 {
                let both = byte(5);
                // Register 4 is none.
                let is_none = both & 0x38 == 0x20 && byte(1) & 0x40 != 0;
                let index = if is_none { 0 } else { register(both >> 3, 0x40) << (both >> 6) };
                (both, index, 6)
            } else {
                (low, 0, 5)
            };
            let (distance, length) = match mode {
                // An address that begins with no register.
                0 if base & 7 == 5 => return None,
                0 => (0, length),
                1 => (byte(length) as i8 as i32, length + 1),
                _ => (i32::from_le_bytes([0, 1, 2, 3].map(|i| byte(length + i))), length + 4),
            };
            let at = register(base, 0x20).wrapping_add_signed(distance as isize);
            (Place::Memory { at, stride: index }, length)
        };
        let (tile, other) = ((operands >> 3 & 7).into(), (!prefixes >> 3 & 15).into());
        Some(Self { opcode, prefix: prefixes & 3, tile, place, other, length })
    }

    /// Carries it out; `None` if the processor would not.
    ///
    /// # Safety
    /// The memory that it names is there.
    unsafe fn run(&self, tiles: &mut Tiles) -> Option<()> {
        let rows = |tiles: &Tiles, tile: usize| {
            let rows = usize::from(*tiles.config.rows.get(tile)?);
            (rows > 0).then_some(rows)
        };
        let tile = self.tile;
        match (self.opcode, self.prefix, &self.place) {
            // SAFETY: the caller's.
            (0x49, 0, Place::Memory { at, .. }) => unsafe {
                *tiles = Tiles { config: *(*at as *const Config), ..Tiles::NONE };
            },
            (0x49, 0, Place::Tile(0)) => *tiles = Tiles::NONE,
            (0x49, 3, Place::Tile(_)) => {
                rows(tiles, tile)?;
                tiles.words[tile] = Tiles::NONE.words[tile];
            }
            (0x4b, prefix @ 1..=3, Place::Memory { at, stride }) => {
                let rows = rows(tiles, tile)?;
                for (r, row) in tiles.words[tile].iter_mut().enumerate() {
                    let memory = at.wrapping_add(r.wrapping_mul(*stride)) as *mut [Word; 16];
                    // SAFETY: the caller's.
                    unsafe {
                        match prefix {
                            _ if r >= rows => *row = [0; 16],
                            2 => memory.write_unaligned(*row),
                            _ => *row = memory.read_unaligned(),
                        }
                    }
                }
            }
            (0x5c, 2, Place::Tile(left)) => {
                let fit =
                    rows(tiles, *left)? == rows(tiles, tile)? && rows(tiles, self.other)? == 16;
                if !fit {
                    return None;
                }
                let [a, b] = [*left, self.other].map(|factor| tiles.words[factor]);
                // SAFETY: processors with vectors of 512 bits have these.
                unsafe { multiply(&mut tiles.words[tile], &a, &b) }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The sums of the low elements and of the high ones are added to what is there.
#[target_feature(enable = "avx512f,fma")]
fn multiply(to: &mut [[Word; 16]; 16], left: &[[Word; 16]; 16], right: &[[Word; 16]; 16]) {
    let low = |word: Word| f32::from_bits(word << 16);
    let high = |word: Word| f32::from_bits(word >> 16 << 16);
    for (to, left) in to.iter_mut().zip(left) {
        let mut sums = [[0f32; 16]; 2];
        for (a, right) in left.iter().zip(right) {
            for (c, b) in right.iter().enumerate() {
                sums[0][c] = low(*a).mul_add(low(*b), sums[0][c]);
                sums[1][c] = high(*a).mul_add(high(*b), sums[1][c]);
            }
        }
        for (c, to) in to.iter_mut().enumerate() {
            *to = (f32::from_bits(*to) + (sums[0][c] + sums[1][c])).to_bits();
        }
    }
}
