//! Retries and timeouts of single requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diagnostics::{Error, Result};
use transport::page_tokens;
use transport::retry::{Backoff, retry};

/// Error of one attempt.
#[derive(Debug)]
pub(crate) struct RequestError {
    pub(crate) error: Error,
    /// True if another attempt may succeed.
    pub(crate) is_transient: bool,
    /// Error code of AWS; may be empty.
    pub(crate) code: String,
    /// HTTP status; 0 without a response.
    pub(crate) status: u16,
}

impl RequestError {
    /// An error that retries do not help.
    pub(crate) fn permanent(error: Error) -> Self {
        Self::new(error, false)
    }

    /// Error of a listing whose pages repeat.
    pub(crate) fn endless(what: &str) -> Self {
        let error = Error::new(format!("cannot {what}: {}", page_tokens::REPEATED));
        Self::permanent(error.help(page_tokens::REPEATED_HELP))
    }

    /// An error that a retry may help.
    pub(crate) fn transient(error: Error) -> Self {
        Self::new(error, true)
    }

    fn new(error: Error, is_transient: bool) -> Self {
        Self {
            error,
            is_transient,
            code: String::new(),
            status: 0,
        }
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        error.error
    }
}

/// Time since the last byte.
#[derive(Debug, Clone)]
pub(crate) struct IdleTimer(Arc<(Instant, AtomicU64)>);

impl IdleTimer {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// Resets the timer: a byte was moved.
    pub(crate) fn reset(&self) {
        let (start, last) = &*self.0;
        let now = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        last.store(now, Ordering::Relaxed);
    }

    fn elapsed_idle(&self) -> Duration {
        let (start, last) = &*self.0;
        start
            .elapsed()
            .saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)))
    }

    /// Returns after `limit` without a byte.
    async fn expired(&self, limit: Duration) {
        loop {
            let idle_time = self.elapsed_idle();
            if idle_time >= limit {
                return;
            }
            tokio::time::sleep(limit - idle_time).await;
        }
    }
}

/// Sends a request with retries. Each attempt resets its timer whenever bytes move.
pub(crate) async fn with_retries<T, Once>(
    what: &str,
    stall: Duration,
    attempts: Option<u32>,
    once: impl Fn(IdleTimer) -> Once,
) -> Result<T, RequestError>
where
    Once: Future<Output = Result<T, RequestError>>,
{
    let once = &once;
    let attempt = || async move {
        let idle = IdleTimer::new();
        tokio::select! {
            done = once(idle.clone()) => done,
            () = idle.expired(stall) => Err(RequestError::transient(Error::new(format!(
                "cannot {what}: no byte moved for {} s", stall.as_secs_f32()
            )).help("check the network, then run the same command again to resume"))),
        }
    };
    let backoff = Backoff::TRANSFER.with_attempts(attempts);
    retry(backoff, attempt, |error| error.is_transient, drop).await
}
