//! `upload --abort`: aborts unfinished uploads that interruptions left in S3.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::DryRun;
use crate::client::Store;
use crate::local_files::display;
use crate::multipart::is_own;
use crate::upload::Upload;
use crate::url::S3Url;
use diagnostics::{Error, Result};

/// Unfinished uploads to the keys of an upload.
#[derive(Debug)]
pub struct UnfinishedUploads {
    top: S3Url,
    keys: BTreeSet<String>,
}

/// An unfinished upload.
#[derive(Debug)]
struct Unfinished {
    url: S3Url,
    id: String,
}

/// Result of `upload --abort`.
#[derive(Debug, Serialize)]
pub struct Aborted {
    aborted: usize,
    /// URLs that were uploaded to.
    urls: Vec<String>,
}

impl Aborted {
    pub fn text(&self) -> String {
        match self.urls.as_slice() {
            [] => "no unfinished uploads found".to_owned(),
            [url] => format!("aborted the unfinished upload of `{url}`"),
            urls => format!("aborted {} unfinished uploads", urls.len()),
        }
    }
}

impl UnfinishedUploads {
    /// Selects the keys that an upload of `source` uses. A missing source is taken for a file.
    pub fn plan(source: &Path, to: &S3Url) -> Result<Self> {
        if source.exists() {
            return Ok(Self::of(&Upload::plan(source, to)?));
        }
        let url = if to.key.is_empty() || to.key.ends_with('/') {
            let name = source.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                Error::usage(format!("`{}` has no name for a key", display(source)))
                    .help("pass the key itself: s3://bucket/key")
            })?;
            to.join(name)
        } else {
            to.clone()
        };
        Ok(Self {
            keys: BTreeSet::from([url.key.clone()]),
            top: url,
        })
    }

    /// Selects the keys of an upload.
    pub fn of(upload: &Upload) -> Self {
        Self {
            keys: upload.keys().map(str::to_owned).collect(),
            top: upload.top.clone(),
        }
    }

    /// Aborts until no upload is left: requests may still arrive meanwhile.
    pub async fn abort_all(&self, store: &Store) -> Result<()> {
        while self.abort(store).await?.aborted > 0 {}
        Ok(())
    }

    /// Finds uploads of this program to these keys.
    async fn find(&self, store: &Store) -> Result<Vec<Unfinished>> {
        let prefix = match self.keys.len() {
            1 => self.keys.first().cloned().unwrap_or_default(),
            _ => self.top.join("").key,
        };
        let found = store.unfinished(&self.top, &prefix).await?;
        let own = found.iter().filter(|upload| is_own(upload));
        Ok(own
            .filter_map(|upload| {
                let key = upload.key().filter(|key| self.keys.contains(*key))?;
                Some(Unfinished {
                    url: self.top.with_key(key.to_owned()),
                    id: upload.upload_id()?.to_owned(),
                })
            })
            .collect())
    }

    /// Aborts the uploads.
    pub async fn abort(&self, store: &Store) -> Result<Aborted> {
        let mut urls = Vec::new();
        for upload in self.find(store).await? {
            store.abort(&upload.url, &upload.id).await?;
            urls.push(upload.url.to_string());
        }
        Ok(Aborted {
            aborted: urls.len(),
            urls,
        })
    }

    /// Returns the requests without sending them.
    pub async fn dry_run(&self, store: &Store) -> Result<DryRun> {
        let mut plan = DryRun::new();
        let found = self.find(store).await?;
        for Unfinished { url, id } in &found {
            plan.push((
                format!("abort the unfinished upload of `{url}`"),
                Some(json!({
                    "operation": "AbortMultipartUpload",
                    "bucket": url.bucket,
                    "key": url.key,
                    "upload_id": id,
                })),
            ));
        }
        if found.is_empty() {
            plan.push((
                "abort nothing: no unfinished uploads found".to_owned(),
                None,
            ));
        }
        Ok(plan)
    }
}
