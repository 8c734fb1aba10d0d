//! Retry policy: transient errors and pauses between attempts.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Growing pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Pauses left: one less than attempts.
    left: u32,
    next: Duration,
    factor: u32,
    max_pause: Duration,
    /// Shortens each pause by up to a half, so that requests that failed together are not retried
    /// together.
    jitter: bool,
}

impl Backoff {
    /// CreateTrainingJob: five attempts in eight seconds, as many as the SDK's.
    pub const JOB: Self = Self::new(5, 500, 2, 10_000, false);
    /// Registries: four attempts in four seconds.
    pub const REGISTRY: Self = Self::new(4, 250, 4, 3000, false);
    /// Data: seven attempts, which survive an outage of 20 seconds.
    pub const TRANSFER: Self = Self::new(7, 300, 2, 10_000, true);

    const fn new(tries: u32, first: u64, factor: u32, max_pause: u64, jitter: bool) -> Self {
        Self {
            left: tries - 1,
            next: Duration::from_millis(first),
            factor,
            max_pause: Duration::from_millis(max_pause),
            jitter,
        }
    }

    /// Returns the same pauses for another number of attempts, if it is given.
    pub fn with_attempts(self, attempts: Option<u32>) -> Self {
        Self {
            left: attempts.map_or(self.left, |attempts| attempts.saturating_sub(1)),
            ..self
        }
    }

    /// Returns the pause before the next attempt; none if there is no attempt left.
    fn pause(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.next;
        self.next = (pause * self.factor).min(self.max_pause);
        Some(pause)
    }
}

/// Runs `attempt` until it succeeds, fails for good, or `backoff` is used up. Errors that are
/// followed by another attempt go to `on_retry`.
pub async fn retry<T, E, F>(
    mut backoff: Backoff,
    mut attempt: impl FnMut() -> F,
    is_transient: impl Fn(&E) -> bool,
    on_retry: impl Fn(E),
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        let error = match attempt().await {
            Err(error) if is_transient(&error) => error,
            done => return done,
        };
        let Some(pause) = backoff.pause() else {
            return Err(error);
        };
        on_retry(error);
        let factor = if backoff.jitter {
            0.5 + 0.5 * random_fraction()
        } else {
            1.0
        };
        tokio::time::sleep(pause.mul_f64(factor)).await;
    }
}

/// Returns a number from 0 to 1; not suitable for statistics.
fn random_fraction() -> f64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    f64::from(nanos % 1_000_003) / 1_000_003.0
}

/// True if another attempt may succeed after this HTTP status.
pub fn is_transient_status(status: u16) -> bool {
    status == 429 || status >= 500
}

/// True for throttling and transient errors.
pub fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let refused = match error {
        SdkError::ServiceError(context) => {
            let code = context.err().code().unwrap_or_default();
            is_throttling(code)
                || is_transient_code(code)
                || is_transient_status(status(context.raw()))
        }
        _ => false,
    };
    refused || may_have_succeeded(error)
}

/// True if the request may have been carried out although there was no response.
pub fn may_have_succeeded<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(context) => status(context.raw()) >= 500,
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        // `other` with a kind: the connection was closed after the request.
        SdkError::DispatchFailure(failure) => {
            failure.is_io() || failure.is_timeout() || failure.as_other().is_some()
        }
        _ => false,
    }
}

fn status(response: &HttpResponse) -> u16 {
    response.status().as_u16()
}

/// True for AWS's codes for throttling.
pub fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
    )
}

/// True for S3's other transient codes; `BadDigest` is a byte that changed on the way.
fn is_transient_code(code: &str) -> bool {
    matches!(
        code,
        "BadDigest" | "RequestTimeout" | "TooManyRequests" | "OperationAborted"
    )
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::{Response, StatusCode};
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let all = |mut backoff: Backoff| -> Vec<u128> {
            std::iter::from_fn(|| backoff.pause())
                .map(|pause| pause.as_millis())
                .collect()
        };
        assert_eq!(all(Backoff::REGISTRY), [250, 1000, 3000]);
        assert_eq!(all(Backoff::JOB), [500, 1000, 2000, 4000]);
        assert_eq!(all(Backoff::TRANSFER), [300, 600, 1200, 2400, 4800, 9600]);
        assert_eq!(all(Backoff::TRANSFER.with_attempts(None)).len(), 6);
        assert_eq!(all(Backoff::TRANSFER.with_attempts(Some(1))), []);
        assert_eq!(all(Backoff::JOB.with_attempts(Some(7))).len(), 6);
    }

    #[test]
    fn transient_errors() {
        for (status, code, passing, lost) in [
            (400, "ThrottlingException", true, false),
            (400, "BadDigest", true, false),
            (429, "", true, false),
            (503, "SlowDown", true, true),
            (500, "", true, true),
            (400, "ValidationException", false, false),
            (403, "AccessDenied", false, false),
            (404, "", false, false),
        ] {
            let raw = StatusCode::try_from(status).expect("a status");
            let error = SdkError::service_error(
                ErrorMetadata::builder().code(code).build(),
                Response::new(raw, SdkBody::empty()),
            );
            assert_eq!(is_transient(&error), passing, "{status} {code}");
            assert_eq!(may_have_succeeded(&error), lost, "{status} {code}");
        }
    }
}
