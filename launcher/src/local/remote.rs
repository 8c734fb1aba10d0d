//! Data in S3 for a job on this machine.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::Scratch;
use super::trouble::warn;
use crate::aws::{Aws, explain};
use crate::cloud::bucket_is_there;
use crate::commands::Context;
use crate::job::S3Url;
use crate::output::{Format, quoted};
use crate::transfer;
use diagnostics::{Error, Result, eprint_line};
use s3::{STALL_TIMEOUT, Settings, Store};

/// Downloads a file or all below a prefix into a folder.
pub(super) async fn fetch(url: &S3Url, folder: &Path, context: &Context) -> Result<()> {
    make(folder)?;
    let aws = context.aws().await?;
    s3::download(&transfer(&aws, context), url, folder).await?;
    Ok(())
}

/// The same; a prefix without objects is an empty folder.
async fn fetch_if_any(url: &S3Url, folder: &Path, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    if any(&aws, url).await? {
        s3::download(&transfer(&aws, context), url, folder).await?;
    }
    Ok(())
}

/// Uploads a file to a URL, or a folder's files below it.
pub(super) async fn store(file: &Path, url: &S3Url, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    let uploaded = s3::upload(&transfer(&aws, context), file, url).await?;
    for left in &uploaded.left_out {
        eprint_line(format!(
            "warning: `{}` is not sent: it is {}",
            left.path, left.why
        ));
    }
    Ok(())
}

/// Whether there is such a bucket: known before the training, for it may take hours.
pub(super) async fn bucket(url: &S3Url, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    if !bucket_is_there(&aws, &url.bucket, "--output").await? {
        // Who may not list may still be allowed to put.
        eprint_line(format!(
            "not checked: these credentials may not look at the bucket `{}` (s3:ListBucket)",
            url.bucket
        ));
    }
    Ok(())
}

fn transfer(aws: &Aws, context: &Context) -> Store {
    let settings = Settings {
        stall: STALL_TIMEOUT,
        progress: context.format == Format::Text,
    };
    transfer::store(aws, settings)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::new(format!("cannot make `{}`: {error}", folder.display()))
            .help("set TMPDIR to a folder with space")
    })
}

const CHECKPOINTS: &str = "checkpoints";

/// A folder here that a prefix in S3 follows.
#[derive(Debug)]
pub(super) struct Mirror {
    scratch: Scratch,
    /// In the scratch and not the scratch itself, whose own files are no checkpoints.
    folder: PathBuf,
    url: S3Url,
    /// What both had when one was last made as the other is.
    known: RefCell<BTreeSet<String>>,
}

impl Mirror {
    /// Downloads what there is.
    pub(super) async fn fetch(url: &S3Url, context: &Context) -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().join(CHECKPOINTS);
        make(&folder)?;
        fetch_if_any(url, &folder, context).await?;
        let known = RefCell::new(names(&folder)?);
        Ok(Self {
            scratch,
            folder,
            url: url.clone(),
            known,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Uploads what is new, and deletes in S3 what was deleted here. Objects that were never here stay.
    pub(super) async fn send(&self, context: &Context) -> Result<()> {
        let url = &self.url;
        let now = names(self.folder())?;
        if !now.is_empty() {
            eprint_line(format!("uploading the checkpoints to {url}"));
            store(self.folder(), url, context).await?;
        }
        let mut known = now.clone();
        let gone: Vec<_> = self.known.borrow().difference(&now).cloned().collect();
        if !gone.is_empty() {
            // The new ones are there: old ones too many are no reason to fail.
            if let Err(failure) = delete(url, &gone, context).await {
                warn(failure);
                // The next time they are deleted, or found to be gone, which is no error to S3.
                known.extend(gone);
            }
        }
        self.known.replace(known);
        Ok(())
    }

    /// Leaves the folder, if it is worth it, and tells what to do with it.
    pub(super) fn keep(&mut self, whole: bool, context: &Context) -> Option<String> {
        let url = &self.url;
        if !whole {
            return Some(format!("the checkpoints have not been sent to `{url}`"));
        }
        if names(&self.folder).is_ok_and(|names| names.is_empty()) {
            return None;
        }
        self.folder = self.scratch.keep().join(CHECKPOINTS);
        let folder = quoted(&self.folder.to_string_lossy());
        let next = context.next(&format!("upload {folder} {}", quoted(&url.to_string())));
        Some(format!(
            "the checkpoints are kept in `{folder}`: {next} sends them"
        ))
    }
}

/// All that is no folder, with `/` as in a key.
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
            "`ls -lR {}` shows what the trainer has left",
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

async fn any(aws: &Aws, url: &S3Url) -> Result<bool> {
    // `kept/`, so that `kept-too` is another folder.
    let below = match url.key.trim_end_matches('/') {
        "" => String::new(),
        key => format!("{key}/"),
    };
    let listed = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(below)
        .max_keys(1)
        .send()
        .await
        .map_err(|error| explain(&format!("cannot list `{url}`"), error))?;
    Ok(!listed.contents().is_empty())
}
