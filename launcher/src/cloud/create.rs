//! Makes the job, once: a retry after a lost answer must not cost a second one.
//!
//! The name is fixed before the first try, and SageMaker takes a name once. A name that is taken is ours only if an
//! answer of ours was lost before, and if what stands there is what we asked for.

use aws_config::retry::RetryConfig;
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;

use super::request::Request;
use crate::aws::{Aws, explain};
use diagnostics::{Error, Result, eprint_line};
use transport::retry::{Backoff, is_transient, may_have_succeeded};

/// Sends the request until an answer comes, and gives the job's ARN.
pub(super) async fn submit(aws: &Aws, request: &Request, name: &str) -> Result<String> {
    // The SDK's own retries would hide that an answer was lost.
    let client = aws.sagemaker();
    let config = client
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled());
    let single = Client::from_conf(config.build());
    let what = format!("cannot make the job `{name}`");
    let mut lost = false;
    let mut backoff = Backoff::JOB;
    loop {
        let error = match request.clone().send_with(&single).await {
            Ok(answer) => return Ok(answer.training_job_arn().unwrap_or_default().to_owned()),
            Err(error) => error,
        };
        if error
            .as_service_error()
            .is_some_and(|e| e.is_resource_in_use())
        {
            return taken(aws, &client, request, name, lost).await;
        }
        lost |= may_have_succeeded(&error);
        let again = is_transient(&error).then(|| backoff.pause()).flatten();
        let Some(pause) = again else {
            let failure = explain(&what, error);
            return if lost {
                unanswered(aws, &client, request, name, failure).await
            } else {
                Err(failure)
            };
        };
        eprint_line(format!(
            "{}; trying again",
            first_line(&explain(&what, error))
        ));
        tokio::time::sleep(pause).await;
    }
}

/// The name exists.
async fn taken(
    aws: &Aws,
    client: &Client,
    request: &Request,
    name: &str,
    lost: bool,
) -> Result<String> {
    if !lost {
        return Err(Error::new(format!(
            "a job `{name}` exists already, and is not this one"
        ))
        .help("nothing was started; type the command again: the name holds the time"));
    }
    let look = aws.next(&format!("status {name}"));
    let found = client
        .describe_training_job()
        .training_job_name(name)
        .send()
        .await;
    let found = found.map_err(|error| {
        explain(
            &format!("cannot find out whether `{name}` is this job"),
            error,
        )
        .help(look.clone())
    })?;
    if is_ours(request, &found) {
        eprint_line(format!(
            "an answer was lost: job `{name}` had been made already"
        ));
        return Ok(found.training_job_arn().unwrap_or_default().to_owned());
    }
    Err(unsure(name, &look))
}

/// An answer was lost, and a job of the name is there that does not look like ours: SageMaker may tell what was asked in
/// other words, and a second job costs as much as the first.
fn unsure(name: &str, look: &str) -> Error {
    Error::new(format!(
        "an answer was lost, and a job of the name `{name}` exists: it may be this one"
    ))
    .help(format!("look at it before you start another: {look}"))
}

/// All tries failed, and one of them may have been heard.
async fn unanswered(
    aws: &Aws,
    client: &Client,
    request: &Request,
    name: &str,
    failure: Error,
) -> Result<String> {
    match client
        .describe_training_job()
        .training_job_name(name)
        .send()
        .await
    {
        Ok(found) if is_ours(request, &found) => {
            eprint_line(format!(
                "an answer was lost: job `{name}` had been made all the same"
            ));
            Ok(found.training_job_arn().unwrap_or_default().to_owned())
        }
        Ok(_) => Err(unsure(name, &aws.next(&format!("status {name}")))),
        Err(_) => Err(failure.help(format!(
            "{} says whether it was made after all",
            aws.next(&format!("status {name}"))
        ))),
    }
}

/// Whether the job is the one that was asked for: what was asked and what is told are of the same types.
fn is_ours(asked: &Request, found: &DescribeTrainingJobOutput) -> bool {
    let algorithm = |spec: &aws_sdk_sagemaker::types::AlgorithmSpecification| {
        (
            spec.training_image.clone(),
            spec.training_input_mode.clone(),
        )
    };
    let empty = std::collections::HashMap::new();
    let hyperparameters = asked.get_hyper_parameters().as_ref().unwrap_or(&empty);
    let environment = asked.get_environment().as_ref().unwrap_or(&empty);
    let channels = asked.get_input_data_config().as_deref().unwrap_or_default();
    asked.get_role_arn().as_deref() == found.role_arn()
        && asked.get_algorithm_specification().as_ref().map(algorithm)
            == found.algorithm_specification().map(algorithm)
        && hyperparameters == found.hyper_parameters().unwrap_or(&empty)
        && environment == found.environment().unwrap_or(&empty)
        && asked
            .get_output_data_config()
            .as_ref()
            .map(|output| place(output.s3_output_path()))
            == found
                .output_data_config()
                .map(|output| place(output.s3_output_path()))
        && machines(asked.get_resource_config().as_ref()) == machines(found.resource_config())
        && sources(channels) == sources(found.input_data_config())
}

type Machines = (Option<String>, Option<i32>);

fn machines(config: Option<&aws_sdk_sagemaker::types::ResourceConfig>) -> Option<Machines> {
    let config = config?;
    let kind = config.instance_type().map(|kind| kind.as_str().to_owned());
    Some((kind, config.instance_count()))
}

fn sources(channels: &[aws_sdk_sagemaker::types::Channel]) -> Vec<(Option<&str>, Option<&str>)> {
    channels
        .iter()
        .map(|channel| {
            let source = channel.data_source().and_then(|data| data.s3_data_source());
            (channel.channel_name(), source.map(|s3| place(s3.s3_uri())))
        })
        .collect()
}

/// With or without a slash at the end, a prefix is the same.
fn place(uri: Option<&str>) -> &str {
    uri.unwrap_or_default().trim_end_matches('/')
}

fn first_line(failure: &Error) -> String {
    let text = failure.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sagemaker::types::{AlgorithmSpecification, OutputDataConfig};

    use super::*;

    fn asked() -> Request {
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
    fn a_doubt_invites_to_no_second_job() {
        let text = unsure("svm-1", "`trainyard status svm-1`").to_string();
        assert!(text.contains("`trainyard status svm-1`"), "{text}");
        assert!(!text.contains("type the command again"), "{text}");
    }

    #[test]
    fn only_the_same_job_is_ours() {
        let found = || {
            DescribeTrainingJobOutput::builder()
                .role_arn("role")
                .hyper_parameters("min_df", "5")
                // SageMaker adds what was not asked for.
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
        assert!(is_ours(&asked(), &found().build()));
        assert!(!is_ours(&asked(), &found().role_arn("other").build()));
        assert!(!is_ours(
            &asked(),
            &found().hyper_parameters("min_df", "6").build()
        ));
        assert!(!is_ours(&asked(), &found().environment("A", "1").build()));
        let with_slash = OutputDataConfig::builder()
            .s3_output_path("s3://b/o/")
            .build();
        assert!(is_ours(
            &asked(),
            &found().output_data_config(with_slash).build()
        ));
        let elsewhere = OutputDataConfig::builder()
            .s3_output_path("s3://b/p")
            .build();
        assert!(!is_ours(
            &asked(),
            &found().output_data_config(elsewhere).build()
        ));
    }
}
