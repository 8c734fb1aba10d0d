//! Trying again, request by request, and when a request counts as dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diagnostics::{Error, Result};
use transport::retry::{Backoff, retry};

/// Why one try failed.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Error,
    /// Whether another try may succeed.
    pub(crate) again: bool,
    /// AWS's code, empty if the failure has none.
    pub(crate) code: String,
    /// 0 without an answer.
    pub(crate) status: u16,
}

impl Trouble {
    /// No further try helps.
    pub(crate) fn last(failure: Error) -> Self {
        Self::ours(failure, false)
    }

    /// The next try may succeed.
    pub(crate) fn passing(failure: Error) -> Self {
        Self::ours(failure, true)
    }

    fn ours(failure: Error, again: bool) -> Self {
        Self {
            failure,
            again,
            code: String::new(),
            status: 0,
        }
    }
}

/// When a byte moved last.
#[derive(Debug, Clone)]
pub(crate) struct Pulse(Arc<(Instant, AtomicU64)>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// A byte moved.
    pub(crate) fn beat(&self) {
        let (start, last) = &*self.0;
        let now = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        last.store(now, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let (start, last) = &*self.0;
        start
            .elapsed()
            .saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)))
    }

    /// Returns when nothing moved for `limit`.
    async fn stops(&self, limit: Duration) {
        loop {
            let silence = self.silence();
            if silence >= limit {
                return;
            }
            tokio::time::sleep(limit - silence).await;
        }
    }
}

/// Tries until it works, fails for good, or was tried often enough. Each try gets a pulse that it has to keep beating.
pub(crate) async fn tries<T, Once>(
    what: &str,
    stall: Duration,
    once: impl Fn(Pulse) -> Once,
) -> Result<T, Trouble>
where
    Once: Future<Output = Result<T, Trouble>>,
{
    let once = &once;
    let attempt = || async move {
        let pulse = Pulse::new();
        tokio::select! {
            done = once(pulse.clone()) => done,
            () = pulse.stops(stall) => Err(Trouble::passing(Error::new(format!(
                "cannot {what}: no byte moved for {} s", stall.as_secs_f32()
            )).help("check the network, then type the same again: it goes on where it was"))),
        }
    };
    retry(Backoff::TRANSFER, attempt, |trouble| trouble.again, drop).await
}
