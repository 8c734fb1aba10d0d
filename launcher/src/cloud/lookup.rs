//! Looks up training jobs by name or ARN, and their models.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::config::Region;
use aws_sdk_sagemaker::operation::describe_training_job::{
    DescribeTrainingJobError, DescribeTrainingJobOutput,
};
use aws_sdk_sagemaker::types::{SortBy, SortOrder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use diagnostics::{Error, Result, sanitize};
use jiff::Timestamp;
use sagemaker::limits;
use serde_json::Value;

use super::consistency_window::{ConsistencyWindow, is_not_found};
use super::poll_interval::PollInterval;
use super::state::JobState;
use crate::aws::{Aws, explain};
use crate::job::S3Url;

/// Least Jaro-Winkler similarity of a job name that is suggested.
const SIMILARITY_THRESHOLD: f64 = 0.75;

/// Returns the name of a job given by name, or by an ARN of this region and account.
pub(crate) async fn job_name<'a>(given: &'a str, aws: &Aws) -> Result<&'a str> {
    let name = job_name_offline(given, aws)?;
    if name == given {
        return Ok(name);
    }
    match aws.cross_account(given).await {
        Some((foreign, own)) => Err(Error::usage(format!(
            "the ARN is of account `{foreign}`, the credentials are of account `{own}`"
        ))
        .help(format!(
            "pass `--profile NAME` of account `{foreign}`; `trainyard doctor` shows the account of the credentials"
        ))),
        None => Ok(name),
    }
}

/// Same as [`job_name`] without requests: does not check the account of an ARN.
pub(crate) fn job_name_offline<'a>(given: &'a str, aws: &Aws) -> Result<&'a str> {
    let name = match given.rsplit_once(":training-job/") {
        Some((arn, name)) if arn.starts_with("arn:") => {
            same_region(arn, aws.region())?;
            name
        }
        _ => given,
    };
    limits::check_job_name(name).map_err(|_| {
        Error::usage(format!("`{}` is not a job name", sanitize(given)))
            .help("`trainyard list` shows the jobs")
    })?;
    Ok(name)
}

/// Refuses an ARN of another region: a job of that name in this region is a different one.
fn same_region(arn: &str, own: &str) -> Result<()> {
    match arn.split(':').nth(3) {
        Some(region) if region != own => {
            let region = sanitize(region);
            Err(Error::usage(format!(
                "the ARN is of region `{region}`, this command uses `{own}`"
            ))
            .help(format!("pass `--region {region}`")))
        }
        _ => Ok(()),
    }
}

/// Requests the state of a job. For an unknown name the error suggests similar ones, unless the
/// name is new: then the request is repeated.
pub(crate) async fn job_state(
    client: &Client,
    name: &str,
    interval: &PollInterval,
) -> Result<JobState> {
    let consistency_window = ConsistencyWindow::of_name(name, interval);
    match consistency_window
        .retry(|| send_describe(client, name))
        .await
    {
        Ok(job) => Ok(JobState::new(&job, Timestamp::now())),
        Err(error) => Err(describe_error(client, name, error).await),
    }
}

/// Returns the URL of the model archive. A failed job may have one too.
pub(crate) async fn model(aws: &Aws, job: &str, interval: &PollInterval) -> Result<S3Url> {
    let name = job_name(job, aws).await?;
    let state = job_state(&aws.sagemaker(), name, interval).await?;
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

/// Sends DescribeTrainingJob.
pub(super) async fn send_describe(
    client: &Client,
    name: &str,
) -> Result<DescribeTrainingJobOutput, SdkError<DescribeTrainingJobError, HttpResponse>> {
    client
        .describe_training_job()
        .training_job_name(name)
        .send()
        .await
}

/// Returns the response also as JSON, including fields unknown to the SDK.
pub(crate) async fn describe_raw(
    aws: &Aws,
    name: &str,
    interval: &PollInterval,
) -> Result<(DescribeTrainingJobOutput, Value)> {
    let client = aws.sagemaker();
    let body = ResponseBody::default();
    let send = || {
        let describe = client.describe_training_job().training_job_name(name);
        describe.customize().interceptor(body.clone()).send()
    };
    match ConsistencyWindow::of_name(name, interval).retry(send).await {
        Ok(job) => Ok((job, body.json()?)),
        Err(error) => Err(describe_error(&client, name, error).await),
    }
}

/// Turns a DescribeTrainingJob error into an error with suggestions.
pub(super) async fn describe_error(
    client: &Client,
    name: &str,
    error: SdkError<DescribeTrainingJobError, HttpResponse>,
) -> Error {
    if !error.as_service_error().is_some_and(is_not_found) {
        return explain(&format!("cannot describe the job `{name}`"), error);
    }
    let region = client.config().region().map_or("", Region::as_ref);
    let error = Error::new(format!(
        "there is no training job `{name}` in region `{region}`"
    ));
    let near = similar_names(client, name).await;
    let error = if near.is_empty() {
        error
    } else {
        error.help(format!("did you mean {}?", near.join(" or ")))
    };
    error.help(
        "`trainyard list` shows the jobs of this region; or pass another `--region` or `--profile`",
    )
}

/// Returns similar names among the last hundred jobs, or none without permission to list.
async fn similar_names(client: &Client, name: &str) -> Vec<String> {
    let response = client
        .list_training_jobs()
        .sort_by(SortBy::CreationTime)
        .sort_order(SortOrder::Descending)
        .max_results(100)
        .send()
        .await;
    let Ok(response) = response else {
        return Vec::new();
    };
    let jobs = response.training_job_summaries.unwrap_or_default();
    let mut near: Vec<(f64, String)> = jobs
        .into_iter()
        .filter_map(|job| job.training_job_name)
        .map(|other| (strsim::jaro_winkler(name, &other), other))
        .filter(|(similarity, _)| *similarity > SIMILARITY_THRESHOLD)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter()
        .take(3)
        .map(|(_, other)| format!("`{other}`"))
        .collect()
}

/// Interceptor that keeps the response body.
#[derive(Debug, Clone, Default)]
struct ResponseBody(Arc<Mutex<Vec<u8>>>);

impl ResponseBody {
    fn json(&self) -> Result<Value> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(format!("cannot read the response of SageMaker: {error}")).help(
                "check `--endpoint-url` and AWS_ENDPOINT_URL: the server may not be SageMaker",
            )
        })
    }
}

#[dyn_dispatch_hint]
impl Intercept for ResponseBody {
    fn name(&self) -> &'static str {
        "ResponseBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn recognizes_unknown_job_of_sagemaker_and_moto() {
        let unknown = |code: &str, message: &str| {
            let metadata = ErrorMetadata::builder().code(code).message(message);
            is_not_found(&DescribeTrainingJobError::generic(metadata.build()))
        };
        let arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/x";
        let moto = format!("Could not find training job '{arn}'.");
        assert!(unknown(
            "ValidationException",
            "Requested resource not found."
        ));
        assert!(unknown("ValidationException", &moto));
        assert!(!unknown(
            "ValidationException",
            "1 validation error detected"
        ));
        assert!(!unknown("AccessDeniedException", &moto));
    }
}
