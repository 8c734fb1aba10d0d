//! `trainyard train`: the same job on SageMaker, in the local Docker engine or as a local process.

mod job_from_args;
mod trainer_help;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::context::Context;
use crate::job::InputMode;
use crate::job::check::{self, Check};
use crate::util::whole_number;
use crate::{cloud, local};
use diagnostics::{Exit, Result};

/// Train a model on SageMaker, in the local Docker engine, or as a local process
///
/// Hyperparameters follow after `--` as options of the trainer; `trainyard train TRAINER -- --help`
/// lists them. With `--dry-run` the exact request is shown and nothing is sent.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct TrainArgs {
    /// Trainer, such as `svm`
    trainer: String,
    /// Training data: s3://bucket/key, file://path or a path
    ///
    /// Becomes the channel `train`.
    #[arg(help_heading = "Data", long, value_name = "LOCATION")]
    data: Option<String>,
    /// Additional channel, such as validation=s3://bucket/key
    ///
    /// May be given several times.
    #[arg(help_heading = "Data", long, value_name = "NAME=LOCATION")]
    channel: Vec<String>,
    /// Output location: s3://bucket/prefix, file://path or a path
    ///
    /// The job writes JOB/output/model.tar.gz below it.
    #[arg(
        help_heading = "Data",
        long,
        value_name = "LOCATION",
        required_unless_present = "flags"
    )]
    output: Option<String>,
    /// Instance type: ml.m5.large and others, local, local_gpu, local-process
    ///
    /// `local` and `local_gpu` use the local Docker engine, `local-process` needs no Docker.
    #[arg(
        help_heading = "Instances",
        long,
        value_name = "TYPE",
        required_unless_present = "flags"
    )]
    instance_type: Option<String>,
    /// Number of instances
    #[arg(help_heading = "Instances", long, value_name = "N", default_value_t = 1, value_parser = whole_number(1..=u32::MAX))]
    instance_count: u32,
    /// Image [default: image of the trainer from `push` or `build --load`]
    #[arg(long, value_name = "URI")]
    image: Option<String>,
    /// Prefix of the job name; the time follows [default: trainer]
    #[arg(long, value_name = "PREFIX")]
    job_name_prefix: Option<String>,
    /// JSON file of hyperparameters; those after `--` take precedence
    #[arg(long, value_name = "FILE")]
    hyperparameters: Option<PathBuf>,
    /// Environment variable of the trainer; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// Location of checkpoints: s3://bucket/prefix, or a path for local jobs
    ///
    /// Checkpoints are saved there and restored at the start.
    #[arg(help_heading = "Data", long, value_name = "LOCATION")]
    checkpoints: Option<String>,
    /// Stop the job after this time, such as 90m, 2h or 3600
    #[arg(help_heading = "Instances", long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    max_run: Duration,
    /// Binary of the trainer, for checks and for local-process
    ///
    /// The default is built in the repository; elsewhere it is the one next to trainyard or on the
    /// PATH.
    #[arg(long, value_name = "FILE")]
    trainer_binary: Option<PathBuf>,
    /// Show the steps and requests, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Local jobs: simulate a spot interruption after this time
    ///
    /// Sends SIGTERM and restarts the job.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    simulate_interruption: Option<Duration>,
    // Before `cloud`, whose help heading would apply to it.
    /// Hyperparameters as options of the trainer: -- --min-df 5 --tune
    ///
    /// `-- --help` lists them.
    #[arg(last = true, value_name = "HYPERPARAMETERS")]
    flags: Vec<String>,
    #[command(flatten)]
    cloud: CloudArgs,
}

/// Written by hand: only `-- --help` needs no output and instance type.
const USAGE: &str = "\
trainyard train [OPTIONS] --output <LOCATION> --instance-type <TYPE> <TRAINER> [-- <HYPERPARAMETERS>...]
       trainyard train <TRAINER> -- --help";

const EXAMPLES: &str = "\
Examples:
  trainyard train svm --data file://data --output file://out --instance-type local-process \\
    -- --min-df 5
  trainyard train svm --data s3://bucket/train --output s3://bucket/models \\
    --instance-type ml.m5.large";

/// Options for jobs on SageMaker.
#[derive(Debug, Args)]
#[command(next_help_heading = "SageMaker")]
struct CloudArgs {
    /// Name or ARN of the execution role [env: AWS_SAGEMAKER_ROLE]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Use spot instances
    ///
    /// With `--checkpoints` an interrupted job resumes from its last checkpoint.
    #[arg(long)]
    spot: bool,
    /// With --spot: maximum time including the wait for capacity [default: --max-run + 1h]
    #[arg(long, value_name = "TIME", requires = "spot", value_parser = duration)]
    max_wait: Option<Duration>,
    /// Volume size of each instance in GB [default: 30]
    #[arg(long, value_name = "GB", value_parser = whole_number(1..=16384))]
    volume_size: Option<u32>,
    /// Keep the instances for the next job (warm pool), at most 6h
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
    /// Run the container without network access
    #[arg(long)]
    network_isolation: bool,
    /// Encrypt traffic between instances
    #[arg(long)]
    encrypt_traffic: bool,
    /// Input mode of the data [default: File]
    #[arg(long, value_name = "MODE", value_enum)]
    input_mode: Option<InputMode>,
    /// Do not check local data before the upload
    #[arg(long)]
    no_data_check: bool,
    /// Submit the job and do not wait for its end
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
        // A local job reads the data at once.
        data: job.instance.is_cloud() && !args.cloud.no_data_check,
    };
    let binary = check::check(&job, how).await?;
    if job.instance.is_cloud() {
        return cloud::train(&job, args.cloud.no_wait, args.dry_run, context).await;
    }
    let interruption = args.simulate_interruption;
    local::train(&job, binary.as_deref(), interruption, args.dry_run, context).await
}

/// Parses `90`, `90s`, `15m`, `2h` or `1d`; at least one second.
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
        _ => Err("expected at least one second and at most one year".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations() {
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
