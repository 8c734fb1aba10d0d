//! What S3 has: one object, or all below a prefix.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use tokio::sync::OwnedSemaphorePermit;

use super::checksum::Stored;
use super::client::Store;
use super::retry::Trouble;
use super::upload::ended;
use crate::failure::Result;
use crate::job::S3Url;

/// An object as a listing shows it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) etag: String,
}

impl Store {
    /// Leave to send or receive data.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| ended())
    }

    /// All objects whose keys begin with the URL's.
    pub(super) async fn list(&self, below: &S3Url) -> Result<Vec<Object>, Trouble> {
        let what = format!("list `{below}`");
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .ask(&what, || async {
                    self.s3
                        .list_objects_v2()
                        .bucket(&below.bucket)
                        .prefix(&below.key)
                        .set_continuation_token(token.clone())
                        .send()
                        .await
                        .map_err(|error| Trouble::of(&what, error))
                })
                .await?;
            for object in page.contents() {
                found.push(Object {
                    key: object.key().unwrap_or_default().to_owned(),
                    size: object
                        .size()
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or(0),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                });
            }
            token = page.next_continuation_token().map(str::to_owned);
            if page.is_truncated() != Some(true) || token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Size, ETag and checksum of an object.
    pub(super) async fn head(&self, url: &S3Url) -> Result<HeadObjectOutput, Trouble> {
        let what = format!("look at `{url}`");
        self.ask(&what, || async {
            self.s3
                .head_object()
                .bucket(&url.bucket)
                .key(&url.key)
                .checksum_mode(ChecksumMode::Enabled)
                .send()
                .await
                .map_err(|error| Trouble::of(&what, error))
        })
        .await
    }

    /// The object, if there is one. An answer to HEAD has no body, so that a missing bucket looks like a missing key and
    /// expired credentials like nothing at all: a listing tells them apart.
    pub(super) async fn find(&self, url: &S3Url) -> Result<Option<HeadObjectOutput>, Trouble> {
        let trouble = match self.head(url).await {
            Ok(head) => return Ok(Some(head)),
            Err(trouble) => trouble,
        };
        let what = format!("look for `{url}`");
        let asked = self.ask(&what, || async {
            self.s3
                .list_objects_v2()
                .bucket(&url.bucket)
                .prefix(&url.key)
                .max_keys(1)
                .send()
                .await
                .map_err(|error| Trouble::of(&what, error))
        });
        match asked.await {
            Err(told) if !told.code.is_empty() => Err(told),
            _ if trouble.status == 404 => Ok(None),
            _ => Err(trouble),
        }
    }

    /// The size of the object's parts, if its checksum was made of them.
    pub(super) async fn part_size(&self, url: &S3Url, stored: &Stored) -> Option<u64> {
        if !stored.needs_part_size() {
            return None;
        }
        let what = format!("look at `{url}`");
        let head = self.ask(&what, || async {
            self.s3
                .head_object()
                .bucket(&url.bucket)
                .key(&url.key)
                .part_number(1)
                .send()
                .await
                .map_err(|error| Trouble::of(&what, error))
        });
        let size = head.await.ok()?.content_length()?;
        u64::try_from(size).ok()
    }
}
