//! Long work on a worker thread: step until done, see the progress, cancel, take the result.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::error::{Error, Result, bail, err};

/// The name of the worker threads.
pub(crate) const THREAD: &str = "nestling-job";

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The part that is done, 0 to 1. Never goes back.
    pub fraction: f32,
    /// Whether the job has ended, well or not: its result can be taken.
    pub done: bool,
}

/// What the work reports to and asks: given to the closure of [`Job::spawn`].
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    cancel: CancelToken,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fraction: f32,
    done: bool,
}

impl Monitor {
    /// A monitor for work that runs on the caller's own thread.
    pub fn new(cancel: CancelToken) -> Self {
        Self { cancel, shared: Arc::default() }
    }

    /// The job's cancel token.
    pub fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Reports the part that is done, 0 to 1.
    pub fn report(&self, fraction: f32) {
        let mut state = lock(&self.shared);
        if fraction > state.fraction {
            state.fraction = fraction.min(1.0);
            self.shared.changed.notify_all();
        }
    }
}

/// Work that runs on its own thread and ends in a `T`. Dropping it cancels the work and waits for its end.
#[derive(Debug)]
pub struct Job<T> {
    monitor: Monitor,
    worker: Option<JoinHandle<Result<T>>>,
    doing: &'static str,
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work`; `doing` names it in errors ("loading the model").
    pub fn spawn(
        doing: &'static str,
        cancel: CancelToken,
        work: impl FnOnce(&Monitor) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let monitor = Monitor::new(cancel);
        let theirs = monitor.clone();
        let worker = std::thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || {
                // The guard marks the end even when `work` panics, so that nobody waits for ever.
                let _end = End(theirs.shared.clone());
                work(&theirs)
            })
            .map_err(|e| Error::io(&e, "starting a worker thread"))?;
        Ok(Self { monitor, worker: Some(worker), doing })
    }

    /// Waits at most `timeout` for progress or the end, and says how far the job is.
    pub fn step(&self, timeout: Duration) -> Progress {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = lock(&self.monitor.shared);
        let before = state.fraction;
        while !state.done && state.fraction <= before {
            let left = match deadline {
                Some(at) => at.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                break;
            }
            let waited = self.monitor.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Progress { fraction: state.fraction, done: state.done }
    }

    /// Asks the job to stop; it then ends with the error `Cancelled`.
    pub fn cancel(&self) {
        self.monitor.cancel.trigger();
    }

    /// The job's result, once; waits for the end when it has not been reached.
    pub fn take(&mut self) -> Result<T> {
        let Some(worker) = self.worker.take() else {
            bail!(WrongState, "the result of {} was already taken; start a new job", self.doing)
        };
        worker
            .join()
            .unwrap_or_else(|_| Err(err!(Panic, "{} failed inside the library", self.doing)))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.monitor.cancel.trigger();
            // The result, good or bad, is not wanted any more.
            drop(worker.join());
        }
    }
}

struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0).done = true;
        self.0.changed.notify_all();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::sync::mpsc;

    #[test]
    fn progress_then_the_result_once() {
        let (go, wait) = mpsc::channel::<()>();
        let mut job = Job::spawn("counting", CancelToken::new(), move |monitor| {
            monitor.report(0.5);
            wait.recv().ok();
            monitor.report(0.2); // never backwards
            Ok(7)
        })
        .unwrap();
        while job.step(Duration::from_secs(5)).fraction < 0.5 {}
        assert!(!job.step(Duration::ZERO).done);
        go.send(()).unwrap();
        while !job.step(Duration::from_secs(5)).done {}
        assert_eq!(job.take().unwrap(), 7);
        assert_eq!(job.take().unwrap_err().code(), Code::WrongState);
    }

    #[test]
    fn drop_cancels_and_waits() {
        let token = CancelToken::new();
        let (ended, end) = mpsc::channel();
        let job = Job::spawn("waiting", token.clone(), move |monitor| -> Result<()> {
            while !monitor.cancel().is_triggered() {
                std::thread::yield_now();
            }
            ended.send(()).ok();
            monitor.cancel().check("waiting")
        })
        .unwrap();
        drop(job);
        assert!(end.try_recv().is_ok());
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let mut job: Job<()> =
            Job::spawn("breaking", CancelToken::new(), |_| panic!("on purpose")).unwrap();
        while !job.step(Duration::from_secs(5)).done {}
        assert_eq!(job.take().unwrap_err().code(), Code::Panic);
    }
}
