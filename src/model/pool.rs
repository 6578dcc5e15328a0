//! Contexts behind a model: a closed session's context serves the next session of the same shape.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Model;
use crate::error::Result;
use crate::ggml::{ContextParams, RawContext, Work};

/// At most this many contexts wait for a next session.
const IDLE: usize = 1;

#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<(ContextParams, RawContext)>>,
}

impl Pool {
    pub(super) fn trim(&self) {
        // Taken out first: freeing must not hold the lock.
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ContextParams, RawContext)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lease(
    model: &Model,
    params: &ContextParams,
    fits: impl FnOnce() -> Result<()>,
) -> Result<Lease> {
    let found = {
        let mut idle = model.pool().lock();
        let at = idle.iter().position(|(p, _)| p == params);
        at.map(|i| idle.swap_remove(i).1)
    };
    let context = match found {
        Some(context) => context,
        None => {
            // Idle contexts of other shapes only take memory that this one may need.
            model.trim();
            fits()?;
            RawContext::new(model.raw(), params)?
        }
    };
    Ok(Lease { context: Some(context), params: params.clone(), model: model.clone() })
}

/// A context on loan.
pub(crate) struct Lease {
    /// `None` only while being dropped.
    context: Option<RawContext>,
    params: ContextParams,
    model: Model,
}

impl Lease {
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }
}

#[allow(clippy::expect_used, reason = "the context is there until drop")]
impl Deref for Lease {
    type Target = RawContext;

    fn deref(&self) -> &RawContext {
        self.context.as_ref().expect("a lease holds its context until it is dropped")
    }
}

#[allow(clippy::expect_used, reason = "the context is there until drop")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut RawContext {
        self.context.as_mut().expect("a lease holds its context until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut context) = self.context.take() else { return };
        // What an encoder read stays in its context, and cannot be wiped.
        let keeps_text = self.params.work == Work::EncodeDecode;
        if keeps_text
            || self.model.pool().lock().len() >= IDLE
            || context.set_adapters(&[]).is_err()
        {
            return;
        }
        context.clear(true);
        let mut idle = self.model.pool().lock();
        if idle.len() < IDLE {
            idle.push((self.params.clone(), context));
        }
    }
}
