//! `trainyard doctor`

use clap::Args;

use crate::aws::iam::ROLE;
use crate::context::Context;
use crate::doctor::{AwsSetup, DoctorOptions, DoctorReport, run_checks};
use crate::job::S3Url;
use crate::trainer;
use diagnostics::{Exit, Result};

/// Check credentials, role, bucket, repository, Docker and toolchain
///
/// Checks everything that a first job needs, and suggests a fix for each problem. Changes nothing.
/// Exits with 0 if there is no problem, else with 1. Warnings concern only some commands.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Trainer to check, such as `svm`
    ///
    /// Checks its ECR repository and its binary.
    trainer: Option<String>,
    /// Name or ARN of the execution role [env: AWS_SAGEMAKER_ROLE]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Bucket of data and models
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    bucket: Option<String>,
    /// Output prefix of jobs: s3://bucket/prefix
    #[arg(long, value_name = "LOCATION")]
    output: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  trainyard doctor
  trainyard doctor svm --role trainyard-execution --bucket my-bucket --region eu-west-1";

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit> {
    let output = match (&args.bucket, &args.output) {
        (Some(bucket), _) => Some(S3Url::parse(&format!("s3://{bucket}"))?),
        (None, Some(output)) => Some(S3Url::parse(output)?),
        (None, None) => None,
    };
    let from_environment = || context.env.get(ROLE)?.to_str().map(str::to_owned);
    let options = DoctorOptions {
        trainer: args.trainer,
        workspace: trainer::workspace_folder(),
        role: args.role.clone().or_else(from_environment),
        output,
    };
    let report = run_checks(&options, AwsSetup::find(&context.aws_args)).await;
    context.format.print(&report, DoctorReport::text)?;
    Ok(if report.ok { Exit::Ok } else { Exit::Failed })
}
