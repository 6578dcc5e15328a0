//! A token that stops a long operation from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Result, bail};

/// Cancels an operation: keep a clone, give one away, and [`trigger`](Self::trigger) from any thread.
///
/// Triggering is idempotent and permanent: a triggered token stops everything it is given to.
/// Work stops within one micro-batch of tokens (`n_ubatch`) or one progress step of a load.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops everything that holds a clone of this token.
    pub fn trigger(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the token was triggered.
    pub fn is_triggered(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The flag that the engine's threads read.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// The error `Cancelled`, naming what was stopped, if the token was triggered.
    pub fn check(&self, doing: &str) -> Result<()> {
        if self.is_triggered() {
            bail!(Cancelled, "{doing} was cancelled; start it again with a new cancel token")
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_clone_stops_the_original() {
        let token = CancelToken::new();
        assert!(token.check("loading").is_ok());
        token.clone().trigger();
        let error = token.check("loading").unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
        assert!(error.message().contains("loading"));
    }
}
