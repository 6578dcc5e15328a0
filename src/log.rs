//! The log: a ring of recent lines, read by polling. Nothing is printed.
//!
//! Lines come from the engine and from this crate. They never hold prompt or answer text.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many unread lines are kept; older ones are dropped first.
pub const CAPACITY: usize = 1024;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Details for the developers of the library.
    Debug = 0,
    /// What happens.
    Info = 1,
    /// Something unexpected that was dealt with.
    Warning = 2,
    /// Something failed; the failing call returns an error too.
    Error = 3,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How serious it is.
    pub level: Level,
    /// The text, without a line end.
    pub text: String,
    /// The line's number since the start of the process, from 0: a gap shows that lines were dropped.
    pub number: u64,
}

static RING: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CAPTURE: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Takes the oldest unread line, if there is one. May be called from any thread.
pub fn poll() -> Option<Line> {
    ring().pop_front()
}

/// Adds a line.
pub(crate) fn push(level: Level, text: &str) {
    let text = text.trim_end();
    if text.is_empty() {
        return;
    }
    if level >= Level::Warning {
        CAPTURE.with_borrow_mut(|capture| {
            if let Some(lines) = capture {
                lines.push(text.to_owned());
            }
        });
    }
    let mut ring = ring();
    if ring.len() == CAPACITY {
        ring.pop_front();
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ring.push_back(Line { level, text: text.to_owned(), number });
}

/// Runs `work` and returns, beside its result, the warnings and errors logged by this thread meanwhile:
/// the engine's only way of saying why it refused something.
pub(crate) fn capture<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    CAPTURE.set(Some(Vec::new()));
    let result = work();
    (result, CAPTURE.take().unwrap_or_default())
}

fn ring() -> std::sync::MutexGuard<'static, VecDeque<Line>> {
    // A panic while the lock was held cannot have left the queue in an unusable state.
    RING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_polled_in_order_and_the_oldest_is_dropped() {
        let ((), seen) = capture(|| {
            for i in 0..CAPACITY + 10 {
                push(Level::Warning, &format!("line {i}\n"));
            }
            push(Level::Info, "   ");
        });
        assert_eq!(seen.len(), CAPACITY + 10);
        let lines: Vec<_> = std::iter::from_fn(poll).collect();
        assert!(lines.len() <= CAPACITY);
        assert!(lines.windows(2).all(|w| w[0].number < w[1].number));
        assert!(lines.iter().any(|l| l.text == format!("line {}", CAPACITY + 9)));
        assert!(lines.iter().all(|l| l.text != "line 0"));
    }
}
