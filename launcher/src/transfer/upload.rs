//! `upload`: what goes where, and sending it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::sync::Semaphore;

use super::body::FileBody;
use super::checksum::{PartSums, Stored, crc32_text, headers};
use super::client::Store;
use super::crew::{Crew, joined};
use super::parts::{PART, Part, cut, part_size};
use super::progress::{Progress, size as human};
use super::retry::Trouble;
use super::walk::{Local, Source, Stamp, display, walk};
use super::{LeftOut, Moved, PARALLEL, State, Sum, Uploaded};
use crate::aws::Aws;
use crate::job::S3Url;
use crate::plan::Plan;
use diagnostics::{Error, Result, eprint_line};

/// An upload, planned from the local side alone.
#[derive(Debug)]
pub(crate) struct Sending {
    /// The URL that the files are below; of a single file its own.
    top: S3Url,
    files: Vec<(Local, S3Url)>,
    left_out: Vec<LeftOut>,
    folder: bool,
}

/// S3's limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const LONGEST_KEY: usize = 1024;

/// Of so few files each is asked for by itself: the bucket may hold millions of others. Of more, a listing is read that is
/// at most so many times longer than the list of files.
const FEW: usize = 100;

impl Sending {
    /// Walks the source and names each file's object.
    pub(crate) fn plan(source: &Path, to: &S3Url) -> Result<Self> {
        let Source {
            folder,
            files,
            left_out,
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
        if let Some((local, url)) = files.iter().find(|(_, url)| url.key.len() > LONGEST_KEY) {
            return Err(Error::usage(format!(
                "`{}`: its key has {} bytes, S3 takes at most {LONGEST_KEY}",
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
            left_out,
            folder,
        })
    }

    /// The keys that the files go to.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(_, url)| url.key.as_str())
    }

    pub(super) fn top(&self) -> &S3Url {
        &self.top
    }

    pub(super) fn into_top(self) -> S3Url {
        self.top
    }

    /// How many files it is.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// What will not be sent.
    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// What would be sent, without asking S3 what it has.
    pub(crate) async fn rehearse(&self, aws: &Aws) -> Plan {
        let (aws, recorder) = aws.dry_run();
        let s3 = aws.s3();
        let mut plan = Plan::default();
        for (local, url) in &self.files {
            let what = |how: String| {
                format!(
                    "send `{}` ({}) to `{url}`: {how}",
                    display(&local.path),
                    human(local.size)
                )
            };
            let what = if local.size <= PART {
                let request = s3.put_object().bucket(&url.bucket).key(&url.key);
                let _ = request
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .send()
                    .await;
                what("PutObject".to_owned())
            } else {
                let request = s3
                    .create_multipart_upload()
                    .bucket(&url.bucket)
                    .key(&url.key);
                let _ = request
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .send()
                    .await;
                what(format!(
                    "CreateMultipartUpload, {} UploadPart of {}, CompleteMultipartUpload",
                    cut(local.size).len(),
                    human(part_size(local.size))
                ))
            };
            match recorder.take() {
                Some(mut request) => {
                    request["file"] = display(&local.path).into();
                    request["bytes"] = local.size.into();
                    request["key"] = url.key.clone().into();
                    // The SDK has no other name for it in a request.
                    request["operation"] = match local.size <= PART {
                        true => "PutObject".into(),
                        false => "CreateMultipartUpload".into(),
                    };
                    plan.request(what, request);
                }
                None => plan.step(what),
            }
        }
        if self.files.is_empty() {
            plan.step("send nothing: there is no file");
        }
        plan
    }

    /// Sends what S3 does not have yet.
    pub(crate) async fn run(self, store: &Store) -> Result<Uploaded> {
        let started = Instant::now();
        let there = self.present(store).await?;
        let total = self.files.iter().map(|(local, _)| local.size).sum();
        let progress = Progress::new("sent", total, store.settings.progress);
        // Beside the slots of the requests: an open file costs a descriptor and little else.
        let mut crew = Crew::new(Arc::new(Semaphore::new(PARALLEL)));
        for (local, url) in self.files {
            let place = crew.place().await?;
            let there = there
                .as_ref()
                .map(|there| there.get(&url.key).copied().unwrap_or(u64::MAX));
            let (store, progress) = (store.clone(), progress.clone());
            crew.start(place, async move {
                store.send_file(&local, &url, there, &progress).await
            })?;
        }
        let objects = crew.finish().await?;
        progress.finish();
        Ok(Uploaded {
            sum: Sum::new(objects, started.elapsed().as_secs_f64()),
            left_out: self.left_out,
        })
    }

    /// The sizes of the objects that are there already; nothing if each is to be asked for.
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
                // Who may write need not be allowed to read.
                Err(trouble) if trouble.status == 403 => Ok(Some(HashMap::new())),
                Err(trouble) => Err(trouble.failure),
            };
        }
        if self.files.len() <= FEW {
            return Ok(None);
        }
        let below = self.top.join("");
        match store.list_up_to(&below, self.files.len() * FEW).await {
            Ok(found) => Ok(found.map(|found| {
                let sizes = found.into_iter().map(|object| (object.key, object.size));
                sizes.collect()
            })),
            Err(trouble) if trouble.code == "AccessDenied" => {
                eprint_line(format!(
                    "note: `{below}` cannot be listed (access denied): every file is sent"
                ));
                Ok(Some(HashMap::new()))
            }
            Err(trouble) => Err(trouble.failure),
        }
    }
}

/// A local file, open.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) path: Arc<PathBuf>,
    pub(super) file: Arc<File>,
    pub(super) size: u64,
    stamp: Stamp,
}

impl Opened {
    fn new(local: &Local) -> Result<Self> {
        let cannot = |error| unreadable(&local.path, &error);
        let file = File::open(&local.path).map_err(cannot)?;
        let opened = Self {
            path: Arc::new(local.path.clone()),
            stamp: Stamp::of(&file).map_err(cannot)?,
            file: Arc::new(file),
            size: local.size,
        };
        if opened.stamp.size() != local.size {
            return Err(opened.stamp.changed(&opened.path));
        }
        Ok(opened)
    }

    /// An error if somebody wrote to the file.
    pub(super) fn check(&self) -> Result<()> {
        self.stamp.check(&self.file, &self.path)
    }

    /// Why sending a part of it failed: a file that somebody cuts short in mid-read looks like a fault of the network.
    pub(super) fn trouble<E>(&self, what: &str, error: SdkError<E, HttpResponse>) -> Trouble
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match self.check() {
            Ok(()) => Trouble::of(what, error),
            Err(changed) => Trouble::last(changed),
        }
    }

    pub(super) async fn sums(&self, part: Part, with_md5: bool) -> Result<PartSums> {
        let file = Arc::clone(&self.file);
        let sums = tokio::task::spawn_blocking(move || PartSums::of(&file, part, with_md5)).await;
        match joined(sums)? {
            Ok(sums) => Ok(sums),
            Err(error) => {
                self.check()?;
                Err(unreadable(&self.path, &error))
            }
        }
    }
}

impl Store {
    async fn send_file(
        &self,
        local: &Local,
        to: &S3Url,
        there: Option<u64>,
        progress: &Progress,
    ) -> Result<Moved> {
        let file = Opened::new(local)?;
        let moved = |bytes_moved, state, checksum| Moved {
            path: display(&local.path),
            url: to.to_string(),
            bytes: file.size,
            bytes_moved,
            state,
            checksum: Some(checksum),
        };
        if there.is_none_or(|there| there == file.size)
            && let Some(checksum) = self.in_place(&file, to).await?
        {
            progress.skip(file.size);
            return Ok(moved(0, State::Skipped, checksum));
        }
        if file.size <= PART {
            let crc32 = self.put(&file, to, progress).await?;
            return Ok(moved(file.size, State::Moved, format!("crc32:{crc32}")));
        }
        let sent = self.send_parts(&file, to, progress).await?;
        let state = if sent.bytes < file.size {
            State::Resumed
        } else {
            State::Moved
        };
        Ok(moved(sent.bytes, state, format!("crc32:{}", sent.crc32)))
    }

    /// The checksum of the object, if it is the file's too.
    async fn in_place(&self, file: &Opened, to: &S3Url) -> Result<Option<String>> {
        let Ok(head) = self.head(to).await else {
            // It can be sent without having been looked at.
            return Ok(None);
        };
        if head.content_length() != Some(file.size.cast_signed()) {
            return Ok(None);
        }
        let Some(stored) = Stored::of(&headers!(head)) else {
            return Ok(None);
        };
        let same = self.matches(to, &stored, &file.file, file.size).await?;
        let same = same.map_err(|error| unreadable(&file.path, &error))?;
        Ok((same == Some(true)).then(|| stored.text()))
    }

    async fn put(&self, file: &Opened, to: &S3Url, progress: &Progress) -> Result<String> {
        let _slot = self.slot().await?;
        let part = Part {
            number: 1,
            offset: 0,
            size: file.size,
        };
        let sums = file.sums(part, false).await?;
        let crc32 = crc32_text(&sums.crc);
        let what = format!("send `{}` to `{to}`", display(&file.path));
        let sent = self.carry(&what, |pulse| async {
            file.check().map_err(Trouble::last)?;
            let share = progress.share();
            let body = FileBody::stream(Arc::clone(&file.file), part, pulse, share.clone());
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
            sent.map_err(|error| file.trouble(&what, error))?;
            share.keep();
            Ok(())
        });
        sent.await.map_err(|trouble| trouble.failure)?;
        file.check()?;
        Ok(crc32)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot read `{}`: {error}", display(path)))
        .help("expected a file that you may read")
}
