//! What a local job is given: checked inputs, and the files that SageMaker writes below `/opt/ml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagemaker::resources::InstanceGroup;
use sagemaker::{ChannelConfig, InputDataConfig, Paths, ResourceConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::leftover;
use super::remote::{self, Mirror};
use super::words::{Alias, Tail, Words};
use crate::commands::Context;
use crate::job::{Instance, Job, Location, S3Url};
use crate::variable::first_set;
use diagnostics::{Error, Result, eprint_line};
use s3::Skipped;

/// SageMaker's name for the only host.
pub(super) const HOST: &str = "algo-1";

/// Folders that the trainer may write, below `/opt/ml`.
pub(super) const WRITABLE: [&str; 4] = ["model", "output", "output/data", "checkpoints"];

/// A job's inputs, which exist as far as they are on this machine.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    channels: Vec<(String, Source)>,
    checkpoints: Option<Source>,
}

/// Data that a job reads.
#[derive(Debug, Clone)]
enum Source {
    Here(PathBuf),
    There(S3Url),
}

/// A channel, on this machine.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    /// Absolute, without symlinks.
    pub(super) path: PathBuf,
    /// A file's name: it comes into the channel's folder.
    pub(super) file: Option<String>,
}

/// All that a backend has to know of a job.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) job: String,
    pub(super) channels: Vec<Input>,
    /// Where their data comes from, as it was typed, in the same order.
    typed: Vec<Location>,
    /// The end of the job's log.
    pub(super) log: Tail,
    /// The folder that is `/opt/ml/checkpoints`.
    pub(super) checkpoints: Option<PathBuf>,
    /// Where the checkpoints come from and go to, if not to a folder of this machine.
    mirror: Option<Mirror>,
    /// `file://` or `s3://`, for the trainer to read.
    checkpoints_name: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    hyperparameters: BTreeMap<String, String>,
    instance: String,
    /// The data that was downloaded; gone with it.
    scratch: Option<Scratch>,
}

impl Inputs {
    /// Looks at all data on this machine. Makes and sends nothing.
    pub(super) fn check(job: &Job) -> Result<Self> {
        let channels = job.channels.iter().map(|channel| {
            let source = match &channel.source {
                Location::S3(url) => Source::There(url.clone()),
                Location::File(path) => {
                    let real = existing(&channel.name, path)?;
                    // A container sees the folder that is mounted, and nothing around it.
                    if matches!(job.instance, Instance::Docker { .. }) {
                        let typed = diagnostics::sanitize(&path.to_string_lossy()).into_owned();
                        Skipped::refuse(&Skipped::escaping_links(path), &channel.name, &typed)?;
                    }
                    Source::Here(real)
                }
            };
            Ok((channel.name.clone(), source))
        });
        let checkpoints = match &job.checkpoints {
            None => None,
            Some(Location::S3(url)) => Some(Source::There(url.clone())),
            Some(Location::File(path)) => Some(Source::Here(std::path::absolute(path).map_err(
                |error| {
                    Error::usage(format!("`--checkpoints {}`: {error}", path.display()))
                        .help("expected a folder, such as `--checkpoints file://checkpoints`")
                },
            )?)),
        };
        Ok(Self {
            channels: channels.collect::<Result<_>>()?,
            checkpoints,
        })
    }

    /// What is to be downloaded, with a name for people.
    pub(super) fn downloads(&self) -> Vec<(String, S3Url)> {
        let channels = self
            .channels
            .iter()
            .filter_map(|(name, source)| match source {
                Source::There(url) => Some((format!("channel `{name}`"), url.clone())),
                Source::Here(_) => None,
            });
        let checkpoints = match &self.checkpoints {
            Some(Source::There(url)) => Some(("the checkpoints".to_owned(), url.clone())),
            _ => None,
        };
        channels.chain(checkpoints).collect()
    }
}

fn existing(channel: &str, path: &Path) -> Result<PathBuf> {
    let shown = diagnostics::sanitize(&path.to_string_lossy()).into_owned();
    let real = path.canonicalize().map_err(|error| {
        Error::usage(format!(
            "channel `{channel}`: cannot read `{shown}`: {error}"
        ))
        .help("expected a file or folder, such as `--data file://data`")
    })?;
    if real.is_dir() {
        let mut entries = std::fs::read_dir(&real).map_err(|error| {
            Error::usage(format!(
                "channel `{channel}`: cannot read `{shown}`: {error}"
            ))
            .help("expected a folder that you may read")
        })?;
        if entries.next().is_none() {
            return Err(Error::usage(format!(
                "channel `{channel}`: the folder `{shown}` is empty"
            ))
            .help("put the data there, or pass another one"));
        }
    } else if !real.is_file() {
        return Err(Error::usage(format!(
            "channel `{channel}`: `{shown}` is neither a file nor a folder"
        ))
        .help("write the data into a file first"));
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

    /// Where it stands below the folder that is `/opt/ml`.
    pub(super) fn target(&self, base: &Path) -> PathBuf {
        let folder = Paths::at(base).data_dir().join(&self.name);
        match &self.file {
            Some(file) => folder.join(file),
            None => folder,
        }
    }
}

impl Setup {
    /// Downloads what is in S3, and makes the folder of checkpoints.
    pub(super) async fn prepare(job: &Job, inputs: Inputs, context: &Context) -> Result<Self> {
        let scratch = match inputs.downloads().is_empty() {
            true => None,
            false => Some(Scratch::new()?),
        };
        let at = |name: &str| scratch.as_ref().map(|folder| folder.path().join(name));
        let mut channels = Vec::new();
        for (name, source) in &inputs.channels {
            let path = match source {
                Source::Here(path) => path.clone(),
                Source::There(url) => {
                    let folder = at(name).unwrap_or_default();
                    eprint_line(format!("downloading channel `{name}` from {url}"));
                    remote::fetch(url, &folder, context).await?;
                    folder
                }
            };
            channels.push(Input::new(name, path));
        }
        let mut setup = Self::without_checkpoints(job, channels);
        match &inputs.checkpoints {
            Some(Source::Here(folder)) => {
                std::fs::create_dir_all(folder).map_err(|error| {
                    Error::usage(format!("`--checkpoints {}`: {error}", folder.display()))
                        .help("expected a folder, such as `--checkpoints file://checkpoints`")
                })?;
                setup.checkpoints = Some(folder.clone());
            }
            Some(Source::There(url)) => {
                eprint_line(format!("downloading the checkpoints from {url}"));
                let mirror = Mirror::fetch(url, context).await?;
                setup.checkpoints = Some(mirror.folder().to_owned());
                setup.mirror = Some(mirror);
            }
            None => {}
        }
        setup.scratch = scratch;
        Ok(setup)
    }

    /// What would be prepared; data in S3 is shown below `scratch`.
    pub(super) fn rehearse(job: &Job, inputs: &Inputs, scratch: &Path) -> Self {
        let channels = inputs.channels.iter().map(|(name, source)| match source {
            Source::Here(path) => Input::new(name, path.clone()),
            Source::There(_) => Input {
                name: name.clone(),
                path: scratch.join(name),
                file: None,
            },
        });
        let mut setup = Self::without_checkpoints(job, channels.collect());
        setup.checkpoints = inputs.checkpoints.as_ref().map(|source| match source {
            Source::Here(folder) => folder.clone(),
            Source::There(_) => scratch.join("the checkpoints"),
        });
        setup
    }

    fn without_checkpoints(job: &Job, channels: Vec<Input>) -> Self {
        Self {
            job: job.name.to_string(),
            channels,
            typed: job.channels.iter().map(|c| c.source.clone()).collect(),
            log: Tail::default(),
            checkpoints: None,
            mirror: None,
            checkpoints_name: job.checkpoints.as_ref().map(Location::to_string),
            environment: environment(job),
            hyperparameters: job.hyperparameters.clone(),
            instance: job.instance.to_string(),
            scratch: None,
        }
    }

    /// The failure's text, of a trainer whose `/opt/ml` is at `base`: a user knows none of the paths there.
    pub(super) fn words(&self, text: &str, base: &Path) -> Words {
        let mut aliases = Vec::new();
        for (input, typed) in self.channels.iter().zip(&self.typed) {
            let target = input.target(base);
            if let Location::S3(url) = typed
                && let Some(name) = url.key.rsplit('/').next()
                && input.path.join(name).is_file()
            {
                // One object, and not all below a prefix.
                aliases.push(Alias::new(&target.join(name), url.to_string()));
            }
            aliases.push(Alias::new(&target, place(typed)));
        }
        if let Some(name) = &self.checkpoints_name {
            let name = name.strip_prefix("file://").unwrap_or(name);
            aliases.push(Alias::new(&base.join("checkpoints"), name));
        }
        Words::new(text, aliases, &self.log)
    }

    /// Checkpoints go back to S3, if they came from there.
    pub(super) async fn hand_over(&self, context: &Context) -> Result<()> {
        match &self.mirror {
            Some(mirror) => mirror.send(context).await,
            None => Ok(()),
        }
    }

    /// Of checkpoints that could not be handed over; `whole` if those on this machine are the trainer's last ones.
    pub(super) fn keep_checkpoints(&mut self, whole: bool, context: &Context) -> Option<String> {
        self.mirror
            .as_mut()
            .and_then(|mirror| mirror.keep(whole, context))
    }

    /// The files of `input/config`, for a layout at `base`.
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

/// What SageMaker's containers get, and what the job adds. No credentials: who wants them passes `--env`.
fn environment(job: &Job) -> BTreeMap<String, String> {
    let region = first_set(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region);
    let arn = format!(
        "arn:aws:sagemaker:{}:000000000000:training-job/{}",
        region.as_deref().unwrap_or("local"),
        job.name
    );
    let mut environment = BTreeMap::from([
        (
            sagemaker::vars::JOB_NAME.name.to_owned(),
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

/// A path as it was typed, a URL without a slash at its end.
fn place(location: &Location) -> String {
    match location {
        Location::S3(url) => url.to_string().trim_end_matches('/').to_owned(),
        Location::File(path) => path.to_string_lossy().into_owned(),
    }
}

/// How the names of our temporary folders begin.
pub(super) const PREFIX: &str = "trainyard-";

/// A folder that only we can read, gone when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .map_err(|error| {
                Error::new(format!("cannot make a temporary folder: {error}")).help(
                    "set TMPDIR to a folder that is there and has space, such as `TMPDIR=/tmp`",
                )
            })?;
        leftover::sign(folder.path());
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it to the user, without our signature; where it is then. The other name tells it from what nobody wants.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        let path = self.folder.path();
        leftover::unsign(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = path.with_file_name(format!("kept-{name}"));
        match std::fs::rename(path, &kept) {
            Ok(()) => kept,
            Err(_) => path.to_owned(),
        }
    }
}
