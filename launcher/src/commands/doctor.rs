//! `trainyard doctor`

use clap::Args;

use crate::aws::iam::ROLE;
use crate::context::Context;
use crate::doctor::{AwsSetup, DoctorOptions, Report, examine};
use crate::job::S3Url;
use crate::trainer;
use diagnostics::{Exit, Result};

/// What a first job would need. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// Trainer, such as `svm`: its repository and its binary
    trainer: Option<String>,
    /// Execution role, name or ARN [also: AWS_SAGEMAKER_ROLE]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Bucket of the data and models
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    bucket: Option<String>,
    /// Or where jobs write to: s3://bucket/prefix
    #[arg(long, value_name = "LOCATION")]
    output: Option<String>,
}

const AFTER_HELP: &str = "\
Ends with 0 if nothing is a problem, else with 1. A warning is no problem: something that not every command needs.

Examples:
  trainyard doctor
  trainyard doctor svm --role trainyard-execution --bucket my-bucket --region eu-west-1";

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit> {
    let output = match (&args.bucket, &args.output) {
        (Some(bucket), _) => Some(S3Url::parse(&format!("s3://{bucket}"))?),
        (None, Some(output)) => Some(S3Url::parse(output)?),
        (None, None) => None,
    };
    let of_environment = || context.env.get(ROLE)?.to_str().map(str::to_owned);
    let wanted = DoctorOptions {
        trainer: args.trainer,
        workspace: trainer::workspace_folder(),
        role: args.role.clone().or_else(of_environment),
        output,
    };
    let report = examine(&wanted, AwsSetup::find(&context.aws_args)).await;
    context.format.answer(&report, Report::text)?;
    Ok(if report.ok { Exit::Ok } else { Exit::Failed })
}
