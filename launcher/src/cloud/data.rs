//! Where the job reads and writes: S3 as it is, local data below the job's own prefix.

use std::path::PathBuf;

use diagnostics::{Error, Result, sanitize};

use crate::job::{Channel, Job, Location, S3Url};
use crate::output::quoted;
use s3::Skipped;

/// A channel's local data, and where they go.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) channel: String,
    pub(super) source: PathBuf,
    /// Ends with a slash, for a file too: a channel is a folder.
    pub(super) target: S3Url,
    /// Its files, as they are now.
    pub(super) files: s3::Upload,
}

impl Upload {
    /// In words.
    pub(super) fn what(&self) -> String {
        let source = self.source.to_string_lossy();
        format!(
            "`{}` (channel `{}`) to `{}`",
            sanitize(&source),
            self.channel,
            self.target
        )
    }

    /// The command that gives it up after us.
    pub(super) fn again(&self) -> String {
        format!(
            "upload {} {} --abort",
            quoted(&self.source.to_string_lossy()),
            quoted(&self.target.to_string())
        )
    }
}

/// The output prefix. A job in the cloud cannot write to this machine.
pub(super) fn output(job: &Job) -> Result<&S3Url> {
    match &job.output {
        Location::S3(url) => Ok(url),
        Location::File(path) => Err(Error::usage(format!(
            "`--output {}` is a local folder, and `{}` runs in the cloud",
            sanitize(&path.to_string_lossy()),
            job.instance
        ))
        .help("pass `--output s3://bucket/prefix`; `trainyard download` brings the model home")),
    }
}

/// The URL of each channel, uploaded ones included.
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

/// What has to be uploaded first: all of the data is there, and all of it can be sent.
pub(super) fn uploads(job: &Job) -> Result<Vec<Upload>> {
    let mut uploads = Vec::new();
    for channel in &job.channels {
        let Location::File(path) = &channel.source else {
            continue;
        };
        let typed = sanitize(&path.to_string_lossy()).into_owned();
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::usage(format!(
                "channel `{}`: cannot read `{typed}`: {error}",
                channel.name,
            ))
            .help("expected a file or folder, or `s3://bucket/key`"));
        }
        let target = target(job, channel)?;
        let files = s3::Upload::plan(path, &target)?;
        complete(&channel.name, &typed, &files)?;
        uploads.push(Upload {
            channel: channel.name.clone(),
            source: path.clone(),
            target,
            files,
        });
    }
    Ok(uploads)
}

/// All of it can be sent, and there is something.
fn complete(channel: &str, typed: &str, files: &s3::Upload) -> Result<()> {
    Skipped::refuse(files.left_out(), channel, typed)?;
    if files.count() == 0 {
        return Err(Error::usage(format!(
            "channel `{channel}`: there is no file in the folder `{typed}`"
        ))
        .help("put the data there, or pass another one"));
    }
    Ok(())
}

/// `OUTPUT/JOB/input/CHANNEL/`
fn target(job: &Job, channel: &Channel) -> Result<S3Url> {
    Ok(output(job)?.join(&format!("{}/input/{}/", job.name, channel.name)))
}
