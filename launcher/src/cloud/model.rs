//! Location of the model of a job.

use jiff::Timestamp;

use super::lookup::{describe, job_name};
use super::state::JobState;
use crate::aws::Aws;
use crate::job::S3Url;
use diagnostics::{Error, Result};

/// Returns the URL of the model archive. A failed job may have one too.
pub(crate) async fn model(aws: &Aws, job: &str) -> Result<S3Url> {
    let name = job_name(job, aws).await?;
    let state = JobState::new(&describe(aws, name).await?, Timestamp::now());
    if let Some(url) = &state.model {
        return S3Url::parse(url);
    }
    let now = state.both_states();
    if state.is_over() {
        return Err(
            Error::new(format!("job `{name}` has no model: {now}")).help(format!(
                "{} shows how it ended",
                aws.suggest(&format!("describe {name}"))
            )),
        );
    }
    Err(
        Error::new(format!("job `{name}` has no model yet: {now}")).help(format!(
            "{} waits until it ends",
            aws.suggest(&format!("logs {name}"))
        )),
    )
}
