//! A token that stops a long operation from any thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Result, bail};

/// Cancels an operation: keep a clone, give one away, and [`trigger`](Self::trigger) from any thread.
///
/// Triggering is idempotent and permanent: a triggered token stops everything it is given to.
/// Work stops within one micro-batch of tokens (`n_ubatch`) or one progress step of a load.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    triggered: AtomicBool,
    /// Tokens that are triggered with this one.
    followers: Mutex<Vec<Weak<Inner>>>,
}

impl CancelToken {
    /// A token that has not been triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops everything that holds a clone of this token.
    pub fn trigger(&self) {
        self.0.triggered.store(true, Ordering::Release);
        let followers = std::mem::take(&mut *self.followers());
        for follower in followers.iter().filter_map(Weak::upgrade) {
            CancelToken(follower).trigger();
        }
    }

    /// Triggers `follower` whenever this token is triggered; not the other way round.
    pub fn link(&self, follower: &CancelToken) {
        let mut followers = self.followers();
        followers.retain(|known| known.strong_count() > 0);
        followers.push(Arc::downgrade(&follower.0));
        drop(followers);
        // Triggered before it was added: then nobody else tells it.
        if self.is_triggered() {
            follower.trigger();
        }
    }

    /// Whether the token was triggered.
    pub fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::Acquire)
    }

    /// The flag that the engine's threads read.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0.triggered
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Inner>>> {
        // A panic while the lock was held cannot have left the list in an unusable state.
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_follower_is_triggered_too_and_alone() {
        let (leader, follower, late) = (CancelToken::new(), CancelToken::new(), CancelToken::new());
        leader.link(&follower);
        drop(follower.clone());
        late.link(&CancelToken::new());
        late.trigger();
        assert!(!leader.is_triggered() && !follower.is_triggered());
        leader.trigger();
        assert!(follower.is_triggered());
        let after = CancelToken::new();
        leader.link(&after);
        assert!(after.is_triggered());
    }

    #[test]
    fn tokens_that_follow_each_other_end() {
        let (a, b) = (CancelToken::new(), CancelToken::new());
        a.link(&b);
        b.link(&a);
        a.trigger();
        assert!(b.is_triggered());
    }
}
