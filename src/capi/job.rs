//! Long work on a worker thread: step until it is done, then take its result.

use std::time::Duration;

use serde::Serialize;

use super::cancel::{nest_cancel, own_token};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Exclusive, Handle, free, handle, optional};
use super::model::nest_model;
use super::out::{out, put};
use super::string::nest_string;
use crate::cancel::CancelToken;
use crate::error::{Error, Result, bail, err};
use crate::eval::Evaluation;
use crate::job::{Job, Monitor, Progress};
use crate::model::Model;

/// Work that runs on its own thread.
pub struct nest_job(Exclusive<Work>);

/// What can run as a job, by its result.
pub(super) enum Work {
    Model(Job<Model>),
    Evaluation(Job<Evaluation>),
    /// Makes a file, and says in JSON what it did.
    Report(Job<String>),
}

impl nest_job {
    /// `cancel` is the token that the work listens to.
    pub(super) fn new(work: Work, cancel: CancelToken) -> Self {
        Self(Exclusive::stopped_by(work, cancel))
    }

    /// Starts work whose result is told in JSON.
    ///
    /// # Safety
    /// As [`own_token`].
    pub(super) unsafe fn report<T: Serialize>(
        doing: &'static str,
        cancel: *const nest_cancel,
        work: impl FnOnce(&Monitor) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        // SAFETY: passed on.
        let cancelled = unsafe { own_token(cancel) };
        let work = Job::spawn(doing, cancelled.clone(), move |monitor| {
            let report = work(monitor)?;
            serde_json::to_string(&report)
                .map_err(|e| err!(Internal, "writing JSON: {e}; please report it"))
        })?;
        Ok(Self::new(Work::Report(work), cancelled))
    }

    /// What a job that measures has found.
    pub(super) fn take_evaluation(&self) -> Result<Evaluation> {
        match &mut *self.0.lock("job")? {
            Work::Evaluation(work) => work.take(),
            other => Err(other.another()),
        }
    }
}

impl Handle for nest_job {
    const NAME: &'static str = "nest_job";

    fn close(&self) {
        self.0.close();
    }
}

/// Waits for progress or the end, at most `timeout_ms` milliseconds; -1 waits as long as it takes. `progress` becomes
/// the part that is done, 0 to 1; `done` becomes 1 when the job has ended, well or not.
///
/// Exclusive: `job`. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY. That the work failed is an error of taking its
/// result.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_job_step(
    job: *mut nest_job,
    timeout_ms: i32,
    progress: *mut f32,
    done: *mut i32,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(progress, 0.0, "progress")?;
        put(done, 0, "done")?;
        let now = handle(job, "job")?.0.lock("job")?.step(timeout(timeout_ms)?);
        put(progress, now.fraction, "progress")?;
        put(done, now.done.into(), "done")
    })
}

/// Asks the job to stop; it then ends with the error CANCELLED. Again, too late and NULL are fine. Any thread, also
/// while another one is in nest_job_step.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_job_cancel(job: *const nest_job) {
    // SAFETY: NULL, or a job that is not freed.
    guard_or((), || unsafe { optional(job) }.map_or((), |j| j.0.close()));
}

/// The model that nest_model_open_job loaded; waits for the end when it has not been reached.
///
/// Gives `model`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
/// another kind, and those of nest_model_open.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_job_take_model(
    job: *mut nest_job,
    model: *mut *mut nest_model,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(model, "model")?;
        let job = handle(job, "job")?;
        match &mut *job.0.lock("job")? {
            Work::Model(work) => out.set(nest_model(work.take()?)),
            other => return Err(other.another()),
        }
        Ok(())
    })
}

/// What a job that makes a file did, as JSON; the function that began the job says which keys it has. Waits for the end
/// when it has not been reached.
///
/// Gives `report`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
/// another kind, and those of the work.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_job_take_report(
    job: *mut nest_job,
    report: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(report, "report")?;
        let job = handle(job, "job")?;
        match &mut *job.0.lock("job")? {
            Work::Report(work) => out.set(nest_string::new(work.take()?)),
            other => return Err(other.another()),
        }
        Ok(())
    })
}

/// Cancels a job that has not ended, waits for its end, and frees it. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_job_free(job: *mut nest_job) {
    // SAFETY: NULL, or the caller's own job, given back.
    guard_or((), || unsafe { free(job) });
}

impl Work {
    fn step(&self, timeout: Duration) -> Progress {
        match self {
            Self::Model(job) => job.step(timeout),
            Self::Evaluation(job) => job.step(timeout),
            Self::Report(job) => job.step(timeout),
        }
    }

    /// The error for taking what the job does not make.
    fn another(&self) -> Error {
        let function = match self {
            Self::Model(_) => "nest_job_take_model",
            Self::Evaluation(_) => "nest_job_take_evaluation",
            Self::Report(_) => "nest_job_take_report",
        };
        err!(WrongState, "the job makes something else; take it with {function}")
    }
}

fn timeout(ms: i32) -> Result<Duration> {
    match ms {
        -1 => Ok(Duration::MAX),
        0.. => Ok(Duration::from_millis(ms.unsigned_abs().into())),
        _ => bail!(
            InvalidArgument,
            "the argument `timeout_ms` is {ms}; give milliseconds, or -1 to wait as long as it takes"
        ),
    }
}
