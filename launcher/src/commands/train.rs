//! `trainyard train`: one description of a job for SageMaker, the local Docker engine and a local process.

mod job_from_args;
mod trainer_help;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::context::Context;
use crate::job::InputMode;
use crate::job::check::{self, Check};
use crate::{cloud, local};
use diagnostics::{Exit, Result};

/// The data of the job, and where its model goes.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, override_usage = USAGE)]
pub(crate) struct TrainArgs {
    /// Trainer, such as `svm`
    trainer: String,
    /// Training data, the channel `train`: s3://bucket/key, file://path or a path
    #[arg(long, value_name = "LOCATION")]
    data: Option<String>,
    /// Another channel, such as validation=s3://bucket/key; may be given several times
    #[arg(long, value_name = "NAME=LOCATION")]
    channel: Vec<String>,
    /// Where the job writes JOB/output/model.tar.gz: s3://bucket/prefix, file://path or a path
    #[arg(long, value_name = "LOCATION", required_unless_present = "flags")]
    output: Option<String>,
    /// SageMaker's, such as ml.m5.large, or local, local_gpu, local-process
    #[arg(long, value_name = "TYPE", required_unless_present = "flags")]
    instance_type: Option<String>,
    /// Machines
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    instance_count: u32,
    /// Image [default: the trainer's, as `push` or `build --load` named it]
    #[arg(long, value_name = "URI")]
    image: Option<String>,
    /// The job's name is PREFIX and the time [default: the trainer's name]
    #[arg(long, value_name = "PREFIX")]
    job_name_prefix: Option<String>,
    /// Hyperparameters as a JSON object; those after `--` win
    #[arg(long, value_name = "FILE")]
    hyperparameters: Option<PathBuf>,
    /// Environment variable of the container; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// Folder of checkpoints, restored at the start: s3://bucket/prefix, or a path for local jobs
    #[arg(long, value_name = "LOCATION")]
    checkpoints: Option<String>,
    /// Stop the job after this time, such as 90m, 2h or 3600
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    max_run: Duration,
    /// The trainer's binary for this machine, for the check and for local-process [default: built, in the repository; elsewhere the one beside trainyard or on the PATH]
    #[arg(long, value_name = "FILE")]
    trainer_binary: Option<PathBuf>,
    /// Show what would be sent and started, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Local jobs: send SIGTERM after this time and start again, as a spot interruption does
    #[arg(long, value_name = "TIME", value_parser = duration)]
    simulate_interruption: Option<Duration>,
    #[command(flatten)]
    cloud: CloudArgs,
    /// Hyperparameters, after `--`, as the trainer's flags: -- --min-df 5 --tune; `-- --help` lists them
    #[arg(last = true, value_name = "HYPERPARAMETERS")]
    flags: Vec<String>,
}

/// By hand: only `-- --help` goes without output and instance type.
const USAGE: &str = "\
trainyard train [OPTIONS] --output <LOCATION> --instance-type <TYPE> <TRAINER> [-- <HYPERPARAMETERS>...]
       trainyard train <TRAINER> -- --help";

const AFTER_HELP: &str = "\
Examples:
  trainyard train svm --data file://data --output file://out --instance-type local-process -- --min-df 5
  trainyard train svm --data s3://bucket/train --output s3://bucket/models --instance-type ml.m5.large";

/// What only SageMaker does.
#[derive(Debug, Args)]
#[command(next_help_heading = "SageMaker")]
struct CloudArgs {
    /// Execution role, name or ARN [also: AWS_SAGEMAKER_ROLE]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Use spot instances; with --checkpoints an interrupted job goes on where it was
    #[arg(long)]
    spot: bool,
    /// With --spot: longest time in all, waiting included [default: --max-run and an hour]
    #[arg(long, value_name = "TIME", requires = "spot", value_parser = duration)]
    max_wait: Option<Duration>,
    /// Volume of each machine, in GB [default: 30]
    #[arg(long, value_name = "GB", value_parser = clap::value_parser!(u32).range(1..=16384))]
    volume_size: Option<u32>,
    /// Keep the machines for the next job, at most 6h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_alive: Option<Duration>,
    /// VPC subnet; may be given several times
    #[arg(long, value_name = "ID", requires = "security_group")]
    subnet: Vec<String>,
    /// VPC security group; may be given several times
    #[arg(long, value_name = "ID", requires = "subnet")]
    security_group: Vec<String>,
    /// KMS key of the volume
    #[arg(long, value_name = "KEY")]
    volume_kms_key: Option<String>,
    /// KMS key of the model in S3
    #[arg(long, value_name = "KEY")]
    output_kms_key: Option<String>,
    /// Tag of the job; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// No network inside the container
    #[arg(long)]
    network_isolation: bool,
    /// Encrypt what the machines send each other
    #[arg(long)]
    encrypt_traffic: bool,
    /// How the data comes into the container [default: File]
    #[arg(long, value_name = "MODE", value_enum)]
    input_mode: Option<InputMode>,
    /// Do not let the trainer's `check` look at data on this machine before they are uploaded
    #[arg(long)]
    no_data_check: bool,
    /// Submit and do not wait
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: TrainArgs, context: &Context) -> Result<Exit> {
    if trainer_help::is_wanted(&args.flags) {
        return trainer_help::show(&args, context).await;
    }
    let job = job_from_args::job(&args, context, Timestamp::now(), job_from_args::random())?;
    let how = Check {
        binary: args.trainer_binary.as_deref(),
        file: args.hyperparameters.as_deref(),
        flags: !args.flags.is_empty(),
        dry_run: args.dry_run,
        // A local job reads them at once, and costs nothing.
        data: job.instance.is_cloud() && !args.cloud.no_data_check,
    };
    let binary = check::check(&job, how).await?;
    if job.instance.is_cloud() {
        return cloud::train(&job, args.cloud.no_wait, args.dry_run, context).await;
    }
    let interruption = args.simulate_interruption;
    local::train(&job, binary.as_deref(), interruption, args.dry_run, context).await
}

/// `90`, `90s`, `15m`, `2h`, `1d`: whole seconds, at least one.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected seconds, or a number with s, m, h or d, such as `90m`";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected.to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| expected.to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected at least a second and at most a year".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7200),
            ("1d", 86_400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "h",
            "1w",
            "1.5h",
            "-3",
            "99999999999999999999",
            "9999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
