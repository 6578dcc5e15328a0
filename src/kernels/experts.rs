//! Products of a mixture of experts: each token's vectors meet the matrices that were chosen for it.
//!
//! Expert after expert is multiplied with all vectors that are its own, wherever they lie, so that its weights are read
//! once.

use super::{Crew, Level, Need, Product, Queue, Scratch, Vectors, Weight};

#[cfg(test)]
#[path = "experts_tests.rs"]
mod tests;

/// `y[t * slots + s][r] = sum over k of W[e][r][k] * x[..][k]` for every token `t` and slot `s`, where `e` is the expert
/// chosen for both. Slots may have vectors of their own or share that of the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpertProduct {
    /// That of the first expert.
    pub weight: Weight,
    pub experts: usize,
    /// Bytes from one expert's weight to the next's.
    pub expert_stride: usize,
    pub tokens: usize,
    pub slots: usize,
    /// The choices: numbers of experts. One that there is not counts as the last.
    pub chosen: *const i32,
    /// Numbers from one token's choices to the next's, and from one slot's to the next's.
    pub chosen_strides: [usize; 2],
    /// `tokens` vectors of the weights' width, or `tokens * slots` of them.
    pub x: Vectors,
    pub x_is_shared: bool,
    /// `tokens * slots` vectors of as many values as a weight has rows; they overlap nothing that is read.
    pub y: Vectors,
}

/// Each expert's vectors by their numbers, one expert after the other. Every thread finds them out for itself, as that is
/// done before the threads would have met.
struct Groups {
    /// Where an expert's numbers end; those of the next begin there.
    ends: *mut u32,
    x: *mut u32,
    y: *mut u32,
}

impl ExpertProduct {
    /// Vectors that are multiplied.
    fn vectors(&self) -> usize {
        self.tokens * self.slots
    }

    /// The product of an expert with `n` of the vectors.
    fn product(&self, expert: usize, x: Vectors, y: Vectors, n: usize) -> Product {
        let data = self.weight.data.wrapping_add(expert * self.expert_stride);
        Product {
            weight: Weight { data, ..self.weight },
            x,
            tokens: n,
            y,
            to_bytes: true,
            is_packed: false,
        }
    }

    /// The memory to work with; `None` if there is no kernel for this product, or the engine's own is quicker.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let (n, of) = (self.vectors(), |n: usize| self.product(0, self.x, self.y, n));
        if n == 0 || self.experts == 0 {
            return None;
        }
        // As many as an expert has on average: the engine's kernels take the same time for each.
        of((n / self.experts).max(1)).need(level)?;
        let most = of(n).need_up_to(level)?;
        Some(Need { own: most.own + self.bytes_of_groups(), ..most })
    }

    /// Bytes of a thread's [`Groups`].
    fn bytes_of_groups(&self) -> usize {
        (4 * (self.experts + 2 * self.vectors())).next_multiple_of(64)
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`ExpertProduct::need`] gave `Some` for this level, which the processor has, and `scratch` holds as much; the
    /// pointers are valid for what they are said to show, and nobody writes that meanwhile. The crew has just been formed.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let groups = Groups::new(self, scratch.own);
        let own = scratch.own.wrapping_add(self.bytes_of_groups());
        let (scratch, mut queue) = (Scratch { own, ..scratch }, Queue::new(0));
        // SAFETY: the caller's.
        unsafe {
            groups.fill(self);
            let mut begin = 0;
            for expert in 0..self.experts {
                let end = *groups.ends.add(expert) as usize;
                if begin < end {
                    let (x, y) = (groups.x.wrapping_add(begin), groups.y.wrapping_add(begin));
                    let (x, y) = (self.x.picked(x), self.y.picked(y));
                    let product = self.product(expert, x, y, end - begin);
                    product.run_in(level, crew, scratch, &mut queue);
                }
                begin = end;
            }
        }
    }

    /// The expert of a token and slot.
    ///
    /// # Safety
    /// There is such a choice.
    unsafe fn expert(&self, token: usize, slot: usize) -> usize {
        let [of_token, of_slot] = self.chosen_strides;
        // SAFETY: the caller's.
        let expert = unsafe { *self.chosen.add(token * of_token + slot * of_slot) };
        (expert as u32 as usize).min(self.experts - 1)
    }
}

impl Groups {
    fn new(product: &ExpertProduct, own: *mut u8) -> Self {
        let ends = own.cast::<u32>();
        let x = ends.wrapping_add(product.experts);
        Self { ends, x, y: x.wrapping_add(product.vectors()) }
    }

    /// Sorts the vectors by their experts; those of one expert stay in their order.
    ///
    /// # Safety
    /// The choices are there, and there is at least one expert; nobody else has the memory.
    unsafe fn fill(&self, product: &ExpertProduct) {
        let choices = (0..product.tokens).flat_map(|t| (0..product.slots).map(move |s| (t, s)));
        // SAFETY: the caller's; there are as many numbers as choices.
        unsafe {
            let ends = std::slice::from_raw_parts_mut(self.ends, product.experts);
            ends.fill(0);
            for (token, slot) in choices.clone() {
                ends[product.expert(token, slot)] += 1;
            }
            // For now where they begin: each becomes the end as its vectors are counted in.
            let mut begin = 0;
            for end in ends.iter_mut() {
                begin += std::mem::replace(end, begin);
            }
            for (token, slot) in choices {
                let end = &mut ends[product.expert(token, slot)];
                let (place, vector) = (*end as usize, token * product.slots + slot);
                *self.x.add(place) = if product.x_is_shared { token } else { vector } as u32;
                *self.y.add(place) = vector as u32;
                *end += 1;
            }
        }
    }
}
