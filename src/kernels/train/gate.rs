//! The way back through a gate: with x s(z), the slope of its curve is s + x s (1 - s) z'.

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::rows::{Curve, sigmoid_part};
use crate::kernels::{Crew, Level, Need, Scratch};

/// What goes back through a gate, [`GateForward`](crate::kernels::rows::GateForward), whose rows follow each other:
/// `dx = dy * up * f'(x)`, `dup = dy * f(x)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateBack {
    pub curve: Curve,
    /// Elements of each.
    pub n: usize,
    pub x: *const f32,
    /// Null for f(x) alone; there is no `dup` then.
    pub up: *const f32,
    pub dy: *const f32,
    pub dx: *mut f32,
    pub dup: *mut f32,
}

/// Elements that a thread takes together.
const STEP: usize = 64;

impl GateBack {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        (level >= Level::Avx2).then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; everything has `n` elements.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let elements = crew.share(self.n, STEP);
        // SAFETY: by the contract of this function; shares are disjoint.
        unsafe { lanes::run(level, Share { gate: self, elements }) };
    }
}

struct Share<'a> {
    gate: &'a GateBack,
    elements: std::ops::Range<usize>,
}

impl Kernel for Share<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let g = self.gate;
        for i in self.elements.clone().step_by(L::N) {
            let n = self.elements.end - i;
            // SAFETY: as many lanes as are left; all is read before it is written, so that results may take its place.
            unsafe {
                let x = L::load_first(n, g.x.add(i));
                let mut dy = L::load_first(n, g.dy.add(i));
                let (s, slope) = sigmoid_part::<L>(g.curve, x);
                let y = L::mul(x, s);
                // s + x s (1 - s) z' = s + (y - y s) z'.
                let bend = L::sub(y, L::mul(y, s));
                let slope = L::fma(bend, slope, s);
                if !g.up.is_null() {
                    let up = L::load_first(n, g.up.add(i));
                    L::store_first(n, g.dup.add(i), L::mul(dy, y));
                    dy = L::mul(dy, up);
                }
                L::store_first(n, g.dx.add(i), L::mul(dy, slope));
            }
        }
    }
}
