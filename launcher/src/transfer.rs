//! Copies to and from S3: one request per file.

use std::path::Path;

use aws_smithy_types::byte_stream::ByteStream;

use crate::aws::{Aws, explain};
use crate::failure::{Failure, Result};
use crate::job::S3Url;

/// Copies a file to an object, or a folder's files below a URL.
pub(crate) async fn upload(aws: &Aws, source: &Path, to: &S3Url, _progress: bool) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read `{}`: {error}", source.display()))
    };
    let mut files = vec![(source.to_owned(), to.clone())];
    while let Some((path, url)) = files.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(|error| failed(&error))? {
                let entry = entry.map_err(|error| failed(&error))?;
                files.push((entry.path(), url.join(&entry.file_name().to_string_lossy())));
            }
            continue;
        }
        let body = ByteStream::from_path(&path)
            .await
            .map_err(|error| failed(&error))?;
        aws.s3()
            .put_object()
            .bucket(&url.bucket)
            .key(&url.key)
            .body(body)
            .send()
            .await
            .map_err(|error| explain(&format!("upload to `{url}`"), error))?;
    }
    Ok(())
}

/// Copies an object, or all below a prefix, into a folder.
pub(crate) async fn download(aws: &Aws, from: &S3Url, to: &Path, _progress: bool) -> Result<()> {
    let s3 = aws.s3();
    let what = format!("download `{from}`");
    let mut pages = s3
        .list_objects_v2()
        .bucket(&from.bucket)
        .prefix(&from.key)
        .into_paginator()
        .send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&what, error))?;
        for key in page.contents().iter().filter_map(|object| object.key()) {
            let below = key.strip_prefix(&from.key).unwrap_or(key);
            let name = match below.trim_start_matches('/') {
                "" => key.rsplit('/').next().unwrap_or(key),
                name => name,
            };
            if name.is_empty() || name.split('/').any(|part| part == "..") {
                continue;
            }
            let target = to.join(name);
            let object = s3
                .get_object()
                .bucket(&from.bucket)
                .key(key)
                .send()
                .await
                .map_err(|error| explain(&what, error))?;
            let bytes = object
                .body
                .collect()
                .await
                .map_err(|error| Failure::new(format!("cannot {what}: {error}")))?;
            let written = target
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&target, bytes.into_bytes()));
            written.map_err(|error| {
                Failure::new(format!("cannot write `{}`: {error}", target.display()))
            })?;
            count += 1;
        }
    }
    if count == 0 {
        return Err(Failure::usage(format!("there is nothing at {from}")));
    }
    Ok(())
}
