//! `download`: plans and runs a download.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use diagnostics::{Error, Result, sanitize};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::Store;
use crate::listing::Object;
use crate::local_files::display;
use crate::object_download::Item;
use crate::progress::{Progress, format_size};
use crate::targets::{check_case_collisions, create_folder, create_parent, targets};
use crate::task_pool::TaskPool;
use crate::url::S3Url;
use crate::{DryRun, MAX_PARALLEL, Summary};

/// Kind of source that a URL refers to.
#[derive(Debug)]
pub enum Selection {
    Object,
    Prefix,
}

/// A download, planned from a listing of S3.
#[derive(Debug)]
pub struct Download {
    /// Target folder; links below it are not followed.
    top: PathBuf,
    items: Vec<Item>,
    /// Objects that represent folders.
    folders: Vec<PathBuf>,
    /// Kind of the source.
    pub selection: Selection,
}

impl Download {
    /// Plans a download. An object goes to the path, or below it if the path is a folder or ends in
    /// `/`. If there is no such object, all objects below `KEY/` go below the path.
    pub async fn plan(store: &Store, from: &S3Url, to: &Path) -> Result<Self> {
        if !from.key.is_empty() && !from.key.ends_with('/') {
            let found = store.find(from).await?;
            if let Some(head) = found {
                let object = Object::new(&from.key, head.content_length(), head.e_tag());
                return Self::object(from, object, to);
            }
        }
        let below = from.join("");
        let found = store.list(&below).await?;
        if found.is_empty() {
            let what = format!("there is neither an object `{from}` nor anything below it");
            return Err(nothing(store, from, what));
        }
        Self::prefix(&below, found, to)
    }

    /// Plans a download of all objects whose keys begin with the URL's key, as SageMaker selects
    /// them for the data type `S3Prefix`.
    pub async fn plan_s3_prefix(store: &Store, from: &S3Url, to: &Path) -> Result<Self> {
        let found = match store.list(from).await {
            Ok(found) => found,
            // Permission to read an object does not imply permission to list.
            Err(denied) if denied.status == 403 => match store.head(from).await {
                Ok(head) => vec![Object::new(&from.key, head.content_length(), head.e_tag())],
                Err(_) => return Err(denied.into()),
            },
            Err(error) => return Err(error.into()),
        };
        if found.iter().all(Object::is_folder) {
            let what = format!("there is no object whose key begins with `{from}`");
            return Err(nothing(store, from, what));
        }
        Self::prefix(from, found, to)
    }

    /// True if the source is one object, and not a prefix.
    pub fn is_object(&self) -> bool {
        matches!(self.selection, Selection::Object)
    }

    /// Returns the URLs of the objects.
    pub fn urls(&self) -> impl Iterator<Item = &S3Url> {
        self.items.iter().map(|item| &item.url)
    }

    fn object(from: &S3Url, object: Object, to: &Path) -> Result<Self> {
        let into = to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/");
        let (top, target) = if into {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            let target = targets(to, [name])?.remove(0);
            (to.to_owned(), target)
        } else {
            (to.parent().unwrap_or(to).to_owned(), to.to_owned())
        };
        let item = Item {
            object,
            url: from.clone(),
            target,
        };
        Ok(Self {
            top,
            items: vec![item],
            folders: Vec::new(),
            selection: Selection::Object,
        })
    }

    fn prefix(below: &S3Url, found: Vec<Object>, to: &Path) -> Result<Self> {
        if to.exists() && !to.is_dir() {
            return Err(Error::usage(format!(
                "`{}` is a file, expected a folder for all below `{below}`",
                display(to)
            ))
            .help("choose another target"));
        }
        // A server may list keys that were not requested.
        if let Some(object) = found.iter().find(|one| !one.key.starts_with(&below.key)) {
            return Err(Error::new(format!(
                "the listing of `{below}` has the key `{}`, which is not below it",
                sanitize(&object.key)
            ))
            .help("check `--endpoint-url` and AWS_ENDPOINT_URL: is it S3, or a proxy?"));
        }
        let relative = |object: &Object| below.relative(&object.key).to_owned();
        // The AWS console creates empty objects whose keys end in `/` for folders.
        let (markers, objects): (Vec<_>, Vec<_>) = found.into_iter().partition(Object::is_folder);
        let folders = markers
            .iter()
            .map(|object| relative(object).trim_end_matches('/').to_owned())
            .filter(|name| !name.is_empty())
            .map(|name| Ok(targets(to, [name.as_str()])?.remove(0)))
            .collect::<Result<_>>()?;
        let names: Vec<String> = objects.iter().map(relative).collect();
        let paths = targets(to, names.iter().map(String::as_str))?;
        let items = objects
            .into_iter()
            .zip(paths)
            .map(|(object, target)| Item {
                url: below.with_key(object.key.clone()),
                object,
                target,
            })
            .collect();
        Ok(Self {
            top: to.to_owned(),
            items,
            folders,
            selection: Selection::Prefix,
        })
    }

    /// Returns the requests of this download without sending them.
    pub fn dry_run(&self) -> DryRun {
        let mut plan = DryRun::new();
        for item in &self.items {
            plan.push((
                format!(
                    "get `{}` ({}) into `{}`",
                    item.url,
                    format_size(item.object.size),
                    display(&item.target)
                ),
                Some(json!({
                    "operation": "GetObject",
                    "bucket": item.url.bucket,
                    "key": item.url.key,
                    "if_match": item.object.etag,
                    "bytes": item.object.size,
                    "file": display(&item.target),
                })),
            ));
        }
        plan
    }

    /// Downloads what the target does not have yet.
    pub async fn run(self, store: &Store) -> Result<Summary> {
        let started = Instant::now();
        create_folder(&self.top)?;
        let files = self.items.iter().map(|item| item.target.as_path());
        check_case_collisions(&self.top, files)?;
        for folder in &self.folders {
            create_parent(&self.top, &folder.join("."))?;
        }
        let total = self.items.iter().map(|item| item.object.size).sum();
        let progress = Progress::new("received", total, store.settings.progress);
        let mut pool = TaskPool::new(Arc::new(Semaphore::new(MAX_PARALLEL)));
        for item in self.items {
            create_parent(&self.top, &item.target)?;
            let (store, progress) = (store.clone(), progress.clone());
            pool.start(async move { store.download_object(item, &progress).await })
                .await?;
        }
        let objects = pool.finish().await?;
        progress.finish();
        Ok(Summary::new(objects, started.elapsed().as_secs_f64()))
    }
}

/// Error for a URL without objects.
fn nothing(store: &Store, from: &S3Url, what: String) -> Error {
    let list = format!("download s3://{}/ . --dry-run", from.bucket);
    Error::new(what).help(format!("list the objects: {}", store.suggest(&list)))
}
