//! Work that is given out piece by piece, over several products with one crew.

use super::Crew;

/// The pieces of work that a crew's threads take one after the other. Each thread has its own view of the crew's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Which of the crew's.
    number: usize,
    /// Pieces of the products before.
    before: usize,
    /// A ticket that was drawn, but is one of the next product's.
    held: Option<usize>,
}

impl Queue {
    /// The crew's queue of this number, from which nobody has taken anything.
    pub(crate) fn new(number: usize) -> Self {
        Self { number, before: 0, held: None }
    }

    /// The next of a product's pieces for this thread. `None` is said once; then the next product's begin.
    pub(crate) fn next(&mut self, crew: &Crew<'_>, pieces: usize) -> Option<usize> {
        let ticket = self.held.take().unwrap_or_else(|| crew.ticket(self.number));
        let piece = ticket.wrapping_sub(self.before);
        if piece < pieces {
            return Some(piece);
        }
        self.held = Some(ticket);
        self.before += pieces;
        None
    }
}
