//! Builds a job from the command line. Sends and starts nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sagemaker::limits;

use super::{CloudArgs, TrainArgs};
use crate::aws::iam::ROLE;
use crate::cloud::MAX_RUN_TIME;
use crate::context::Context;
use crate::job::{
    Channel, Cloud, InputMode, Instance, Job, JobName, Location, hyperparameters, refused,
};
use crate::trainer::TrainerPackage;
use diagnostics::{Error, Result};

/// Volume size in GB; the default of SageMaker.
const DEFAULT_VOLUME_GB: u32 = 30;

/// Returns the job after all local checks.
pub(super) fn job(args: &TrainArgs, context: &Context, now: Timestamp, random: u16) -> Result<Job> {
    let (output, instance_type) = required(args)?;
    let instance = Instance::parse(instance_type, args.instance_count)?;
    refuse_misplaced(args, &instance)?;
    let channels = channels(args)?;
    refuse_needless_no_data_check(args, &channels)?;
    let trainer = TrainerPackage::find(&args.trainer)?;
    let prefix = args.job_name_prefix.as_deref().unwrap_or(&args.trainer);
    let environment = pairs("--env", &args.environment)?;
    limits::check_environment(&environment).map_err(|error| refused("`--env`", &error))?;
    let from_environment = || Some(context.env.get(ROLE)?.to_string_lossy().into_owned());
    let mut cloud = cloud(&args.cloud, args.max_run)?;
    cloud.role = cloud.role.or_else(from_environment);
    Ok(Job {
        name: JobName::new(prefix, now, random)?,
        trainer,
        image: args.image.clone(),
        hyperparameters: hyperparameters::read(args.hyperparameters.as_deref(), &args.flags)?,
        channels,
        output: Location::parse(output)?,
        instance,
        environment,
        checkpoints: args
            .checkpoints
            .as_deref()
            .map(Location::parse)
            .transpose()?,
        max_run: args.max_run,
        cloud,
    })
}

/// Returns the required options. Clap does not require them, because of `-- --help`.
fn required(args: &TrainArgs) -> Result<(&str, &str)> {
    match (&args.output, &args.instance_type) {
        (Some(output), Some(instance_type)) => Ok((output, instance_type)),
        _ => Err(
            Error::usage("a job needs `--output LOCATION` and `--instance-type TYPE`").help(
                "add both options; `trainyard train --help` has examples, `-- --help` lists the hyperparameters",
            ),
        ),
    }
}

/// Refuses options that have no effect for this kind of instance.
fn refuse_misplaced(args: &TrainArgs, instance: &Instance) -> Result<()> {
    if instance.is_cloud() {
        return match args.simulate_interruption {
            Some(_) => Err(Error::usage(format!(
                "`--simulate-interruption` is for local jobs, but `{instance}` runs in the cloud"
            ))
            .help("leave it out, or pass `--instance-type local`")),
            None => Ok(()),
        };
    }
    if *instance == Instance::Process && args.image.is_some() {
        return Err(Error::usage(
            "`--image` has no effect with `local-process`, which runs no image",
        )
        .help("pass `--instance-type local`, or `--trainer-binary FILE`"));
    }
    let cloud = &args.cloud;
    let given = [
        ("--role", cloud.role.is_some()),
        ("--spot", cloud.spot),
        ("--volume-size", cloud.volume_size.is_some()),
        ("--keep-alive", cloud.keep_alive.is_some()),
        ("--subnet", !cloud.subnet.is_empty()),
        ("--security-group", !cloud.security_group.is_empty()),
        ("--volume-kms-key", cloud.volume_kms_key.is_some()),
        ("--output-kms-key", cloud.output_kms_key.is_some()),
        ("--tag", !cloud.tag.is_empty()),
        // Docker can isolate a container from the network; a process cannot be isolated.
        (
            "--network-isolation",
            cloud.network_isolation && *instance == Instance::Process,
        ),
        ("--encrypt-traffic", cloud.encrypt_traffic),
        ("--input-mode", cloud.input_mode.is_some()),
        ("--no-data-check", cloud.no_data_check),
        ("--no-wait", cloud.no_wait),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::usage(format!(
            "`{flag}` needs a cloud instance, found `--instance-type {instance}`"
        ))
        .help("leave it out, or pass an instance type such as `ml.m5.large`")),
        None => Ok(()),
    }
}

/// Refuses `--no-data-check` if there is nothing to check.
fn refuse_needless_no_data_check(args: &TrainArgs, channels: &[Channel]) -> Result<()> {
    let checked =
        |channel: &Channel| channel.name == "train" && matches!(channel.source, Location::File(_));
    if !args.cloud.no_data_check || channels.iter().any(checked) {
        return Ok(());
    }
    Err(
        Error::usage("`--no-data-check` needs local training data; data in S3 are not checked")
            .help("leave it out"),
    )
}

fn cloud(args: &CloudArgs, max_run: Duration) -> Result<Cloud> {
    let hour = Duration::from_secs(3600);
    let usual = max_run.saturating_add(hour).min(MAX_RUN_TIME).max(max_run);
    let spot = args.spot.then(|| args.max_wait.unwrap_or(usual));
    if let Some(wait) = spot.filter(|wait| *wait < max_run) {
        return Err(Error::usage(format!(
            "`--max-wait` is {} s, shorter than `--max-run` with {} s",
            wait.as_secs(),
            max_run.as_secs()
        ))
        .help("it includes the training time: pass a longer one, or a shorter `--max-run`"));
    }
    Ok(Cloud {
        role: args.role.clone(),
        spot,
        volume_gb: args.volume_size.unwrap_or(DEFAULT_VOLUME_GB),
        keep_alive: args.keep_alive,
        subnets: args.subnet.clone(),
        security_groups: args.security_group.clone(),
        volume_kms_key: args.volume_kms_key.clone(),
        output_kms_key: args.output_kms_key.clone(),
        tags: pairs("--tag", &args.tag)?,
        network_isolation: args.network_isolation,
        encrypt_traffic: args.encrypt_traffic,
        input_mode: args.input_mode.unwrap_or(InputMode::File),
    })
}

fn channels(args: &TrainArgs) -> Result<Vec<Channel>> {
    let mut given = Vec::new();
    if let Some(data) = &args.data {
        given.push(("train", data.as_str()));
    }
    for channel in &args.channel {
        given.push(split("--channel", channel)?);
    }
    let mut channels: Vec<Channel> = Vec::new();
    for (name, location) in given {
        limits::check_channel_name(name).map_err(|error| refused("`--channel`", &error))?;
        if channels.iter().any(|other| other.name == name) {
            return Err(Error::usage(format!("channel `{name}` is given twice"))
                .help("`--data` is the channel `train`; put several files into one folder"));
        }
        channels.push(Channel {
            name: name.to_owned(),
            source: Location::parse(location)?,
        });
    }
    if channels.is_empty() {
        return Err(Error::usage("no training data").help("pass `--data LOCATION`"));
    }
    limits::check_channel_count(channels.len()).map_err(|error| refused("`--channel`", &error))?;
    Ok(channels)
}

fn pairs(flag: &str, given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in given {
        let (name, value) = split(flag, text)?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::usage(format!("`{flag} {name}` is given twice"))
                .help("leave one of them out"));
        }
    }
    Ok(pairs)
}

fn split<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| {
            Error::usage(format!("`{flag} {text}` has no `=`"))
                .help(format!("expected `{flag} NAME=VALUE`"))
        })
}

/// Returns a random number: the standard library seeds each hash map randomly.
pub(super) fn random() -> u16 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish() as u16
}
