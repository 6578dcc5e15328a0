//! One row of tokens as the layers take it, and what its tokens see of each other.

/// One row of tokens: examples one after the other, which do not see each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub tokens: &'a [i32],
    /// The position of each token in its example.
    pub positions: &'a [i32],
    /// The number of each token's example.
    pub segments: &'a [u32],
}

/// 0 where a token sees another: one of its own example, not after it, inside the window.
pub(super) fn mask(row: Row<'_>, window: Option<u32>) -> Vec<f32> {
    let tokens = || row.positions.iter().zip(row.segments);
    let sees = |(p, s): (&i32, &u32), (q, t): (&i32, &u32)| {
        s == t && q <= p && window.is_none_or(|w| i64::from(*p) - i64::from(*q) < i64::from(w))
    };
    tokens()
        .flat_map(|a| tokens().map(move |b| if sees(a, b) { 0.0 } else { f32::NEG_INFINITY }))
        .collect()
}
