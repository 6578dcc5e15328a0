//! What becomes of the heads of queries, keys and values between their products and attention: they are normed, turned by
//! position and put into the cache. No step reads what another thread has written, so that nobody waits between them.

use std::ops::Range;

use super::{NormForward, Rope, SetRows};
use crate::kernels::{Crew, Level, Need, Scratch};

/// Tokens that all chains are run for before the next: few enough to stay in the first cache.
const TOGETHER: usize = 8;

/// Steps of which each takes what the one before it gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// Heads of each token: equal parts of the rows that are put somewhere.
    pub heads: usize,
    /// Of each head by itself; heads of the same token are neighbours.
    pub norm: Option<NormForward>,
    pub rope: Option<Rope>,
    pub set: Option<SetRows>,
}

/// Up to three chains, whose results lie apart from what the others read and write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub tokens: usize,
    pub chains: [Option<Chain>; 3],
}

impl Heads {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let mut own = 0;
        for chain in self.chains.iter().flatten() {
            if let Some(norm) = chain.norm {
                norm.need(level)?;
            }
            if chain.set.is_some_and(|set| !set.is_offered(level)) {
                return None;
            }
            own += chain.own(level)?;
        }
        Some(Need { shared: 0, own })
    }

    /// Computes this thread's share: some tokens, or of a few tokens some heads.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has, and `scratch` holds as much; the
    /// pointers are valid for the shapes.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let chains = self.chains.iter().flatten();
        let all: usize = chains.clone().map(|chain| chain.heads).sum();
        let (tokens, heads) = if self.tokens < 2 * crew.count {
            (0..self.tokens, crew.share(all, 1))
        } else {
            (crew.share(self.tokens, 1), 0..all)
        };
        for first in tokens.clone().step_by(TOGETHER) {
            let some = first..(first + TOGETHER).min(tokens.end);
            let (mut own, mut before) = (scratch.own, 0);
            for chain in chains.clone() {
                let at = |head: usize| head.saturating_sub(before).min(chain.heads);
                let part = at(heads.start)..at(heads.end);
                if !part.is_empty() {
                    // SAFETY: by the contract of this function; shares are disjoint, and so are the chains' parts of the scratch.
                    unsafe {
                        if first == tokens.start
                            && let Some(rope) = chain.rope
                        {
                            rope.prepare(own.cast());
                        }
                        chain.run(level, [some.clone(), part], own.cast());
                    }
                }
                before += chain.heads;
                own = own.wrapping_add(chain.own(level).unwrap_or_default());
            }
        }
    }
}

impl Chain {
    /// The same with what it begins with at `x`, where all steps but the last leave what they give. Heads and tokens lie there as
    /// they do otherwise.
    pub(crate) fn on(&self, x: *mut f32) -> Self {
        let Self { heads, norm, rope, set } = *self;
        let (head, token) = match (norm, rope) {
            (Some(norm), _) => (norm.x_stride, norm.x_stride * heads),
            (None, Some(rope)) => (rope.x_head, rope.x_token),
            (None, None) => (0, set.map_or(0, |set| set.x_stride)),
        };
        let norm = norm.map(|norm| match (rope, set) {
            (None, None) => NormForward { x, ..norm },
            _ => NormForward { x, y: x, y_stride: head, ..norm },
        });
        let rope = rope.map(|rope| {
            let rope = Rope { x, x_head: head, x_token: token, ..rope };
            match set {
                None => rope,
                Some(_) => Rope { y: x, y_head: head, y_token: token, ..rope },
            }
        });
        let set = set.map(|set| SetRows { x, x_stride: token, ..set });
        Self { heads, norm, rope, set }
    }

    /// Bytes of scratch; `None` where it is not offered.
    fn own(&self, level: Level) -> Option<usize> {
        self.rope.map_or(Some(0), |rope| rope.need(level).map(|need| need.own))
    }

    /// Computes some heads of some tokens.
    ///
    /// # Safety
    /// As for [`Heads::run`]; nobody else computes these heads, and `own` is prepared for the rope.
    unsafe fn run(&self, level: Level, [tokens, heads]: [Range<usize>; 2], own: *mut f32) {
        // SAFETY: by the contract of this function.
        unsafe {
            if let Some(norm) = self.norm {
                for token in tokens.clone() {
                    let row = |head| token * self.heads + head;
                    norm.run_rows(level, row(heads.start)..row(heads.end));
                }
            }
            if let Some(rope) = self.rope {
                rope.run_heads(level, [tokens.clone(), heads.clone()], own);
            }
            if let Some(set) = self.set {
                let width = set.width / self.heads;
                set.run_part(level, [tokens, heads.start * width..heads.end * width]);
            }
        }
    }
}
