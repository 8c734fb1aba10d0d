//! A training job, as SageMaker, the Docker engine and a local process run it.

pub(crate) mod check;
mod data_check;
mod host_trainer;
pub(crate) mod hyperparameters;
mod instance;
mod location;
mod name;
mod unsupported;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use instance::Instance;
pub(crate) use location::Location;
pub(crate) use name::JobName;
pub(crate) use s3::S3Url;

use crate::trainer::TrainerPackage;
use diagnostics::Error;

/// A checked job that has not started.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Unique name of prefix and time.
    pub(crate) name: JobName,
    pub(crate) trainer: TrainerPackage,
    /// Image of `--image`. Default: the trainer's own, in the account's ECR or in the local engine.
    pub(crate) image: Option<String>,
    /// Hyperparameters as SageMaker's strings.
    pub(crate) hyperparameters: BTreeMap<String, String>,
    /// Channels in the order given; `train` first.
    pub(crate) channels: Vec<Channel>,
    /// Parent of `JOB/output/model.tar.gz`.
    pub(crate) output: Location,
    pub(crate) instance: Instance,
    /// Variables of the container.
    pub(crate) environment: BTreeMap<String, String>,
    /// Folder of the checkpoints, if they are kept.
    pub(crate) checkpoints: Option<Location>,
    /// Time after which the job is stopped.
    pub(crate) max_run: Duration,
    /// Options of SageMaker jobs.
    pub(crate) cloud: Cloud,
}

/// A named input.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) source: Location,
}

/// Options of SageMaker jobs.
#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    /// Name or ARN. Default: AWS_SAGEMAKER_ROLE.
    pub(crate) role: Option<String>,
    /// For spot instances: the longest time to wait, training included.
    pub(crate) spot: Option<Duration>,
    pub(crate) volume_gb: u32,
    /// Time to keep the instances after the job.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    /// KMS key of the volume.
    pub(crate) volume_kms_key: Option<String>,
    /// KMS key of the model in S3.
    pub(crate) output_kms_key: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) network_isolation: bool,
    pub(crate) encrypt_traffic: bool,
    /// `File` or `FastFile`.
    pub(crate) input_mode: InputMode,
}

/// SageMaker's `TrainingInputMode`; the variants have the names of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputMode {
    /// Copied before the start
    #[value(name = "File")]
    File,
    /// Streamed from S3
    #[value(name = "FastFile")]
    FastFile,
}

/// Converts an error of the crate `sagemaker` to a usage error with the same help.
pub(crate) fn refused(what: &str, error: &sagemaker::ContractError) -> Error {
    let cause = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
    Error::usage(format!("{what}: {error}{cause}")).help(error.help())
}
