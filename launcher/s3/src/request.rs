//! Trying again, request by request, and when a request counts as dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diagnostics::{Error, Result};
use transport::retry::{Backoff, retry};

/// Why one try failed.
#[derive(Debug)]
pub(crate) struct RequestError {
    pub(crate) error: Error,
    /// Whether another try may succeed.
    pub(crate) is_transient: bool,
    /// AWS's code, empty if the failure has none.
    pub(crate) code: String,
    /// 0 without an answer.
    pub(crate) status: u16,
}

impl RequestError {
    /// No further try helps.
    pub(crate) fn permanent(error: Error) -> Self {
        Self::new(error, false)
    }

    /// The next try may succeed.
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

/// When a byte moved last.
#[derive(Debug, Clone)]
pub(crate) struct IdleTimer(Arc<(Instant, AtomicU64)>);

impl IdleTimer {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// A byte moved.
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

    /// Returns when nothing moved for `limit`.
    async fn expired(&self, limit: Duration) {
        loop {
            let silence = self.elapsed_idle();
            if silence >= limit {
                return;
            }
            tokio::time::sleep(limit - silence).await;
        }
    }
}

/// Tries until it works, fails for good, or was tried often enough. Each try gets a pulse that it has to keep beating.
pub(crate) async fn with_retries<T, Once>(
    what: &str,
    stall: Duration,
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
            )).help("check the network, then type the same again: it goes on where it was"))),
        }
    };
    retry(Backoff::TRANSFER, attempt, |error| error.is_transient, drop).await
}
