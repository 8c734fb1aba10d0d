//! S3 locations of a job: given URLs unchanged, local data below the prefix of the job.

use std::path::PathBuf;

use diagnostics::{Error, Result, sanitize};

use crate::job::{Channel, Job, Location, S3Url};
use crate::output::quoted;
use s3::Skipped;

/// Local data of a channel and the prefix they are uploaded to.
#[derive(Debug)]
pub(super) struct ChannelUpload {
    pub(super) channel: String,
    pub(super) source: PathBuf,
    /// Ends with a slash, also for a single file: a channel is a folder.
    pub(super) target: S3Url,
    /// Files of the source.
    pub(super) files: s3::Upload,
}

impl ChannelUpload {
    /// Describes source, channel and target.
    pub(super) fn description(&self) -> String {
        let source = self.source.to_string_lossy();
        format!(
            "`{}` (channel `{}`) to `{}`",
            sanitize(&source),
            self.channel,
            self.target
        )
    }

    /// Arguments of the command that removes an unfinished upload.
    pub(super) fn abort_command(&self) -> String {
        format!(
            "upload {} {} --abort",
            quoted(&self.source.to_string_lossy()),
            quoted(&self.target.to_string())
        )
    }
}

/// Returns the output prefix. A job in the cloud cannot write to a local folder.
pub(super) fn output(job: &Job) -> Result<&S3Url> {
    match &job.output {
        Location::S3(url) => Ok(url),
        Location::File(path) => Err(Error::usage(format!(
            "`--output {}` is a local folder, and `{}` runs in the cloud",
            sanitize(&path.to_string_lossy()),
            job.instance
        ))
        .help("pass `--output s3://bucket/prefix`; download the model with `trainyard download`")),
    }
}

/// Returns name and URL of each channel, including those that are uploaded first.
pub(super) fn channels(job: &Job) -> Result<Vec<(String, S3Url)>> {
    job.channels
        .iter()
        .map(|channel| {
            let url = match &channel.source {
                Location::S3(url) => url.clone(),
                Location::File(_) => target(job, channel)?,
            };
            Ok((channel.name.clone(), url))
        })
        .collect()
}

/// Returns the uploads that the job needs. Fails if data are missing or cannot be uploaded.
pub(super) fn uploads(job: &Job) -> Result<Vec<ChannelUpload>> {
    let mut uploads = Vec::new();
    for channel in &job.channels {
        let Location::File(path) = &channel.source else {
            continue;
        };
        let given = sanitize(&path.to_string_lossy()).into_owned();
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::usage(format!(
                "channel `{}`: cannot read `{given}`: {error}",
                channel.name,
            ))
            .help("expected a file or folder, or `s3://bucket/key`"));
        }
        let target = target(job, channel)?;
        let files = s3::Upload::plan(path, &target)?;
        Skipped::refuse(files.skipped_files(), &channel.name, &given)?;
        if files.count() == 0 {
            return Err(Error::usage(format!(
                "channel `{}`: there is no file in the folder `{given}`",
                channel.name
            ))
            .help("put the data there, or pass another folder"));
        }
        uploads.push(ChannelUpload {
            channel: channel.name.clone(),
            source: path.clone(),
            target,
            files,
        });
    }
    Ok(uploads)
}

/// Returns `OUTPUT/JOB/input/CHANNEL/`.
fn target(job: &Job, channel: &Channel) -> Result<S3Url> {
    Ok(output(job)?.join(&format!("{}/input/{}/", job.name, channel.name)))
}
