//! `upload`: plans and runs an upload.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ChecksumAlgorithm;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::body::FileBody;
use crate::checksum::{StoredChecksum, crc32_text, headers};
use crate::client::Store;
use crate::local_files::{LocalFile, SourceTree, display, walk};
use crate::open_file::{OpenFile, unreadable};
use crate::parts::{PART, Part, part_size, split};
use crate::progress::{Progress, format_size};
use crate::request::RequestError;
use crate::task_pool::{TaskPool, acquire};
use crate::url::S3Url;
use crate::{DryRun, MAX_PARALLEL, Skipped, Summary, TransferState, Transferred, Uploaded};
use diagnostics::{Error, Result, eprint_line};

/// An upload, planned from local files only.
#[derive(Debug)]
pub struct Upload {
    /// URL above all files; for a single file, its own URL.
    pub(crate) top: S3Url,
    files: Vec<(LocalFile, S3Url)>,
    skipped_files: Vec<Skipped>,
    folder: bool,
}

/// S3's limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const MAX_KEY_BYTES: usize = 1024;

/// Up to this many files, each object is requested by itself, since the bucket may have millions of
/// others. For more files, a listing is read that is at most this many times longer.
const LISTING_THRESHOLD: usize = 100;

impl Upload {
    /// Reads the source and assigns keys.
    pub fn plan(source: &Path, to: &S3Url) -> Result<Self> {
        let SourceTree {
            folder,
            files,
            skipped_files,
        } = walk(source)?;
        let below = folder || to.key.is_empty() || to.key.ends_with('/');
        let files: Vec<_> = files
            .into_iter()
            .map(|local| {
                let url = if below {
                    to.join(&local.key)
                } else {
                    to.clone()
                };
                (local, url)
            })
            .collect();
        if let Some((local, url)) = files.iter().find(|(_, url)| url.key.len() > MAX_KEY_BYTES) {
            return Err(Error::usage(format!(
                "`{}`: its key has {} bytes, S3 takes at most {MAX_KEY_BYTES}",
                display(&local.path),
                url.key.len()
            ))
            .help("upload it below a shorter key, or rename it"));
        }
        let top = match files.as_slice() {
            [(_, url)] if !folder => url.clone(),
            _ => to.clone(),
        };
        Ok(Self {
            top,
            files,
            skipped_files,
            folder,
        })
    }

    /// Returns the keys of the files.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(_, url)| url.key.as_str())
    }

    /// Returns the number of files.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Returns the files that are skipped.
    pub fn skipped_files(&self) -> &[Skipped] {
        &self.skipped_files
    }

    /// Returns the requests without sending them. `s3` records requests; `take_request` returns the
    /// last one.
    pub async fn dry_run(&self, s3: &Client, take_request: impl Fn() -> Option<Value>) -> DryRun {
        let mut plan = DryRun::new();
        for (local, url) in &self.files {
            let (operation, how) = if local.size <= PART {
                let request = s3.put_object().bucket(&url.bucket).key(&url.key);
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let _ = request.send().await;
                ("PutObject", "PutObject".to_owned())
            } else {
                let request = s3.create_multipart_upload().bucket(&url.bucket);
                let request = request.key(&url.key);
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let _ = request.send().await;
                let how = format!(
                    "CreateMultipartUpload, {} UploadPart of {}, CompleteMultipartUpload",
                    split(local.size).len(),
                    format_size(part_size(local.size))
                );
                ("CreateMultipartUpload", how)
            };
            let (file, size) = (display(&local.path), format_size(local.size));
            let what = format!("send `{file}` ({size}) to `{url}`: {how}");
            let request = take_request().map(|mut request| {
                request["file"] = file.into();
                request["bytes"] = local.size.into();
                request["key"] = url.key.clone().into();
                // S3 requests have no operation name.
                request["operation"] = operation.into();
                request
            });
            plan.push((what, request));
        }
        if self.files.is_empty() {
            plan.push(("upload nothing: no files".to_owned(), None));
        }
        plan
    }

    /// Sends the files that S3 does not have yet.
    pub async fn run(self, store: &Store) -> Result<Uploaded> {
        let started = Instant::now();
        let existing = self.present(store).await?;
        let total = self.files.iter().map(|(local, _)| local.size).sum();
        let progress = Progress::new("sent", total, store.settings.progress);
        // Limits open files; requests have their own limit.
        let mut pool = TaskPool::new(Arc::new(Semaphore::new(MAX_PARALLEL)));
        for (local, url) in self.files {
            let existing = existing
                .as_ref()
                .map(|existing| existing.get(&url.key).copied().unwrap_or(u64::MAX));
            let (store, progress) = (store.clone(), progress.clone());
            pool.start(async move { store.send_file(&local, &url, existing, &progress).await })
                .await?;
        }
        let objects = pool.finish().await?;
        progress.finish();
        Ok(Uploaded {
            summary: Summary::new(objects, started.elapsed().as_secs_f64()),
            skipped_files: self.skipped_files,
        })
    }

    /// Returns the sizes of the existing objects; none if each must be requested.
    async fn present(&self, store: &Store) -> Result<Option<HashMap<String, u64>>> {
        if !self.folder {
            let found = store.find(&self.top).await;
            return match found {
                Ok(head) => Ok(Some(
                    head.and_then(|head| u64::try_from(head.content_length()?).ok())
                        .map(|size| (self.top.key.clone(), size))
                        .into_iter()
                        .collect(),
                )),
                // Write permission does not imply read permission.
                Err(error) if error.status == 403 => Ok(Some(HashMap::new())),
                Err(error) => Err(error.into()),
            };
        }
        if self.files.len() <= LISTING_THRESHOLD {
            return Ok(None);
        }
        let below = self.top.join("");
        match store
            .list_up_to(&below, self.files.len() * LISTING_THRESHOLD)
            .await
        {
            Ok(found) => Ok(found.map(|found| {
                let sizes = found.into_iter().map(|object| (object.key, object.size));
                sizes.collect()
            })),
            Err(error) if error.code == "AccessDenied" => {
                eprint_line(format!(
                    "note: `{below}` cannot be listed (access denied): every file is sent"
                ));
                Ok(Some(HashMap::new()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    async fn send_file(
        &self,
        local: &LocalFile,
        to: &S3Url,
        existing: Option<u64>,
        progress: &Progress,
    ) -> Result<Transferred> {
        let file = OpenFile::new(local)?;
        let moved = |bytes_moved, state, checksum| Transferred {
            path: display(&local.path),
            url: to.to_string(),
            bytes: file.size,
            bytes_moved,
            state,
            checksum: Some(checksum),
        };
        if existing.is_none_or(|existing| existing == file.size)
            && let Some(checksum) = self.matching_checksum(&file, to).await?
        {
            progress.add(file.size);
            return Ok(moved(0, TransferState::Unchanged, checksum));
        }
        if file.size <= PART {
            let crc32 = self.put(&file, to, progress).await?;
            return Ok(moved(
                file.size,
                TransferState::Transferred,
                format!("crc32:{crc32}"),
            ));
        }
        let sent = self.send_parts(&file, to, progress).await?;
        let state = if sent.bytes < file.size {
            TransferState::Resumed
        } else {
            TransferState::Transferred
        };
        Ok(moved(sent.bytes, state, format!("crc32:{}", sent.crc32)))
    }

    /// Returns the checksum of the object if it equals the file's.
    async fn matching_checksum(&self, file: &OpenFile, to: &S3Url) -> Result<Option<String>> {
        let Ok(head) = self.head(to).await else {
            // An upload does not need this response.
            return Ok(None);
        };
        if head.content_length() != Some(file.size.cast_signed()) {
            return Ok(None);
        }
        let Some(stored) = StoredChecksum::of(&headers!(head)) else {
            return Ok(None);
        };
        let same = self.matches(to, &stored, &file.file, file.size).await?;
        let same = same.map_err(|error| unreadable(&file.path, &error))?;
        Ok((same == Some(true)).then(|| stored.text()))
    }

    async fn put(&self, file: &OpenFile, to: &S3Url, progress: &Progress) -> Result<String> {
        let _permit = acquire(&self.permits).await?;
        let part = Part::whole(file.size);
        let sums = file.sums(part, false).await?;
        let crc32 = crc32_text(&sums.crc);
        let what = format!("send `{}` to `{to}`", display(&file.path));
        let sent = self.send(&what, |idle| async {
            file.check().map_err(RequestError::permanent)?;
            let attempt = progress.attempt();
            let body = FileBody::stream(Arc::clone(&file.file), part, idle, attempt.clone());
            let sent = self
                .s3
                .put_object()
                .bucket(&to.bucket)
                .key(&to.key)
                .content_length(file.size.cast_signed())
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .checksum_crc32(&crc32)
                .body(body)
                .send()
                .await;
            sent.map_err(|error| file.request_error(self, &what, error))?;
            attempt.commit();
            Ok(())
        });
        sent.await?;
        file.check()?;
        Ok(crc32)
    }
}
