//! A job that was just created: for up to a minute, AWS may not show it to each request, and the
//! caller's permissions may not be in effect.

use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use diagnostics::eprint_line;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::poll_interval::PollInterval;

/// Period in which AWS may not be consistent about a new job, so that errors are retried.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConsistencyWindow {
    /// End of the period; none for an old job.
    until: Option<Instant>,
    pause: Duration,
}

impl ConsistencyWindow {
    /// For a job that was created now.
    pub(super) fn new(interval: &PollInterval) -> Self {
        Self {
            until: Some(Instant::now() + interval.consistency_window()),
            pause: interval.after_error(),
        }
    }

    /// For a job whose creation time is known from its name only.
    pub(super) fn of_name(name: &str, interval: &PollInterval) -> Self {
        let age = creation_time(name).map(|then| Timestamp::now().duration_since(then));
        let age = age.and_then(|age| Duration::try_from(age).ok());
        let left = age.and_then(|age| interval.consistency_window().checked_sub(age));
        Self {
            until: left.map(|left| Instant::now() + left),
            pause: interval.after_error(),
        }
    }

    /// True if the error may pass.
    pub(super) fn tolerates<E>(&self, error: &SdkError<E, HttpResponse>) -> bool
    where
        E: ProvideErrorMetadata,
    {
        self.until.is_some_and(|until| Instant::now() < until)
            && (is_not_found(error)
                || error
                    .code()
                    .is_some_and(|code| code.starts_with("AccessDenied")))
    }

    /// Sends a request until it succeeds or fails for good.
    pub(super) async fn retry<T, E, F>(
        &self,
        mut send: impl FnMut() -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata,
    {
        let mut first = true;
        loop {
            match send().await {
                Err(error) if self.tolerates(&error) => {
                    if std::mem::take(&mut first) {
                        let code = error.code().unwrap_or_default();
                        eprint_line(format!(
                            "the job is new ({code}): trying again for a minute"
                        ));
                    }
                    tokio::time::sleep(self.pause).await;
                }
                done => return done,
            }
        }
    }
}

/// Sends a request about a job; if the job is new, until errors that may pass have passed.
pub(crate) async fn retry_new<T, E, F>(
    name: &str,
    interval: &PollInterval,
    send: impl FnMut() -> F,
) -> Result<T, SdkError<E, HttpResponse>>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata,
{
    ConsistencyWindow::of_name(name, interval).retry(send).await
}

/// True for SageMaker's and CloudWatch's errors about a job or log that does not exist.
pub(super) fn is_not_found<E: ProvideErrorMetadata>(error: &E) -> bool {
    match error.code() {
        Some("ResourceNotFound" | "ResourceNotFoundException") => true,
        Some("ValidationException") => error.message().is_some_and(|text| {
            // Texts of SageMaker and of moto.
            let text = text.to_lowercase();
            text.contains("not found") || text.contains("could not find")
        }),
        _ => false,
    }
}

/// Returns the time in the names of this program and of the SageMaker SDK, in UTC:
/// `svm-2026-11-23-03-45-12-123-001f`, `svm-2026-11-23-03-45-12-123`.
fn creation_time(name: &str) -> Option<Timestamp> {
    let parts: Vec<&str> = name.rsplitn(9, '-').collect();
    [2, 1].into_iter().find_map(|skipped| {
        let time: Vec<&str> = parts
            .get(skipped..skipped + 6)?
            .iter()
            .rev()
            .copied()
            .collect();
        let time = DateTime::strptime("%Y-%m-%d-%H-%M-%S", time.join("-")).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_names() {
        let time = "2026-11-23T03:45:12Z".parse().ok();
        for name in [
            "svm-2026-11-23-03-45-12-123-001f",
            "a-b-2026-11-23-03-45-12-123",
        ] {
            assert_eq!(creation_time(name), time, "{name}");
        }
        for name in [
            "svm",
            "svm-1",
            "a-b-c-d-e-f-g-h-i",
            "x-2026-13-23-03-45-12-123",
        ] {
            assert_eq!(creation_time(name), None, "{name}");
        }
    }
}
