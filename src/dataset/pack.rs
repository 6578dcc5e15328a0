//! The order of an epoch, and several examples in one row.

use std::borrow::Borrow;

use super::sequence::Sequence;
use crate::error::{Result, bail};
use crate::rng::Rng;

/// How many rows that are not full yet are looked at for the next example. It bounds the time of packing, and keeps an
/// example near its place in the order.
const OPEN_ROWS: usize = 32;

/// Keeps these random numbers apart from those of other uses of the same seed.
const ORDER: u64 = 3;

/// Tokens of several examples, one example after the other. Each sees only itself: a mask lets token `i` look at token
/// `j` if `j <= i` and both have the same segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Token ids, at most `n_ctx`.
    pub tokens: Vec<i32>,
    /// The position of each token in its example, from 0.
    pub positions: Vec<i32>,
    /// Which example of the row each token belongs to, from 0.
    pub segments: Vec<u32>,
    /// Whether each token is to be predicted from those before it in its segment. Never for the first of a segment.
    pub loss: Vec<bool>,
    /// For each segment the index of its sequence among those that were packed.
    pub sequences: Vec<usize>,
}

impl Row {
    /// The number of tokens that are to be predicted.
    pub fn loss_tokens(&self) -> usize {
        self.loss.iter().filter(|&&learned| learned).count()
    }

    /// A row of one sequence, which is at `index` among those of the caller.
    pub fn single(index: usize, sequence: &Sequence) -> Self {
        let mut row = Self::default();
        row.push(index, sequence);
        row
    }

    fn push(&mut self, index: usize, sequence: &Sequence) {
        let segment = self.sequences.len() as u32;
        self.sequences.push(index);
        for (position, &token) in sequence.tokens.iter().enumerate() {
            let learned = sequence.loss.get(position).is_some_and(|&learned| learned);
            self.tokens.push(token);
            self.positions.push(position as i32);
            self.segments.push(segment);
            self.loss.push(learned && position > 0);
        }
    }
}

/// The order in which an epoch takes `n` examples: all of them, shuffled. The same seed and epoch give the same order
/// everywhere.
pub fn order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Rng::keyed(&[seed, ORDER, epoch]).shuffle(&mut order);
    order
}

/// Puts sequences into rows of at most `n_ctx` tokens, in their order: each goes into the first of the last 32 open
/// rows that has room, or into a new one. Every sequence is in exactly one row, whole. The same input gives the same
/// rows. For one sequence a row, see [`Row::single`].
///
/// # Errors
/// `InvalidArgument` for a sequence of more than `n_ctx` tokens, or whose tokens and loss differ in length.
pub fn pack<S: Borrow<Sequence>>(sequences: &[S], n_ctx: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    // Indices of rows that may have room.
    let mut open: Vec<usize> = Vec::new();
    for (index, sequence) in sequences.iter().map(Borrow::borrow).enumerate() {
        let n = sequence.tokens.len();
        if n > n_ctx || n != sequence.loss.len() {
            bail!(
                InvalidArgument,
                "sequence {index} has {n} tokens and {} flags of loss, a row {n_ctx} tokens; encode with the row's \
                 n_ctx",
                sequence.loss.len()
            )
        }
        let room = |&&at: &&usize| rows.get(at).is_some_and(|row| row.tokens.len() + n <= n_ctx);
        let at = match open.iter().find(room) {
            Some(&at) => at,
            None => {
                rows.push(Row::default());
                open.push(rows.len() - 1);
                if open.len() > OPEN_ROWS {
                    open.remove(0);
                }
                rows.len() - 1
            }
        };
        if let Some(row) = rows.get_mut(at) {
            row.push(index, sequence);
            if row.tokens.len() >= n_ctx {
                open.retain(|&other| other != at);
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sequence(n: usize, first: i32) -> Sequence {
        Sequence { tokens: (first..).take(n).collect(), loss: vec![true; n] }
    }

    #[test]
    fn rows_hold_whole_sequences_with_their_own_positions() {
        let rows = pack(&[sequence(3, 10), sequence(4, 20), sequence(2, 30)], 5).unwrap();
        assert_eq!(rows.len(), 2);
        let first = &rows[0];
        assert_eq!(first.tokens, [10, 11, 12, 30, 31]);
        assert_eq!(first.positions, [0, 1, 2, 0, 1]);
        assert_eq!(first.segments, [0, 0, 0, 1, 1]);
        assert_eq!(first.loss, [false, true, true, false, true]);
        assert_eq!(first.sequences, [0, 2]);
        assert_eq!((rows[1].tokens.len(), rows[1].loss_tokens()), (4, 3));
        assert_eq!(rows[1], Row::single(1, &sequence(4, 20)));
        assert!(pack(&[sequence(6, 0)], 5).is_err());
        assert!(pack::<Sequence>(&[], 5).unwrap().is_empty());
    }

    #[test]
    fn an_order_is_fixed_by_seed_and_epoch() {
        assert_eq!(order(8, 42, 0), order(8, 42, 0));
        let orders = [order(50, 1, 0), order(50, 1, 1), order(50, 2, 0)];
        assert!(orders[0] != orders[1] && orders[0] != orders[2] && orders[1] != orders[2]);
        assert_eq!((order(0, 1, 1), order(1, 1, 1)), (vec![], vec![0]));
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_row_as_it_was(
            sizes in prop::collection::vec(0usize..40, 0..200), seed: u64,
        ) {
            let sequences: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(i, &n)| {
                    let mut sequence = sequence(n, i as i32 * 100);
                    let mut rng = crate::rng::Rng::keyed(&[seed, i as u64]);
                    sequence.loss.iter_mut().skip(1).for_each(|learned| *learned = rng.below(2) == 0);
                    if let Some(first) = sequence.loss.first_mut() {
                        *first = false;
                    }
                    sequence
                })
                .collect();
            let rows = pack(&sequences, 40).unwrap();
            let mut found = vec![Sequence::default(); sequences.len()];
            let mut times = vec![0; sequences.len()];
            for row in &rows {
                prop_assert!(row.tokens.len() <= 40);
                row.sequences.iter().for_each(|&index| times[index] += 1);
                for i in 0..row.tokens.len() {
                    let mine = &mut found[row.sequences[row.segments[i] as usize]];
                    prop_assert_eq!(row.positions[i] as usize, mine.tokens.len());
                    mine.tokens.push(row.tokens[i]);
                    mine.loss.push(row.loss[i]);
                }
            }
            prop_assert!(times.iter().all(|&n| n == 1));
            prop_assert_eq!(found, sequences);
        }

        #[test]
        fn an_order_has_every_index_once(n in 0usize..300, seed: u64, epoch: u64) {
            let mut all = order(n, seed, epoch);
            all.sort_unstable();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
