//! Data in S3 for a job on this machine.

use std::fs;
use std::path::Path;

use crate::aws::{Aws, explain};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::job::S3Url;
use crate::output::Format;
use crate::transfer;

/// Downloads a file or all below a prefix into a folder.
pub(super) async fn fetch(url: &S3Url, folder: &Path, context: &Context) -> Result<()> {
    make(folder)?;
    let aws = context.aws().await?;
    transfer::download(&aws, url, folder, progress(context)).await?;
    Ok(())
}

/// The same; a prefix without objects is an empty folder.
pub(super) async fn fetch_if_any(url: &S3Url, folder: &Path, context: &Context) -> Result<()> {
    make(folder)?;
    let aws = context.aws().await?;
    if any(&aws, url).await? {
        transfer::download(&aws, url, folder, progress(context)).await?;
    }
    Ok(())
}

/// Uploads a file to a URL.
pub(super) async fn store(file: &Path, url: &S3Url, context: &Context) -> Result<()> {
    let aws = context.aws().await?;
    transfer::upload(&aws, file, url, progress(context)).await?;
    Ok(())
}

fn progress(context: &Context) -> bool {
    context.format == Format::Text
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", folder.display())))
}

/// Uploads the files of a folder below a URL.
pub(super) async fn store_folder(folder: &Path, url: &S3Url, context: &Context) -> Result<()> {
    let empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return Ok(());
    }
    store(folder, url, context).await
}

async fn any(aws: &Aws, url: &S3Url) -> Result<bool> {
    let listed = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(&url.key)
        .max_keys(1)
        .send()
        .await
        .map_err(|error| explain(&format!("list `{url}`"), error))?;
    Ok(!listed.contents().is_empty())
}
