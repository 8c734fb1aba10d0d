//! Data in S3 of a local job.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::first_error::warn;
use super::scratch::Scratch;
use crate::aws::{Aws, explain};
use crate::cloud::{bucket_is_there, warn_of_siblings};
use crate::context::Context;
use crate::job::S3Url;
use crate::output::{Format, quoted};
use diagnostics::{Error, Result, eprint_line};
use s3::{Download, STALL_TIMEOUT, Store};

/// Downloads the data of a channel into a folder: those that a job on SageMaker would read.
pub(super) async fn download(
    channel: &str,
    url: &S3Url,
    folder: &Path,
    context: &Context,
) -> Result<()> {
    create_folder(folder)?;
    let aws = context.aws().await?;
    let store = transfer(&aws, context);
    let download = Download::plan_s3_prefix(&store, url, folder).await?;
    let keys = download.urls().map(|url| url.key.as_str());
    warn_of_siblings(channel, url, keys);
    download.run(&store).await?;
    Ok(())
}

/// Uploads a file to a URL, or a folder's files below it.
pub(super) async fn upload(file: &Path, url: &S3Url, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    let uploaded = s3::upload(&transfer(&aws, context), file, url).await?;
    for file in &uploaded.skipped_files {
        eprint_line(format!(
            "warning: `{}` is not sent: it is {}",
            file.path, file.why
        ));
    }
    Ok(())
}

/// Fails if the bucket does not exist, so that no job trains for hours without a place for its
/// model.
pub(super) async fn check_bucket(url: &S3Url, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    if !bucket_is_there(&aws, &url.bucket, "--output").await? {
        // Credentials without ListBucket may have PutObject.
        eprint_line(format!(
            "not checked: these credentials may not list the bucket `{}` (s3:ListBucket)",
            url.bucket
        ));
    }
    Ok(())
}

fn transfer(aws: &Aws, context: &Context) -> Store {
    aws.store(STALL_TIMEOUT, context.format == Format::Text)
}

fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::new(format!("cannot make `{}`: {error}", folder.display()))
            .help("set TMPDIR to a folder with space")
    })
}

const CHECKPOINTS: &str = "checkpoints";

/// A folder on this machine that is copied to a prefix in S3.
#[derive(Debug)]
pub(super) struct CheckpointMirror {
    scratch: Scratch,
    /// Subfolder of the scratch, whose own files are not checkpoints.
    folder: PathBuf,
    url: S3Url,
    /// Names of the files that both had after the last copy.
    synced: RefCell<BTreeSet<String>>,
}

impl CheckpointMirror {
    /// Downloads the checkpoints, if there are any.
    pub(super) async fn download(url: &S3Url, context: &Context) -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().join(CHECKPOINTS);
        create_folder(&folder)?;
        let aws = context.aws().await?;
        if has_objects(&aws, url).await? {
            s3::download(&transfer(&aws, context), &url.join(""), &folder).await?;
        }
        let synced = RefCell::new(names(&folder)?);
        Ok(Self {
            scratch,
            folder,
            url: url.clone(),
            synced,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Uploads the files, and deletes in S3 those that were deleted on this machine. Other objects
    /// stay.
    pub(super) async fn upload(&self, context: &Context) -> Result<()> {
        let url = &self.url;
        let now = names(self.folder())?;
        if !now.is_empty() {
            eprint_line(format!("uploading the checkpoints to {url}"));
            upload(self.folder(), url, context).await?;
        }
        let mut synced = now.clone();
        let deleted: Vec<_> = self.synced.borrow().difference(&now).cloned().collect();
        if !deleted.is_empty() {
            // Best effort: the new checkpoints are uploaded, old ones only waste space.
            if let Err(error) = delete(url, &deleted, context).await {
                warn(error);
                // Tried again next time; deleting an absent object is not an error in S3.
                synced.extend(deleted);
            }
        }
        self.synced.replace(synced);
        Ok(())
    }

    /// Keeps the folder if it has files, and returns a help line about it.
    pub(super) fn keep(&mut self, complete: bool, context: &Context) -> Option<String> {
        let url = &self.url;
        if !complete {
            return Some(format!("the checkpoints were not uploaded to `{url}`"));
        }
        if names(&self.folder).is_ok_and(|names| names.is_empty()) {
            return None;
        }
        self.folder = self.scratch.keep().join(CHECKPOINTS);
        let folder = quoted(&self.folder.to_string_lossy());
        let upload = context.suggest(&format!("upload {folder} {}", quoted(&url.to_string())));
        Some(format!(
            "the checkpoints are kept in `{folder}`: {upload} uploads them"
        ))
    }
}

/// Returns the names of all files, with `/` as in a key.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    fn walk(folder: &Path, below: &str, found: &mut BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), found)?;
            } else {
                found.insert(name);
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    walk(folder, "", &mut found).map_err(|error| {
        let shown = folder.to_string_lossy();
        Error::new(format!("cannot read the checkpoints in `{shown}`: {error}")).help(format!(
            "`ls -lR {}` shows the trainer's files",
            quoted(&shown)
        ))
    })?;
    Ok(found)
}

async fn delete(below: &S3Url, names: &[String], context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    for name in names {
        let url = below.join(name);
        aws.s3()
            .delete_object()
            .bucket(&url.bucket)
            .key(&url.key)
            .send()
            .await
            .map_err(|error| {
                explain(&format!("cannot delete the old checkpoint `{url}`"), error)
            })?;
    }
    Ok(())
}

async fn has_objects(aws: &Aws, url: &S3Url) -> Result<bool> {
    // `kept/` does not match `kept-too`.
    let listed = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(url.join("").key)
        .max_keys(1)
        .send()
        .await
        .map_err(|error| explain(&format!("cannot list `{url}`"), error))?;
    Ok(!listed.contents().is_empty())
}
