//! Work done on all threads whose results are wanted one after the other.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};

use rayon::{ScopeFifo, ThreadPool};

use crate::error::{Result, err};

/// Tasks that are begun, for each thread, before their results are taken: what the threads do while one waits for the disk.
const AHEAD: usize = 4;

/// The results of tasks, in the tasks' order.
pub(super) struct Ordered<'pool, 'scope, I, R> {
    scope: &'pool ScopeFifo<'scope>,
    tasks: I,
    begun: VecDeque<Receiver<R>>,
}

/// Gives `take` the results of all tasks, which the pool's threads work on meanwhile. At its end, tasks that were begun are
/// waited for, and no other is begun.
pub(super) fn ordered<'scope, I, T, R>(
    pool: &ThreadPool,
    tasks: I,
    take: impl FnOnce(&mut Ordered<'_, 'scope, I::IntoIter, R>) -> Result<()>,
) -> Result<()>
where
    I: IntoIterator<Item = T>,
    T: FnOnce() -> R + Send + 'scope,
    R: Send + 'scope,
{
    pool.in_place_scope_fifo(|scope| {
        let mut all = Ordered { scope, tasks: tasks.into_iter(), begun: VecDeque::new() };
        (0..AHEAD * pool.current_num_threads()).for_each(|_| all.begin());
        take(&mut all)
    })
}

impl<'scope, I, T, R> Ordered<'_, 'scope, I, R>
where
    I: Iterator<Item = T>,
    T: FnOnce() -> R + Send + 'scope,
    R: Send + 'scope,
{
    fn begin(&mut self) {
        let Some(task) = self.tasks.next() else { return };
        let (send, receive) = sync_channel(1);
        self.begun.push_back(receive);
        // Nobody takes the result of a task that was begun before an error.
        self.scope.spawn_fifo(move |_| drop(send.send(task())));
    }

    /// The next result, and a new task in the place of its own.
    pub fn next(&mut self) -> Result<R> {
        let next = self.begun.pop_front().and_then(|result| result.recv().ok());
        self.begin();
        next.ok_or_else(|| err!(Internal, "there are fewer tasks than results"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_and_an_error_ends_the_work() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let (begun, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tasks = |n: usize| {
            let begun = &begun;
            (0..n).map(move |i| {
                move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    // Later tasks are shorter.
                    (0..(100 - i) * 1000).fold(i as u64, |a, b| std::hint::black_box(a ^ b as u64));
                    i
                }
            })
        };
        ordered(&pool, tasks(100), |all| {
            for i in 0..100 {
                assert_eq!(all.next()?, i);
                taken.fetch_add(1, Ordering::Relaxed);
            }
            assert!(all.next().is_err(), "there are no more");
            Ok(())
        })
        .unwrap();
        assert_eq!((begun.load(Ordering::Relaxed), taken.load(Ordering::Relaxed)), (100, 100));
        begun.store(0, Ordering::Relaxed);
        let ended = ordered(&pool, tasks(100), |all| {
            all.next()?;
            Err(err!(Io, "the disk is full"))
        });
        assert!(ended.is_err() && begun.load(Ordering::Relaxed) <= 1 + AHEAD * 3);
    }
}
