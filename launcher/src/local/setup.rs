//! Setup of a local job: checked inputs, and the files that SageMaker writes below `/opt/ml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagemaker::resources::InstanceGroup;
use sagemaker::{ChannelConfig, InputDataConfig, Paths, ResourceConfig};
use serde_json::{Value, json};

use super::failure_reason::{FailureReason, PathAlias};
use super::layout::HOST;
use super::log::LogTail;
use super::remote::{self, CheckpointMirror};
use super::scratch::Scratch;
use crate::context::Context;
use crate::job::{Instance, Job, Location, S3Url};
use crate::util::first_set;
use diagnostics::{Error, Result, eprint_line};
use s3::Skipped;

/// Inputs of a job. Local files exist; their paths are absolute.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    channels: Vec<(String, Location)>,
    checkpoints: Option<Location>,
}

/// Data of a channel on this machine.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    /// Absolute, without symlinks.
    pub(super) path: PathBuf,
    /// File name, for a channel with a single file.
    pub(super) file: Option<String>,
}

/// Description of a job for a backend.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) job: String,
    pub(super) channels: Vec<Input>,
    /// Locations that the user gave for `channels`, in the same order.
    given: Vec<Location>,
    /// The end of the job's log.
    pub(super) log: LogTail,
    /// Folder that becomes `/opt/ml/checkpoints`.
    pub(super) checkpoints: Option<PathBuf>,
    /// Copy of the checkpoints in S3.
    mirror: Option<CheckpointMirror>,
    /// URL of the checkpoints for the trainer: `file://` or `s3://`.
    checkpoints_name: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    hyperparameters: BTreeMap<String, String>,
    instance: String,
    /// Folder of the downloaded data.
    scratch: Option<Scratch>,
}

impl Inputs {
    /// Checks that local data can be read. Changes nothing.
    pub(super) fn check(job: &Job) -> Result<Self> {
        let channels = job.channels.iter().map(|channel| {
            let source = match &channel.source {
                Location::File(path) => {
                    let real = check_local(&channel.name, path)?;
                    // A container sees the mounted folder only, not what links out of it refer to.
                    if matches!(job.instance, Instance::Docker { .. }) {
                        let given = diagnostics::sanitize(&path.to_string_lossy()).into_owned();
                        Skipped::refuse(&s3::escaping_links(path), &channel.name, &given)?;
                    }
                    Location::File(real)
                }
                in_s3 => in_s3.clone(),
            };
            Ok((channel.name.clone(), source))
        });
        let checkpoints = match &job.checkpoints {
            Some(Location::File(path)) => {
                let absolute = std::path::absolute(path);
                let absolute = absolute.map_err(|error| no_checkpoints(path, &error))?;
                Some(Location::File(absolute))
            }
            other => other.clone(),
        };
        Ok(Self {
            channels: channels.collect::<Result<_>>()?,
            checkpoints,
        })
    }

    /// Returns what is downloaded, with a description.
    pub(super) fn downloads(&self) -> Vec<(String, S3Url)> {
        let channels = self.channels.iter();
        let channels = channels.map(|(name, source)| (format!("channel `{name}`"), source));
        let checkpoints = self.checkpoints.iter();
        let checkpoints = checkpoints.map(|source| ("the checkpoints".to_owned(), source));
        channels
            .chain(checkpoints)
            .filter_map(|(what, source)| match source {
                Location::S3(url) => Some((what, url.clone())),
                Location::File(_) => None,
            })
            .collect()
    }
}

fn no_checkpoints(folder: &Path, error: &std::io::Error) -> Error {
    Error::usage(format!("`--checkpoints {}`: {error}", folder.display()))
        .help("expected a folder, such as `--checkpoints file://checkpoints`")
}

fn check_local(channel: &str, path: &Path) -> Result<PathBuf> {
    let shown = diagnostics::sanitize(&path.to_string_lossy()).into_owned();
    let refused = |found: String, help: &str| {
        Error::usage(format!("channel `{channel}`: {found}")).help(help)
    };
    let unreadable = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    let real = path.canonicalize().map_err(|error| {
        let help = "expected a file or folder, such as `--data file://data`";
        refused(unreadable(error), help)
    })?;
    if real.is_dir() {
        let mut entries = std::fs::read_dir(&real)
            .map_err(|error| refused(unreadable(error), "expected a folder that you may read"))?;
        if entries.next().is_none() {
            let found = format!("the folder `{shown}` is empty");
            return Err(refused(found, "put the data there, or pass another one"));
        }
    } else if !real.is_file() {
        let found = format!("`{shown}` is neither a file nor a folder");
        return Err(refused(found, "save the data to a file first"));
    }
    Ok(real)
}

impl Input {
    fn new(name: &str, path: PathBuf) -> Self {
        let file = path
            .file_name()
            .filter(|_| !path.is_dir())
            .map(|name| name.to_string_lossy().into_owned());
        Self {
            name: name.to_owned(),
            path,
            file,
        }
    }

    /// Path below `base`, the folder that becomes `/opt/ml`.
    pub(super) fn target(&self, base: &Path) -> PathBuf {
        let folder = Paths::at(base).data_dir().join(&self.name);
        match &self.file {
            Some(file) => folder.join(file),
            None => folder,
        }
    }
}

impl Setup {
    /// Downloads data and checkpoints from S3, and makes the folder of checkpoints.
    pub(super) async fn prepare(job: &Job, inputs: Inputs, context: &Context) -> Result<Self> {
        let scratch = match inputs.downloads().is_empty() {
            true => None,
            false => Some(Scratch::new()?),
        };
        let at = |name: &str| scratch.as_ref().map(|folder| folder.path().join(name));
        let mut channels = Vec::new();
        for (name, source) in &inputs.channels {
            let path = match source {
                Location::File(path) => path.clone(),
                Location::S3(url) => {
                    let folder = at(name).unwrap_or_default();
                    eprint_line(format!("downloading channel `{name}` from {url}"));
                    remote::download(name, url, &folder, context).await?;
                    folder
                }
            };
            channels.push(Input::new(name, path));
        }
        let mut setup = Self::without_checkpoints(job, channels);
        match &inputs.checkpoints {
            Some(Location::File(folder)) => {
                std::fs::create_dir_all(folder).map_err(|error| no_checkpoints(folder, &error))?;
                setup.checkpoints = Some(folder.clone());
            }
            Some(Location::S3(url)) => {
                eprint_line(format!("downloading the checkpoints from {url}"));
                let mirror = CheckpointMirror::download(url, context).await?;
                setup.checkpoints = Some(mirror.folder().to_owned());
                setup.mirror = Some(mirror);
            }
            None => {}
        }
        setup.scratch = scratch;
        Ok(setup)
    }

    /// Returns the setup for `--dry-run`, with downloads below `scratch`.
    pub(super) fn plan(job: &Job, inputs: &Inputs, scratch: &Path) -> Self {
        let channels = inputs.channels.iter().map(|(name, source)| match source {
            Location::File(path) => Input::new(name, path.clone()),
            Location::S3(_) => Input {
                name: name.clone(),
                path: scratch.join(name),
                file: None,
            },
        });
        let mut setup = Self::without_checkpoints(job, channels.collect());
        setup.checkpoints = inputs.checkpoints.as_ref().map(|source| match source {
            Location::File(folder) => folder.clone(),
            Location::S3(_) => scratch.join("the checkpoints"),
        });
        setup
    }

    fn without_checkpoints(job: &Job, channels: Vec<Input>) -> Self {
        Self {
            job: job.name.to_string(),
            channels,
            given: job.channels.iter().map(|c| c.source.clone()).collect(),
            log: LogTail::default(),
            checkpoints: None,
            mirror: None,
            checkpoints_name: job.checkpoints.as_ref().map(Location::to_string),
            environment: environment(job),
            hyperparameters: job.hyperparameters.clone(),
            instance: job.instance.to_string(),
            scratch: None,
        }
    }

    /// Returns the failure's text with the user's paths. The trainer's `/opt/ml` is at `base`.
    pub(super) fn failure_reason(&self, text: &str, base: &Path) -> FailureReason {
        let mut aliases = Vec::new();
        for (input, given) in self.channels.iter().zip(&self.given) {
            let target = input.target(base);
            if let Location::S3(url) = given
                && let Some(name) = url.key.rsplit('/').next()
                && input.path.join(name).is_file()
            {
                // A single object, not a prefix.
                aliases.push(PathAlias::new(&target.join(name), url.to_string()));
            }
            aliases.push(PathAlias::new(&target, display(given)));
        }
        if let Some(name) = &self.checkpoints_name {
            let name = name.strip_prefix("file://").unwrap_or(name);
            aliases.push(PathAlias::new(&base.join("checkpoints"), name));
        }
        FailureReason::new(text, aliases, &self.log)
    }

    /// Uploads the checkpoints, if they belong in S3.
    pub(super) async fn upload_checkpoints(&self, context: &Context) -> Result<()> {
        match &self.mirror {
            Some(mirror) => mirror.upload(context).await,
            None => Ok(()),
        }
    }

    /// Keeps checkpoints that could not be uploaded and returns a help line about them. `complete`
    /// if those on this machine are the trainer's last ones.
    pub(super) fn keep_checkpoints(&mut self, complete: bool, context: &Context) -> Option<String> {
        self.mirror
            .as_mut()
            .and_then(|mirror| mirror.keep(complete, context))
    }

    /// Returns path and content of the files of `input/config` in a layout at `base`.
    pub(super) fn config_files(&self, base: &Path) -> Vec<(PathBuf, Value)> {
        let paths = Paths::at(base);
        let mut files = vec![
            (paths.hyperparameters(), json!(self.hyperparameters)),
            (paths.input_data_config(), json!(self.input_data_config())),
            (paths.resource_config(), json!(self.resource_config())),
        ];
        if let Some(name) = &self.checkpoints_name {
            let config = json!({"S3Uri": name, "LocalPath": base.join("checkpoints")});
            files.push((paths.checkpoint_config(), config));
        }
        files
    }

    fn input_data_config(&self) -> InputDataConfig {
        let channel = ChannelConfig {
            s3_distribution_type: Some("FullyReplicated".to_owned()),
            record_wrapper_type: Some("None".to_owned()),
            ..ChannelConfig::file()
        };
        let channels = self.channels.iter();
        InputDataConfig(
            channels
                .map(|input| (input.name.clone(), channel.clone()))
                .collect(),
        )
    }

    fn resource_config(&self) -> ResourceConfig {
        let group = "homogeneousCluster";
        ResourceConfig {
            current_host: HOST.to_owned(),
            hosts: vec![HOST.to_owned()],
            network_interface_name: Some("eth0".to_owned()),
            current_instance_type: Some(self.instance.clone()),
            current_group_name: Some(group.to_owned()),
            instance_groups: vec![InstanceGroup {
                instance_group_name: group.to_owned(),
                instance_type: self.instance.clone(),
                hosts: vec![HOST.to_owned()],
            }],
        }
    }
}

/// Returns the variables of SageMaker's containers and of the job. Credentials are passed only with
/// `--env`.
fn environment(job: &Job) -> BTreeMap<String, String> {
    let region = first_set(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region);
    let arn = format!(
        "arn:aws:sagemaker:{}:000000000000:training-job/{}",
        region.as_deref().unwrap_or("local"),
        job.name
    );
    let mut environment = BTreeMap::from([
        (
            sagemaker::env_vars::JOB_NAME.name.to_owned(),
            job.name.to_string(),
        ),
        ("TRAINING_JOB_ARN".to_owned(), arn),
    ]);
    if let Some(region) = region {
        environment.insert("AWS_REGION".to_owned(), region.clone());
        environment.insert("AWS_DEFAULT_REGION".to_owned(), region);
    }
    environment.extend(job.environment.clone());
    environment
}

/// Returns a path as it was given, and a URL without a slash at its end.
fn display(location: &Location) -> String {
    match location {
        Location::S3(url) => url.to_string().trim_end_matches('/').to_owned(),
        Location::File(path) => path.to_string_lossy().into_owned(),
    }
}
