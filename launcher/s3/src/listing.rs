//! Looking up objects: one, or all below a prefix.

use std::fs::File;
use std::io;
use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;

use crate::checksum::StoredChecksum;
use crate::client::Store;
use crate::parts::equal_parts;
use crate::request::RequestError;
use crate::task_pool::{TaskPool, blocking};
use crate::url::S3Url;
use diagnostics::Result;
use transport::page_tokens::PageTokens;

/// S3's limit of parts per object.
const MAX_PARTS: i32 = 10_000;

/// An object in a listing.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
}

impl Object {
    pub(crate) fn new(key: &str, size: Option<i64>, etag: Option<&str>) -> Self {
        Self {
            key: key.to_owned(),
            size: size.and_then(|size| size.try_into().ok()).unwrap_or(0),
            etag: etag.unwrap_or_default().to_owned(),
        }
    }
}

impl Object {
    /// True for the empty objects that the AWS console creates for folders.
    pub(crate) fn is_folder(&self) -> bool {
        self.key.ends_with('/') && self.size == 0
    }
}

impl Store {
    /// Lists all objects whose keys begin with the URL's key.
    pub(crate) async fn list(&self, below: &S3Url) -> Result<Vec<Object>, RequestError> {
        let all = self.list_up_to(below, usize::MAX).await?;
        Ok(all.unwrap_or_default())
    }

    /// As [`Self::list`]; none if there are more than `max` objects.
    pub(crate) async fn list_up_to(
        &self,
        below: &S3Url,
        max: usize,
    ) -> Result<Option<Vec<Object>>, RequestError> {
        let what = format!("list `{below}`");
        let mut found = Vec::new();
        let mut token = None;
        let mut seen = PageTokens::default();
        loop {
            let page = self
                .request(&what, || {
                    self.s3
                        .list_objects_v2()
                        .bucket(&below.bucket)
                        .prefix(&below.key)
                        .set_continuation_token(token.clone())
                        .send()
                })
                .await?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default();
                found.push(Object::new(key, object.size(), object.e_tag()));
            }
            token = page.next_continuation_token().map(str::to_owned);
            match &token {
                _ if page.is_truncated() != Some(true) => return Ok(Some(found)),
                None => return Ok(Some(found)),
                Some(_) if found.len() > max => return Ok(None),
                Some(token) if !seen.insert(token) => return Err(RequestError::endless(&what)),
                Some(_) => {}
            }
        }
    }

    /// Requests size, ETag and checksum of an object.
    pub(crate) async fn head(&self, url: &S3Url) -> Result<HeadObjectOutput, RequestError> {
        let what = format!("access `{url}`");
        self.request(&what, || {
            self.s3
                .head_object()
                .bucket(&url.bucket)
                .key(&url.key)
                .checksum_mode(ChecksumMode::Enabled)
                .send()
        })
        .await
    }

    /// Returns the object if it exists. A response to HEAD has no body, so a missing bucket looks
    /// like a missing key, and expired credentials have no error code: a listing tells them apart.
    pub(crate) async fn find(&self, url: &S3Url) -> Result<Option<HeadObjectOutput>, RequestError> {
        let error = match self.head(url).await {
            Ok(head) => return Ok(Some(head)),
            Err(error) => error,
        };
        let what = format!("look for `{url}`");
        let listing = self.request(&what, || {
            self.s3
                .list_objects_v2()
                .bucket(&url.bucket)
                .prefix(&url.key)
                .max_keys(1)
                .send()
        });
        match listing.await {
            Err(denied) if !denied.code.is_empty() => Err(denied),
            _ if error.status == 404 => Ok(None),
            _ => Err(error),
        }
    }

    /// Returns true if the file has the object's checksum, and none if the checksum was made of
    /// parts of unknown sizes.
    pub(crate) async fn matches(
        &self,
        url: &S3Url,
        stored: &StoredChecksum,
        file: &Arc<File>,
        size: u64,
    ) -> Result<io::Result<Option<bool>>> {
        let check = |parts: Vec<u64>| {
            let (stored, file) = (stored.clone(), Arc::clone(file));
            blocking(move || stored.matches(&file, size, &parts))
        };
        if !stored.needs_parts() {
            return check(Vec::new()).await;
        }
        let first = self.part(url, 1).await;
        let count = stored.parts.or(first.and_then(|(_, count)| count));
        let even = first.map_or_else(Vec::new, |(first, _)| equal_parts(size, first));
        let same = check(even.clone()).await?;
        let count = match (&same, count) {
            (Ok(Some(true)) | Err(_), _) => return Ok(same),
            (_, None) => return Ok(Ok(None)),
            (_, Some(count)) => count,
        };
        // Most clients use parts of one size; the parts are requested one by one only if that did
        // not match.
        match self.parts(url, count).await? {
            Some(parts) if parts != even => check(parts).await,
            Some(_) => Ok(same),
            None => Ok(Ok(None)),
        }
    }

    /// Requests the sizes of all parts of an object.
    async fn parts(&self, url: &S3Url, count: usize) -> Result<Option<Vec<u64>>> {
        let Some(last) = i32::try_from(count).ok().filter(|last| *last <= MAX_PARTS) else {
            return Ok(None);
        };
        let mut pool = TaskPool::new(Arc::clone(&self.permits));
        for number in 1..=last {
            let (store, url) = (self.clone(), url.clone());
            pool.start(async move { Ok((number, store.part(&url, number).await)) })
                .await?;
        }
        let mut sizes = vec![None; count];
        for (number, part) in pool.finish().await? {
            let at = usize::try_from(number - 1).unwrap_or(0);
            if let Some(size) = sizes.get_mut(at) {
                *size = part.map(|(size, _)| size);
            }
        }
        Ok(sizes.into_iter().collect())
    }

    /// Requests the size of a part, and the number of parts if S3 tells.
    async fn part(&self, url: &S3Url, number: i32) -> Option<(u64, Option<usize>)> {
        let what = format!("access `{url}`");
        let head = self.request(&what, || {
            self.s3
                .head_object()
                .bucket(&url.bucket)
                .key(&url.key)
                .part_number(number)
                .send()
        });
        let head = head.await.ok()?;
        let size = u64::try_from(head.content_length()?).ok()?;
        let count = head.parts_count().and_then(|n| usize::try_from(n).ok());
        Some((size, count))
    }
}
