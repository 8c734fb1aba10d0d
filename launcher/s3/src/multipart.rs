//! Uploads a large file in parts, resuming an unfinished upload.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, MultipartUpload,
    Part as Listed,
};

use crate::body::FileBody;
use crate::checksum::{PartChecksums, StoredChecksum, crc32_text, from_hex, headers};
use crate::client::Store;
use crate::open_file::OpenFile;
use crate::parts::{Part, split};
use crate::progress::Progress;
use crate::request::{RequestError, with_retries};
use crate::task_pool::TaskPool;
use crate::url::S3Url;
use diagnostics::{Error, Result, eprint_line};
use transport::page_tokens::PageTokens;

/// Result of an upload.
pub(crate) struct Sent {
    /// CRC32 of the file, in base64.
    pub(crate) crc32: String,
    /// Bytes sent in this run.
    pub(crate) bytes: u64,
}

/// An uploaded part.
struct Done {
    part: Part,
    etag: String,
    sums: PartChecksums,
    sent: bool,
}

type ListedParts = HashMap<u32, Listed>;

impl Store {
    /// Sends the missing parts, then completes the upload.
    pub(crate) async fn send_parts(
        &self,
        file: &OpenFile,
        to: &S3Url,
        progress: &Progress,
    ) -> Result<Sent> {
        let (upload, mut uploaded) = self.find_or_create(to).await?;
        let mut pool = TaskPool::new(Arc::clone(&self.permits));
        for part in split(file.size) {
            let task = PartUploader {
                store: self.clone(),
                file: file.clone(),
                to: to.clone(),
                upload: upload.clone(),
                progress: progress.clone(),
            };
            let listed = uploaded.remove(&part.number);
            pool.start(async move { task.send(part, listed).await })
                .await?;
        }
        let mut done = pool.finish().await?;
        file.check()?;
        done.sort_by_key(|done| done.part.number);
        self.complete(file, to, &upload, &done).await
    }

    async fn complete(
        &self,
        file: &OpenFile,
        to: &S3Url,
        upload: &str,
        done: &[Done],
    ) -> Result<Sent> {
        let mut whole = crc32fast::Hasher::new();
        for part in done {
            whole.combine(&part.sums.crc);
        }
        let crc32 = crc32_text(&whole);
        let parts = done.iter().map(|done| {
            CompletedPart::builder()
                .part_number(done.part.number.cast_signed())
                .e_tag(&done.etag)
                .checksum_crc32(done.sums.crc32())
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let what = format!("join the parts of `{to}`");
        let (timeout, attempts) = (self.completion_timeout(), self.settings.attempts);
        let joined = with_retries(&what, timeout, attempts, |_| async {
            self.s3
                .complete_multipart_upload()
                .bucket(&to.bucket)
                .key(&to.key)
                .upload_id(upload)
                .multipart_upload(parts.clone())
                .checksum_crc32(&crc32)
                .checksum_type(ChecksumType::FullObject)
                .mpu_object_size(file.size.cast_signed())
                .send()
                .await
                .map_err(|error| self.failed(&what, error))
        })
        .await;
        match joined {
            Ok(_) => {}
            // The response to an earlier attempt was lost: the upload is complete.
            Err(error)
                if error.code == "NoSuchUpload" && self.has_object(file, to, &crc32).await => {}
            // Two uploads to one key share their parts; S3 completes one of them or none.
            Err(error) if matches!(error.code.as_str(), "InvalidPart" | "NoSuchUpload") => {
                return Err(error.error.help(
                    "another upload to the same key was under way; run the same command again",
                ));
            }
            Err(error) => return Err(error.into()),
        }
        let sent = done.iter().filter(|done| done.sent);
        Ok(Sent {
            crc32,
            bytes: sent.map(|done| done.part.size).sum(),
        })
    }

    async fn has_object(&self, file: &OpenFile, to: &S3Url, crc32: &str) -> bool {
        let Ok(head) = self.head(to).await else {
            return false;
        };
        head.content_length() == Some(file.size.cast_signed())
            && StoredChecksum::of(&headers!(head))
                .is_some_and(|stored| stored.text() == format!("crc32:{crc32}"))
    }

    /// Returns this program's newest unfinished upload to the key with its parts, or starts a new
    /// one.
    async fn find_or_create(&self, to: &S3Url) -> Result<(String, ListedParts)> {
        match self.unfinished(to, &to.key).await {
            Ok(uploads) => {
                let own = uploads.iter().filter(|upload| is_own(upload));
                let newest = own.max_by_key(|upload| upload.initiated().map(|time| time.secs()));
                if let Some(id) = newest.and_then(MultipartUpload::upload_id) {
                    match self.parts_of(to, id).await {
                        Ok(uploaded) => return Ok((id.to_owned(), uploaded)),
                        // It ended between the two requests.
                        Err(error) if error.code == "NoSuchUpload" => {}
                        // Some servers that imitate S3 respond with what the SDK cannot read.
                        Err(error) if error.status == 200 => eprint_line(format!(
                            "note: the parts of `{to}` that are there cannot be listed: starting from its first part"
                        )),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Err(error) if error.status == 403 => eprint_line(format!(
                "note: unfinished uploads of `{to}` cannot be listed (access denied): starting from its first part"
            )),
            Err(error) => return Err(error.into()),
        }
        let what = format!("start the upload of `{to}`");
        let created = self.request(&what, || {
            self.s3
                .create_multipart_upload()
                .bucket(&to.bucket)
                .key(&to.key)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .checksum_type(ChecksumType::FullObject)
                .send()
        });
        let created = created.await?;
        let id = created.upload_id().ok_or_else(|| {
            Error::new(format!("cannot {what}: the response has no upload ID"))
                .help("check `--endpoint-url` and AWS_ENDPOINT_URL: is it S3, or a proxy?")
        })?;
        Ok((id.to_owned(), ListedParts::new()))
    }

    /// Lists unfinished uploads to keys with this prefix, in the bucket of `to`.
    pub(crate) async fn unfinished(
        &self,
        to: &S3Url,
        prefix: &str,
    ) -> Result<Vec<MultipartUpload>, RequestError> {
        let what = format!("list the unfinished uploads of `{to}`");
        let mut found = Vec::new();
        let (mut key, mut id) = (None, None);
        let mut seen = PageTokens::default();
        loop {
            let page = self
                .request(&what, || {
                    self.s3
                        .list_multipart_uploads()
                        .bucket(&to.bucket)
                        .prefix(prefix)
                        .set_key_marker(key.clone())
                        .set_upload_id_marker(id.clone())
                        .send()
                })
                .await?;
            let exact = prefix == to.key;
            let wanted = page
                .uploads()
                .iter()
                .filter(|upload| !exact || upload.key() == Some(prefix));
            found.extend(wanted.cloned());
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(found);
            }
            key = page.next_key_marker().map(str::to_owned);
            id = page.next_upload_id_marker().map(str::to_owned);
            if !seen.insert(&format!("{key:?} {id:?}")) {
                return Err(RequestError::endless(&what));
            }
        }
    }

    async fn parts_of(&self, to: &S3Url, upload: &str) -> Result<ListedParts, RequestError> {
        let what = format!("list the parts of `{to}`");
        let mut uploaded = ListedParts::new();
        let mut marker = None;
        let mut seen = PageTokens::default();
        loop {
            let page = self
                .request(&what, || {
                    self.s3
                        .list_parts()
                        .bucket(&to.bucket)
                        .key(&to.key)
                        .upload_id(upload)
                        .set_part_number_marker(marker.clone())
                        .send()
                })
                .await?;
            for part in page.parts() {
                if let Some(number) = part.part_number().and_then(|n| u32::try_from(n).ok()) {
                    uploaded.insert(number, part.clone());
                }
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            match &marker {
                Some(marker) if page.is_truncated() == Some(true) => {
                    if !seen.insert(marker) {
                        return Err(RequestError::endless(&what));
                    }
                }
                _ => return Ok(uploaded),
            }
        }
    }

    /// Aborts an unfinished upload and deletes its parts.
    pub(crate) async fn abort(&self, to: &S3Url, upload: &str) -> Result<()> {
        let what = format!("abort the upload of `{to}`");
        let aborted = self.request(&what, || {
            self.s3
                .abort_multipart_upload()
                .bucket(&to.bucket)
                .key(&to.key)
                .upload_id(upload)
                .send()
        });
        aborted.await.map(drop).map_err(Error::from)
    }
}

/// True for uploads of this program. Uploads of the AWS CLI have no CRC32 of the whole object.
pub(crate) fn is_own(upload: &MultipartUpload) -> bool {
    upload.checksum_algorithm() == Some(&ChecksumAlgorithm::Crc32)
        && upload.checksum_type() == Some(&ChecksumType::FullObject)
}

/// Sends the part unless S3 has the same bytes.
struct PartUploader {
    store: Store,
    file: OpenFile,
    to: S3Url,
    upload: String,
    progress: Progress,
}

impl PartUploader {
    /// Sends the part unless S3 has it with the same bytes.
    async fn send(&self, part: Part, listed: Option<Listed>) -> Result<Done> {
        let listed = listed.filter(|listed| listed.size() == Some(part.size.cast_signed()));
        let by_md5 = listed
            .as_ref()
            .is_some_and(|listed| listed.checksum_crc32().is_none());
        let sums = self.file.sums(part, by_md5).await?;
        if let Some(listed) = &listed
            && same(listed, &sums)
            && let Some(etag) = listed.e_tag()
        {
            self.progress.add(part.size);
            return Ok(Done {
                part,
                etag: etag.to_owned(),
                sums,
                sent: false,
            });
        }
        let crc32 = sums.crc32();
        let what = format!("send part {} of `{}`", part.number, self.to);
        let response = self.store.send(&what, |idle| async {
            self.file.check().map_err(RequestError::permanent)?;
            let attempt = self.progress.attempt();
            let body = FileBody::stream(Arc::clone(&self.file.file), part, idle, attempt.clone());
            let sent = self
                .store
                .s3
                .upload_part()
                .bucket(&self.to.bucket)
                .key(&self.to.key)
                .upload_id(&self.upload)
                .part_number(part.number.cast_signed())
                .content_length(part.size.cast_signed())
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .checksum_crc32(&crc32)
                .body(body)
                .send()
                .await;
            let sent = sent.map_err(|error| self.file.request_error(&self.store, &what, error))?;
            attempt.commit();
            Ok(sent)
        });
        let response = response.await.map_err(|error| self.hint(error))?;
        let etag = response.e_tag().unwrap_or_default().to_owned();
        Ok(Done {
            part,
            etag,
            sums,
            sent: true,
        })
    }

    fn hint(&self, error: RequestError) -> Error {
        match error.code.as_str() {
            "NoSuchUpload" => error
                .error
                .help("another upload to the same key ended meanwhile; run the same command again"),
            _ => error
                .error
                .help("the uploaded parts are kept: run the same command again to resume"),
        }
    }
}

/// True if S3 has the same bytes; without a checksum, the ETag is compared as MD5.
fn same(listed: &Listed, sums: &PartChecksums) -> bool {
    if let Some(crc32) = listed.checksum_crc32() {
        return crc32 == sums.crc32();
    }
    let etag = listed
        .e_tag()
        .and_then(|etag| from_hex(etag.trim_matches('"')));
    etag.is_some() && etag == sums.md5
}
