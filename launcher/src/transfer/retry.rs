//! Trying again, request by request, and when a request counts as dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::aws::explain;
use crate::retry::{Backoff, is_transient};
use diagnostics::{Error, Result};

/// Why one try failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) failure: Error,
    /// Whether another try may succeed.
    again: bool,
    /// AWS's code, empty if the failure has none.
    pub(super) code: String,
    /// 0 without an answer.
    pub(super) status: u16,
}

impl Trouble {
    /// No further try helps.
    pub(super) fn last(failure: Error) -> Self {
        Self::ours(failure, false)
    }

    /// The next try may succeed.
    pub(super) fn passing(failure: Error) -> Self {
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

    /// What the SDK says of a request.
    pub(super) fn of<E>(what: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default().to_owned();
        let status = error
            .raw_response()
            .map_or(0, |answer| answer.status().as_u16());
        let again = is_transient(&error);
        Self {
            failure: explain(&format!("cannot {what}"), error),
            again,
            code,
            status,
        }
    }
}

/// When a byte moved last.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<(Instant, AtomicU64)>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// A byte moved.
    pub(super) fn beat(&self) {
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
pub(super) async fn tries<T, Once>(
    what: &str,
    stall: Duration,
    once: impl Fn(Pulse) -> Once,
) -> Result<T, Trouble>
where
    Once: Future<Output = Result<T, Trouble>>,
{
    let mut backoff = Backoff::TRANSFER;
    loop {
        let pulse = Pulse::new();
        let trouble = tokio::select! {
            done = once(pulse.clone()) => match done {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            },
            () = pulse.stops(stall) => Trouble::passing(Error::new(format!(
                "cannot {what}: no byte moved for {} s", stall.as_secs_f32()
            )).help("check the network, then type the same again: it goes on where it was")),
        };
        let pause = trouble.again.then(|| backoff.pause()).flatten();
        let Some(pause) = pause else {
            return Err(trouble);
        };
        // Many requests fail at once when a server is overloaded: they must not come back at once too.
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * jitter())).await;
    }
}

/// From 0 to 1, of no statistical quality.
fn jitter() -> f64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    f64::from(nanos % 1_000_003) / 1_000_003.0
}
