//! Submits a training job. Submission is idempotent: a retry after a lost response creates no
//! second job.
//!
//! The name is chosen before the first attempt, and names are unique in SageMaker. A name in use is
//! taken for this job only after a lost response, and if the existing job has the same settings.

use std::cell::Cell;

use aws_config::retry::RetryConfig;
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;

use super::consistency_window::ConsistencyWindow;
use super::lookup::send_describe;
use super::poll_interval::PollInterval;
use super::request::Request;
use crate::aws::{Aws, explain};
use diagnostics::{Error, Result, eprint_line};
use transport::retry::{Backoff, is_transient, may_have_succeeded, retry};

/// Sends the request, retries transient errors, and returns the ARN of the job.
pub(super) async fn submit(
    aws: &Aws,
    request: &Request,
    name: &str,
    interval: PollInterval,
) -> Result<String> {
    // Retries inside the SDK would hide a lost response.
    let client = aws.sagemaker();
    let config = client
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled());
    let single = Client::from_conf(config.build());
    let what = format!("cannot create the job `{name}`");
    let lost = Cell::new(false);
    let sent = retry(
        Backoff::JOB.with_attempts(aws.attempts()),
        || async {
            let sent = request.clone().send_with(&single).await;
            if sent.as_ref().is_err_and(may_have_succeeded) {
                lost.set(true);
            }
            sent
        },
        is_transient,
        |error| {
            let (message, _) = explain(&what, error).into_parts();
            eprint_line(format!("{message}; trying again"));
        },
    );
    let error = match sent.await {
        Ok(response) => return Ok(response.training_job_arn().unwrap_or_default().to_owned()),
        Err(error) => error,
    };
    let in_use = error
        .as_service_error()
        .is_some_and(|e| e.is_resource_in_use());
    let error = match in_use {
        true => Error::new(format!("another job `{name}` exists already"))
            .help("nothing was started; run the command again: the name contains the time"),
        false => explain(&what, error),
    };
    match lost.get() {
        true => {
            let consistency_window = ConsistencyWindow::new(&interval);
            resolve_lost_response(aws, request, name, consistency_window, in_use, error).await
        }
        false => Err(error),
    }
}

/// Error for a lost response and an existing job with other settings. It may still be this job:
/// SageMaker may normalize settings. So the help does not suggest to submit again.
fn ambiguous(name: &str, status: &str) -> Error {
    Error::new(format!(
        "a response was lost, and a job `{name}` exists: it may be this one"
    ))
    .help(format!("check it before you start another one: {status}"))
}

/// Handles failed attempts of which one may have reached SageMaker: it may have created the job.
async fn resolve_lost_response(
    aws: &Aws,
    request: &Request,
    name: &str,
    consistency_window: ConsistencyWindow,
    in_use: bool,
    error: Error,
) -> Result<String> {
    let status = aws.suggest(&format!("status {name}"));
    let client = aws.sagemaker();
    match consistency_window
        .retry(|| send_describe(&client, name))
        .await
    {
        Ok(found) if matches_request(request, &found) => {
            let created = if in_use {
                "had been created already"
            } else {
                "was created"
            };
            eprint_line(format!("a response was lost: job `{name}` {created}"));
            Ok(found.training_job_arn().unwrap_or_default().to_owned())
        }
        Ok(_) => Err(ambiguous(name, &status)),
        Err(error) if in_use => {
            let what = format!("cannot check if the existing `{name}` is this job");
            Err(explain(&what, error).help(status))
        }
        Err(_) => Err(error.help(format!("{status} shows if it was created"))),
    }
}

/// True if an existing job has the settings of the request.
fn matches_request(request: &Request, found: &DescribeTrainingJobOutput) -> bool {
    let algorithm = |spec: &aws_sdk_sagemaker::types::AlgorithmSpecification| {
        (
            spec.training_image.clone(),
            spec.training_input_mode.clone(),
        )
    };
    let instances = |config: &aws_sdk_sagemaker::types::ResourceConfig| {
        (config.instance_type.clone(), config.instance_count)
    };
    let empty = std::collections::HashMap::new();
    let hyperparameters = request.get_hyper_parameters().as_ref().unwrap_or(&empty);
    let environment = request.get_environment().as_ref().unwrap_or(&empty);
    let channels = request
        .get_input_data_config()
        .as_deref()
        .unwrap_or_default();
    request.get_role_arn().as_deref() == found.role_arn()
        && request
            .get_algorithm_specification()
            .as_ref()
            .map(algorithm)
            == found.algorithm_specification().map(algorithm)
        && hyperparameters == found.hyper_parameters().unwrap_or(&empty)
        && environment == found.environment().unwrap_or(&empty)
        && request
            .get_output_data_config()
            .as_ref()
            .map(|output| without_slash(output.s3_output_path()))
            == found
                .output_data_config()
                .map(|output| without_slash(output.s3_output_path()))
        && request.get_resource_config().as_ref().map(instances)
            == found.resource_config().map(instances)
        && sources(channels) == sources(found.input_data_config())
}

fn sources(channels: &[aws_sdk_sagemaker::types::Channel]) -> Vec<(Option<&str>, Option<&str>)> {
    channels
        .iter()
        .map(|channel| {
            let source = channel.data_source().and_then(|data| data.s3_data_source());
            (
                channel.channel_name(),
                source.map(|s3| without_slash(s3.s3_uri())),
            )
        })
        .collect()
}

/// Returns a prefix without its trailing slash, for comparisons.
fn without_slash(uri: Option<&str>) -> &str {
    uri.unwrap_or_default().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use aws_sdk_sagemaker::types::{AlgorithmSpecification, OutputDataConfig};

    use super::*;

    fn request() -> Request {
        Request::default()
            .role_arn("role")
            .hyper_parameters("min_df", "5")
            .algorithm_specification(
                AlgorithmSpecification::builder()
                    .training_image("image")
                    .build(),
            )
            .output_data_config(
                OutputDataConfig::builder()
                    .s3_output_path("s3://b/o")
                    .build(),
            )
    }

    #[test]
    fn ambiguous_state_does_not_suggest_a_second_job() {
        let text = ambiguous("svm-1", "`trainyard status svm-1`").to_string();
        assert!(text.contains("`trainyard status svm-1`"), "{text}");
        assert!(!text.contains("run the command again"), "{text}");
    }

    #[test]
    fn matches_only_a_job_with_the_same_settings() {
        let found = || {
            DescribeTrainingJobOutput::builder()
                .role_arn("role")
                .hyper_parameters("min_df", "5")
                // SageMaker adds fields that are not in the request.
                .billable_time_in_seconds(0)
                .algorithm_specification(
                    AlgorithmSpecification::builder()
                        .training_image("image")
                        .build(),
                )
                .output_data_config(
                    OutputDataConfig::builder()
                        .s3_output_path("s3://b/o")
                        .build(),
                )
        };
        assert!(matches_request(&request(), &found().build()));
        assert!(!matches_request(
            &request(),
            &found().role_arn("other").build()
        ));
        assert!(!matches_request(
            &request(),
            &found().hyper_parameters("min_df", "6").build()
        ));
        assert!(!matches_request(
            &request(),
            &found().environment("A", "1").build()
        ));
        let with_slash = OutputDataConfig::builder()
            .s3_output_path("s3://b/o/")
            .build();
        assert!(matches_request(
            &request(),
            &found().output_data_config(with_slash).build()
        ));
        let elsewhere = OutputDataConfig::builder()
            .s3_output_path("s3://b/p")
            .build();
        assert!(!matches_request(
            &request(),
            &found().output_data_config(elsewhere).build()
        ));
    }
}
