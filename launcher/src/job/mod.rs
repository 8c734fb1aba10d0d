//! A training job as the user described it, checked: what SageMaker, the local engine and the local process all run.

pub(crate) mod check;
mod data_check;
pub(crate) mod hyperparameters;
mod instance;
mod location;
mod name;
mod unused;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use instance::Instance;
pub(crate) use location::Location;
pub(crate) use name::JobName;
pub(crate) use s3::S3Url;

use crate::trainer::Trainer;
use diagnostics::Error;

/// A job, before anything was sent or started.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Unique: prefix and time.
    pub(crate) name: JobName,
    pub(crate) trainer: Trainer,
    /// Image as typed; without it, the trainer's own, in the account's ECR or in the local engine.
    pub(crate) image: Option<String>,
    /// Encoded as SageMaker's strings.
    pub(crate) hyperparameters: BTreeMap<String, String>,
    /// In the order typed; `train` first.
    pub(crate) channels: Vec<Channel>,
    /// Below it the job writes `JOB/output/model.tar.gz`.
    pub(crate) output: Location,
    pub(crate) instance: Instance,
    /// For the container.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where checkpoints are kept between runs, if they are.
    pub(crate) checkpoints: Option<Location>,
    /// The job is stopped after this time.
    pub(crate) max_run: Duration,
    /// What only the cloud knows.
    pub(crate) cloud: Cloud,
}

/// One named part of the data.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) source: Location,
}

/// What only SageMaker does.
#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    /// Name or ARN; looked up in AWS_SAGEMAKER_ROLE by the command.
    pub(crate) role: Option<String>,
    /// Spot instances; the longest time to wait for them, training included.
    pub(crate) spot: Option<Duration>,
    pub(crate) volume_gb: u32,
    /// Kept warm after the job.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    /// For the volume.
    pub(crate) volume_kms_key: Option<String>,
    /// For the model in S3.
    pub(crate) output_kms_key: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) network_isolation: bool,
    pub(crate) encrypt_traffic: bool,
    /// `File` or `FastFile`.
    pub(crate) input_mode: InputMode,
}

/// How a channel comes into the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputMode {
    /// Copied before the start
    #[value(name = "File")]
    File,
    /// Read from S3 as it is needed
    #[value(name = "FastFile")]
    FastFile,
}

impl InputMode {
    /// SageMaker's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::FastFile => "FastFile",
        }
    }
}

/// An error of the contract as the user's mistake: its `help:` line is our help.
pub(crate) fn refused(what: &str, error: &sagemaker::Error) -> Error {
    let text = error.to_string();
    let (message, help) = text.split_once("\n  help: ").unwrap_or((&text, ""));
    let cause = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
    let failure = Error::usage(format!("{what}: {message}{cause}"));
    if help.is_empty() {
        failure
    } else {
        failure.help(help)
    }
}
