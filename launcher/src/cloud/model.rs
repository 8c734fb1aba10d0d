//! Location of the model of a job.

use super::lookup::{job_name, job_state};
use crate::aws::Aws;
use crate::job::S3Url;
use diagnostics::{Error, Result};

/// Returns the URL of the model archive. A failed job may have one too.
pub(crate) async fn model(aws: &Aws, job: &str) -> Result<S3Url> {
    let name = job_name(job, aws).await?;
    let state = job_state(&aws.sagemaker(), name).await?;
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
