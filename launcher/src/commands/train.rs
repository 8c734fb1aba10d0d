//! `trainyard train`: one description of a job for SageMaker, the local Docker engine and a local process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::job::{Channel, Cloud, InputMode, Instance, Job, JobName, Location};
use crate::trainer::Trainer;

/// The data of the job, and where its model goes.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
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
    #[arg(long, value_name = "LOCATION")]
    output: String,
    /// SageMaker's, such as ml.m5.large, or local, local_gpu, local-process
    #[arg(long, value_name = "TYPE")]
    instance_type: String,
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
    /// The trainer's binary for this machine, for the check and for local-process [default: beside trainyard, on the PATH, or built]
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
    /// Hyperparameters, after `--`, as the trainer's flags: -- --min-df 5 --tune
    #[arg(last = true, value_name = "HYPERPARAMETERS")]
    flags: Vec<String>,
}

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
    /// Volume of each machine, in GB
    #[arg(long, value_name = "GB", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=16384))]
    volume_size: u32,
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
    /// How the data comes into the container
    #[arg(long, value_name = "MODE", default_value = "File", value_enum)]
    input_mode: InputMode,
    /// Submit and do not wait
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: TrainArgs, context: &Context) -> Result<Exit> {
    let mut job = check(&args, Timestamp::now())?;
    job.hyperparameters = hyperparameters(&args)?;
    if job.instance.is_cloud() {
        return Err(Failure::new("not built yet"));
    }
    crate::local::train(
        &job,
        args.trainer_binary.as_deref(),
        args.simulate_interruption,
        args.dry_run,
        context,
    )
    .await
}

/// The file's, overlaid by the flags.
fn hyperparameters(args: &TrainArgs) -> Result<BTreeMap<String, String>> {
    let mut values = serde_json::Map::new();
    if let Some(path) = &args.hyperparameters {
        let unreadable = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot read `{}`: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        values = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    }
    let mut flags = args.flags.iter().peekable();
    while let Some(flag) = flags.next() {
        let name = flag.strip_prefix("--").ok_or_else(|| {
            Failure::usage(format!("`{flag}` is no hyperparameter")).help("expected `--name value`")
        })?;
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match flags.next_if(|next| !next.starts_with("--")) {
                Some(value) => (name, value.clone()),
                None => (name, "true".to_owned()),
            },
        };
        values.insert(name.replace('-', "_"), value.into());
    }
    Ok(contract::hyperparameters::encode(
        values.iter().map(|(name, value)| (name.as_str(), value)),
    ))
}

/// From what was typed to a job that can be run. Nothing is sent or started.
fn check(args: &TrainArgs, now: Timestamp) -> Result<Job> {
    let instance = Instance::parse(&args.instance_type, args.instance_count)?;
    let trainer = Trainer::find(&args.trainer)?;
    let prefix = args.job_name_prefix.as_deref().unwrap_or(&args.trainer);
    let environment = pairs("--env", &args.environment)?;
    contract::limits::check_environment(&environment)
        .map_err(|error| Failure::usage(format!("`--env`: {error}")))?;
    Ok(Job {
        name: JobName::new(prefix, now)?,
        trainer,
        image: args.image.clone(),
        hyperparameters: BTreeMap::new(),
        channels: channels(args)?,
        output: Location::parse(&args.output)?,
        instance,
        environment,
        checkpoints: args
            .checkpoints
            .as_deref()
            .map(Location::parse)
            .transpose()?,
        max_run: args.max_run,
        cloud: cloud(&args.cloud, args.max_run)?,
    })
}

fn cloud(args: &CloudArgs, max_run: Duration) -> Result<Cloud> {
    let hour = Duration::from_secs(3600);
    let spot = args
        .spot
        .then(|| args.max_wait.unwrap_or(max_run.saturating_add(hour)));
    if let Some(wait) = spot.filter(|wait| *wait < max_run) {
        return Err(Failure::usage(format!(
            "`--max-wait` is {} s, shorter than `--max-run` with {} s",
            wait.as_secs(),
            max_run.as_secs()
        ))
        .help("it holds the training too: pass a longer one"));
    }
    Ok(Cloud {
        role: args.role.clone(),
        spot,
        volume_gb: args.volume_size,
        keep_alive: args.keep_alive,
        subnets: args.subnet.clone(),
        security_groups: args.security_group.clone(),
        volume_kms_key: args.volume_kms_key.clone(),
        output_kms_key: args.output_kms_key.clone(),
        tags: pairs("--tag", &args.tag)?,
        network_isolation: args.network_isolation,
        encrypt_traffic: args.encrypt_traffic,
        input_mode: args.input_mode,
    })
}

fn channels(args: &TrainArgs) -> Result<Vec<Channel>> {
    let mut typed = Vec::new();
    if let Some(data) = &args.data {
        typed.push(("train", data.as_str()));
    }
    for channel in &args.channel {
        typed.push(split("--channel", channel)?);
    }
    let mut channels: Vec<Channel> = Vec::new();
    for (name, location) in typed {
        contract::limits::check_channel_name(name)
            .map_err(|error| Failure::usage(format!("`--channel {name}`: {error}")))?;
        if channels.iter().any(|other| other.name == name) {
            return Err(Failure::usage(format!("channel `{name}` is given twice"))
                .help("`--data` is the channel `train`; put several files into one folder"));
        }
        channels.push(Channel {
            name: name.to_owned(),
            source: Location::parse(location)?,
        });
    }
    if channels.is_empty() {
        return Err(Failure::usage("no training data").help("pass `--data LOCATION`"));
    }
    contract::limits::check_channel_count(channels.len())
        .map_err(|error| Failure::usage(format!("`--channel`: {error}")))?;
    Ok(channels)
}

fn pairs(flag: &str, typed: &[String]) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in typed {
        let (name, value) = split(flag, text)?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!("`{flag} {name}` is given twice")));
        }
    }
    Ok(pairs)
}

fn split<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| {
            Failure::usage(format!("`{flag} {text}` has no `=`"))
                .help(format!("expected `{flag} NAME=VALUE`"))
        })
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
