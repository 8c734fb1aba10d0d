//! Files and folders to S3 and back: parallel, checked, and going on where they were interrupted.
//!
//! There is no state but what S3 and the temporary file beside a target hold, and both are checked before they are
//! believed: a part that is in S3 counts when its checksum is that of the local bytes, a range that is on the disk when
//! its bytes have the checksum that was noted.

mod body;
mod checksum;
mod client;
mod download;
mod fetch;
mod listing;
mod local_files;
mod model;
mod multipart;
mod open_file;
mod partial;
mod parts;
mod progress;
mod request;
mod targets;
mod task_pool;
mod unfinished;
mod unpack;
mod upload;
mod url;

use std::path::Path;
use std::time::Duration;

use diagnostics::{Error, Result};
use serde::Serialize;

pub use client::{Context, Store};
pub use download::Download;
pub use model::{ModelDownload, UnpackOptions};
pub use unfinished::UnfinishedUploads;
pub use upload::Upload;
pub use url::S3Url;

/// How patient and how wide a transfer is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A request on which no byte moves for this long is given up and tried again.
    pub stall: Duration,
    /// Bar or lines on standard error.
    pub progress: bool,
}

/// As long as the AWS CLI waits for an answer.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests under way at a time; more gains nothing on one network link, and each holds buffers.
const MAX_PARALLEL: usize = 8;

/// Steps of a dry run: a description, and the request that would be sent.
pub type DryRun = Vec<(String, Option<serde_json::Value>)>;

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
pub struct Transferred {
    /// The local file.
    pub path: String,
    /// The object.
    pub url: String,
    pub bytes: u64,
    /// Those that went over the network in this run.
    pub bytes_moved: u64,
    pub state: State,
    /// What the bytes were checked against, such as `crc32:AAAAAA==`; absent if S3 knows none, then only the size was.
    pub checksum: Option<String>,
}

/// How a file got to where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All of it now.
    #[serde(rename = "moved")]
    Transferred,
    /// A part of it in an earlier run.
    Resumed,
    /// It was there, with the same size and checksum.
    #[serde(rename = "skipped")]
    Unchanged,
}

/// A local thing that was not sent, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    pub path: String,
    pub why: String,
}

impl Skipped {
    /// The links below a folder that lead to nothing where it is mounted alone.
    pub fn escaping_links(folder: &Path) -> Vec<Self> {
        local_files::escaping_links(folder)
    }

    /// A job is started, or paid for, with all of its data: one with a part of them is not what was meant.
    pub fn refuse(all: &[Self], channel: &str, typed: &str) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        Err(Error::usage(format!(
            "channel `{channel}`: not all of `{typed}` can be sent:{}",
            Self::lines(all)
        ))
        .help(SKIPPED_HELP))
    }

    /// Each on a line of its own, as it stands below a message.
    pub fn lines(all: &[Self]) -> String {
        let line = |left: &Self| format!("\n    `{}` is {}", left.path, left.why);
        all.iter().map(line).collect()
    }
}

/// What to do with what is left out.
pub const SKIPPED_HELP: &str =
    "replace links by what they point to: `cp -rL FOLDER OTHER`, or remove them";

/// The answer of an upload.
#[derive(Debug, Serialize)]
pub struct Uploaded {
    #[serde(flatten)]
    pub summary: Summary,
    /// Links and special files.
    pub left_out: Vec<Skipped>,
}

/// The answer of a download.
#[derive(Debug, Serialize)]
pub struct Downloaded {
    #[serde(flatten)]
    pub summary: Summary,
}

/// What both directions tell.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub files: usize,
    pub bytes: u64,
    pub skipped: usize,
    /// What went over the network, without what was there already.
    pub bytes_moved: u64,
    pub seconds: f64,
    pub objects: Vec<Transferred>,
}

impl Summary {
    fn new(mut objects: Vec<Transferred>, seconds: f64) -> Self {
        objects.sort_by(|a, b| a.url.cmp(&b.url));
        Self {
            files: objects.len(),
            bytes: objects.iter().map(|object| object.bytes).sum(),
            skipped: objects
                .iter()
                .filter(|object| object.state == State::Unchanged)
                .count(),
            bytes_moved: objects.iter().map(|object| object.bytes_moved).sum(),
            seconds,
            objects,
        }
    }

    /// `3 files, 12.4 MiB in 1.2 s (10.3 MiB/s), 1 was there already`
    pub fn text(&self) -> String {
        let files = match self.files {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        let mut text = format!(
            "{files}, {} in {:.1} s",
            progress::format_size(self.bytes),
            self.seconds
        );
        match self.skipped {
            0 => {}
            1 => text.push_str(", 1 was there already"),
            n => text.push_str(&format!(", {n} were there already")),
        }
        let resumed = self
            .objects
            .iter()
            .filter(|object| object.state == State::Resumed)
            .map(|object| object.bytes - object.bytes_moved.min(object.bytes))
            .sum::<u64>();
        if resumed > 0 {
            text.push_str(&format!(
                ", {} of an earlier run kept",
                progress::format_size(resumed)
            ));
        }
        let unchecked = self
            .objects
            .iter()
            .filter(|object| object.checksum.is_none())
            .count();
        if unchecked > 0 {
            text.push_str(&format!(
                "; only the size could be checked of {unchecked}: S3 has no checksum of them that can be computed here"
            ));
        }
        text
    }
}

/// Copies a file or folder to S3. A folder's files go below the URL; a file goes below it when it
/// ends in `/` or is a bucket, else it becomes that key.
pub async fn upload(store: &Store, source: &Path, to: &S3Url) -> Result<Uploaded> {
    Upload::plan(source, to)?.run(store).await
}

/// Copies an object, or all below a prefix, from S3.
pub async fn download(store: &Store, from: &S3Url, to: &Path) -> Result<Downloaded> {
    Download::plan(store, from, to).await?.run(store).await
}
