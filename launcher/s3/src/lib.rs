//! Transfers files and folders to and from S3: parallel, verified, resumable.
//!
//! All state is in S3 and in the temporary file next to a target, and it is verified by checksum
//! before it is used: an uploaded part counts if its checksum is that of the local bytes, a
//! downloaded range if its bytes have the recorded checksum.

mod body;
mod checksum;
mod client;
mod download;
mod listing;
mod local_files;
mod model;
mod multipart;
mod object_download;
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

pub use client::{ErrorContext, Store};
pub use download::Download;
pub use local_files::{escaping_links, stays_inside};
pub use model::{ModelDownload, UnpackOptions};
pub use unfinished::UnfinishedUploads;
pub use unpack::unpack_model;
pub use upload::Upload;
pub use url::S3Url;

/// Settings of a transfer.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A request is retried after this time without a byte.
    pub stall: Duration,
    /// Shows progress on standard error: a bar on a terminal, else lines.
    pub progress: bool,
    /// Attempts per request; none for the default, which survives an outage of 20 seconds.
    pub attempts: Option<u32>,
}

/// Default of [`Settings::stall`], the same as the AWS CLI's.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of concurrent requests. More do not help on one network link, and each holds
/// buffers.
const MAX_PARALLEL: usize = 8;

/// Steps of a dry run: a description, and the request that would be sent.
pub type DryRun = Vec<(String, Option<serde_json::Value>)>;

/// Result for one file.
#[derive(Debug, Clone, Serialize)]
pub struct Transferred {
    /// Local path.
    pub path: String,
    /// S3 URL.
    pub url: String,
    /// Size of the file.
    pub bytes: u64,
    /// Bytes sent or received in this run.
    pub bytes_moved: u64,
    /// Kind of the transfer.
    pub state: TransferState,
    /// Checksum that was verified, such as `crc32:AAAAAA==`; absent if S3 has none that can be
    /// computed here, then only the size was compared.
    pub checksum: Option<String>,
}

/// Kind of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferState {
    /// Completely in this run.
    Transferred,
    /// Partly in an earlier run.
    Resumed,
    /// The target has the same size and checksum.
    Unchanged,
}

/// A local file that was not sent, and the reason.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// Local path.
    pub path: String,
    /// Reason.
    pub why: String,
}

impl Skipped {
    /// Returns an error if files were skipped: a job must not start with a part of its data.
    pub fn refuse(all: &[Self], channel: &str, given: &str) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        Err(Error::usage(format!(
            "channel `{channel}`: not all of `{given}` can be sent:{}",
            Self::lines(all)
        ))
        .help(SKIPPED_HELP))
    }

    /// Returns one line per file, to go below a message.
    pub fn lines(all: &[Self]) -> String {
        let line = |file: &Self| format!("\n    `{}` is {}", file.path, file.why);
        all.iter().map(line).collect()
    }
}

/// Help for skipped files.
pub const SKIPPED_HELP: &str =
    "replace links by copies of their targets: `cp -rL FOLDER OTHER`, or remove them";

/// Result of an upload.
#[derive(Debug, Serialize)]
pub struct Uploaded {
    /// Totals.
    #[serde(flatten)]
    pub summary: Summary,
    /// Links and special files.
    pub skipped_files: Vec<Skipped>,
}

/// Totals of a transfer.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Number of files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Files that were already up to date.
    pub unchanged: usize,
    /// Bytes sent or received in this run.
    pub bytes_moved: u64,
    /// Duration.
    pub seconds: f64,
    /// Each file.
    pub objects: Vec<Transferred>,
}

impl Summary {
    fn new(mut objects: Vec<Transferred>, seconds: f64) -> Self {
        objects.sort_by(|a, b| a.url.cmp(&b.url));
        Self {
            files: objects.len(),
            bytes: objects.iter().map(|object| object.bytes).sum(),
            unchanged: objects
                .iter()
                .filter(|object| object.state == TransferState::Unchanged)
                .count(),
            bytes_moved: objects.iter().map(|object| object.bytes_moved).sum(),
            seconds,
            objects,
        }
    }

    /// `2 files, 12.4 MiB in 1.2 s, 1 already up to date`: counts what was sent or received.
    pub fn text(&self) -> String {
        let files = match self.files - self.unchanged {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        let sent = |object: &Transferred| object.bytes_moved.min(object.bytes);
        let mut text = format!(
            "{files}, {} in {:.1} s",
            progress::format_size(self.objects.iter().map(sent).sum()),
            self.seconds
        );
        match self.unchanged {
            0 => {}
            n => text.push_str(&format!(", {n} already up to date")),
        }
        let resumed = self
            .objects
            .iter()
            .filter(|object| object.state == TransferState::Resumed)
            .map(|object| object.bytes - object.bytes_moved.min(object.bytes))
            .sum::<u64>();
        if resumed > 0 {
            text.push_str(&format!(
                ", {} kept from an earlier run",
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
                "; {unchecked} checked by size only: S3 has no checksum of them that can be computed here"
            ));
        }
        text
    }
}

/// Copies a file or folder to S3. The files of a folder get keys below the URL. A single file gets
/// the key, or one below it if the URL ends in `/` or is a bucket.
pub async fn upload(store: &Store, source: &Path, to: &S3Url) -> Result<Uploaded> {
    Upload::plan(source, to)?.run(store).await
}

/// Copies an object, or all objects below a prefix, from S3.
pub async fn download(store: &Store, from: &S3Url, to: &Path) -> Result<Summary> {
    Download::plan(store, from, to).await?.run(store).await
}
