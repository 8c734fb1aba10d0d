//! Downloads one object into one file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use crate::checksum::{Hasher, PartChecksums, StoredChecksum, headers};
use crate::client::Store;
use crate::listing::Object;
use crate::local_files::display;
use crate::partial::{ObjectVersion, Partial};
use crate::parts::{PART, Part, split};
use crate::progress::{AttemptBytes, Progress};
use crate::request::{IdleTimer, RequestError};
use crate::task_pool::{TaskPool, acquire, blocking};
use crate::url::S3Url;
use crate::{TransferState, Transferred};
use diagnostics::{Error, Result};

/// One object and its target.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) object: Object,
    pub(crate) url: S3Url,
    pub(crate) target: PathBuf,
}

impl Item {
    fn identity(&self) -> ObjectVersion {
        ObjectVersion {
            url: self.url.to_string(),
            etag: self.object.etag.clone(),
            size: self.object.size,
        }
    }

    fn transferred(
        &self,
        bytes_moved: u64,
        state: TransferState,
        checksum: Option<&StoredChecksum>,
    ) -> Transferred {
        Transferred {
            path: display(&self.target),
            url: self.url.to_string(),
            bytes: self.object.size,
            bytes_moved,
            state,
            checksum: checksum.map(StoredChecksum::text),
        }
    }

    fn checksum_mismatch(&self) -> Error {
        Error::new(format!(
            "`{}`: the downloaded bytes do not match S3's checksum",
            self.url
        ))
        .help("no file was written; run the same command again")
    }
}

impl Store {
    /// Downloads an object, unless the target already has it.
    pub(crate) async fn download_object(
        &self,
        item: Item,
        progress: &Progress,
    ) -> Result<Transferred> {
        if let Some(stored) = self.unchanged(&item).await? {
            progress.add(item.object.size);
            return Ok(item.transferred(0, TransferState::Unchanged, Some(&stored)));
        }
        if item.object.size <= PART {
            self.download_small(item, progress).await
        } else {
            self.download_large(item, progress).await
        }
    }

    /// Returns the object's checksum if the target already has it.
    async fn unchanged(&self, item: &Item) -> Result<Option<StoredChecksum>> {
        let existing = std::fs::symlink_metadata(&item.target);
        if !existing.is_ok_and(|meta| meta.is_file() && meta.len() == item.object.size) {
            return Ok(None);
        }
        let head = self.head(&item.url).await?;
        if head.e_tag() != Some(&item.object.etag) {
            return Ok(None);
        }
        let Some(stored) = StoredChecksum::of(&headers!(head)) else {
            return Ok(None);
        };
        let Ok(file) = File::open(&item.target) else {
            return Ok(None);
        };
        let same = self
            .matches(&item.url, &stored, &Arc::new(file), item.object.size)
            .await?;
        Ok(matches!(same, Ok(Some(true))).then_some(stored))
    }

    /// Downloads a small object in one request and checks it on the way.
    async fn download_small(&self, item: Item, progress: &Progress) -> Result<Transferred> {
        let permit = acquire(&self.permits).await?;
        let partial = Arc::new(Partial::open(&item.target, &item.identity())?);
        let (item, partial) = (&item, &partial);
        let what = &format!("download `{}`", item.url);
        let got = self
            .send(what, |idle| async move {
                let attempt = progress.attempt();
                let response = self.get(what, item, None).await?;
                let stored = StoredChecksum::of(&headers!(response));
                let hashers = stored.iter().filter(|stored| !stored.needs_parts());
                let mut hasher = hashers.map(|stored| Hasher::new(stored.algorithm)).next();
                let part = Part::whole(item.object.size);
                receive(what, response, part, partial, (&idle, &attempt), |bytes| {
                    if let Some(hasher) = &mut hasher {
                        hasher.update(bytes);
                    }
                })
                .await?;
                if let (Some(stored), Some(hasher)) = (&stored, hasher)
                    && !stored.matches_whole(&hasher.finish())
                {
                    return Err(RequestError::transient(item.checksum_mismatch()));
                }
                attempt.commit();
                Ok(stored)
            })
            .await;
        drop(permit);
        let checked = match got {
            Ok(Some(stored)) if stored.needs_parts() => {
                self.check_by_reading(item, partial, stored).await
            }
            Ok(stored) => Ok(stored),
            Err(error) => Err(error.into()),
        };
        match checked {
            Ok(stored) => {
                finish(partial).await?;
                Ok(item.transferred(
                    item.object.size,
                    TransferState::Transferred,
                    stored.as_ref(),
                ))
            }
            Err(error) => {
                // Too small to be worth keeping.
                partial.discard();
                Err(error)
            }
        }
    }

    /// Downloads ranges in parallel; those of an earlier run are kept.
    async fn download_large(&self, item: Item, progress: &Progress) -> Result<Transferred> {
        let head = self.head(&item.url).await?;
        if head.e_tag() != Some(&item.object.etag) {
            return Err(changed(&item.url));
        }
        let stored = StoredChecksum::of(&headers!(head));
        let (target, identity) = (item.target.clone(), item.identity());
        let opened = blocking(move || {
            let mut partial = Partial::open(&target, &identity)?;
            let kept = partial.resume(&identity)?;
            Ok::<_, Error>((partial, kept))
        });
        let (partial, mut ranges) = opened.await??;
        let kept: u64 = ranges.iter().map(|(part, _)| part.size).sum();
        progress.add(kept);
        let partial = Arc::new(partial);
        self.download_ranges(&item, &partial, &mut ranges, progress)
            .await?;
        let stored = match stored {
            Some(stored) if !stored.needs_parts() && is_crc32(&stored) => {
                ranges.sort_by_key(|(part, _)| part.number);
                let mut whole = crc32fast::Hasher::new();
                ranges.iter().for_each(|(_, sums)| whole.combine(&sums.crc));
                let same = stored.matches_whole(&whole.finalize().to_be_bytes());
                same.then_some(Some(stored))
                    .ok_or_else(|| item.checksum_mismatch())
            }
            Some(stored) => self.check_by_reading(&item, &partial, stored).await,
            None => Ok(None),
        };
        // Wrong ranges must not be kept for the next run.
        let stored = stored.inspect_err(|_| partial.discard())?;
        finish(&partial).await?;
        let state = if kept > 0 {
            TransferState::Resumed
        } else {
            TransferState::Transferred
        };
        Ok(item.transferred(item.object.size - kept, state, stored.as_ref()))
    }

    async fn download_ranges(
        &self,
        item: &Item,
        partial: &Arc<Partial>,
        ranges: &mut Vec<(Part, PartChecksums)>,
        progress: &Progress,
    ) -> Result<()> {
        let kept: std::collections::HashSet<u32> =
            ranges.iter().map(|(part, _)| part.number).collect();
        let mut pool = TaskPool::new(Arc::clone(&self.permits));
        for part in split(item.object.size) {
            if kept.contains(&part.number) {
                continue;
            }
            let (store, item, partial, progress) = (
                self.clone(),
                item.clone(),
                Arc::clone(partial),
                progress.clone(),
            );
            pool.start(async move {
                let sums = store
                    .download_range(&item, part, &partial, &progress)
                    .await?;
                Ok((part, sums))
            })
            .await?;
        }
        ranges.extend(pool.finish().await?);
        Ok(())
    }

    async fn download_range(
        &self,
        item: &Item,
        part: Part,
        partial: &Arc<Partial>,
        progress: &Progress,
    ) -> Result<PartChecksums> {
        let what = &format!("download `{}`", item.url);
        let sums = self.send(what, |idle| async move {
            let attempt = progress.attempt();
            let response = self.get(what, item, Some(part)).await?;
            let mut crc = crc32fast::Hasher::new();
            receive(what, response, part, partial, (&idle, &attempt), |bytes| {
                crc.update(bytes)
            })
            .await?;
            attempt.commit();
            Ok(PartChecksums { crc, md5: None })
        });
        match sums.await {
            Ok(sums) => {
                partial.record(part, &sums);
                Ok(sums)
            }
            // The bytes belong to an older version.
            Err(error) if error.status == 412 => {
                partial.discard();
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn get(
        &self,
        what: &str,
        item: &Item,
        part: Option<Part>,
    ) -> Result<GetObjectOutput, RequestError> {
        let request = self
            .s3
            .get_object()
            .bucket(&item.url.bucket)
            .key(&item.url.key)
            .if_match(&item.object.etag);
        let request = match part {
            Some(part) => request
                .range(format!(
                    "bytes={}-{}",
                    part.offset,
                    part.offset + part.size - 1
                ))
                .customize(),
            // Setting the header directly stops the SDK from computing the checksum a second time.
            None => request.customize().mutate_request(|request| {
                request
                    .headers_mut()
                    .insert("x-amz-checksum-mode", "ENABLED");
            }),
        };
        request.send().await.map_err(|error| {
            let mut error = self.failed(what, error);
            if error.status == 412 {
                error.error = changed(&item.url);
            }
            error
        })
    }

    /// Reads the file to check checksums other than one CRC32 over all bytes.
    async fn check_by_reading(
        &self,
        item: &Item,
        partial: &Arc<Partial>,
        stored: StoredChecksum,
    ) -> Result<Option<StoredChecksum>> {
        let same = self
            .matches(&item.url, &stored, &partial.file, item.object.size)
            .await?;
        match same {
            Ok(Some(true)) => Ok(Some(stored)),
            Ok(Some(false)) => Err(item.checksum_mismatch()),
            Ok(None) => Ok(None),
            Err(error) => Err(Error::new(format!(
                "cannot read `{}` back: {error}",
                display(&item.target)
            ))
            .help("check the disk, then run the same command again")),
        }
    }
}

/// Writes the body of a response to its range, which it must fill exactly.
async fn receive(
    what: &str,
    response: GetObjectOutput,
    part: Part,
    partial: &Partial,
    (idle, attempt): (&IdleTimer, &AttemptBytes),
    mut seen: impl FnMut(&[u8]),
) -> Result<(), RequestError> {
    let help = "the downloaded bytes are kept: run the same command again to resume";
    let mut body = response.body;
    let mut at = part.offset;
    let end = part.offset + part.size;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| {
            let why = diagnostics::chain(&error);
            RequestError::transient(Error::new(format!("cannot {what}: {why}")).help(help))
        })?;
        if bytes.len() as u64 > end - at {
            let error = Error::new(format!(
                "cannot {what}: the response has more bytes than requested"
            ));
            return Err(RequestError::transient(error.help(
                "check `--endpoint-url` and AWS_ENDPOINT_URL: is it S3, or a proxy?",
            )));
        }
        seen(&bytes);
        partial.write(&bytes, at).map_err(RequestError::permanent)?;
        at += bytes.len() as u64;
        idle.reset();
        attempt.add(bytes.len() as u64);
    }
    if at < end {
        let error = Error::new(format!(
            "cannot {what}: the response ended {} bytes early",
            end - at
        ));
        return Err(RequestError::transient(error.help(help)));
    }
    Ok(())
}

/// Moves the file to its target on a thread that may block.
async fn finish(partial: &Arc<Partial>) -> Result<()> {
    let partial = Arc::clone(partial);
    blocking(move || partial.finish()).await?
}

fn is_crc32(stored: &StoredChecksum) -> bool {
    matches!(Hasher::new(stored.algorithm), Hasher::Crc32(_))
}

fn changed(url: &S3Url) -> Error {
    Error::new(format!("`{url}` changed while it was downloaded"))
        .help("no file was written; run the same command again for the new version")
}
