//! A local file that is being sent.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use diagnostics::{Error, Result};

use crate::checksum::PartChecksums;
use crate::client::Store;
use crate::local_files::{FileStamp, LocalFile, display};
use crate::parts::Part;
use crate::request::RequestError;
use crate::task_pool::blocking;

/// An open local file.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(crate) path: Arc<PathBuf>,
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
    stamp: FileStamp,
}

impl OpenFile {
    pub(crate) fn new(local: &LocalFile) -> Result<Self> {
        let cannot = |error| unreadable(&local.path, &error);
        let file = File::open(&local.path).map_err(cannot)?;
        let opened = Self {
            path: Arc::new(local.path.clone()),
            stamp: FileStamp::of(&file).map_err(cannot)?,
            file: Arc::new(file),
            size: local.size,
        };
        if opened.stamp.size != local.size {
            return Err(opened.stamp.changed(&opened.path));
        }
        Ok(opened)
    }

    /// Returns an error if the file was written to.
    pub(crate) fn check(&self) -> Result<()> {
        self.stamp.check(&self.file, &self.path)
    }

    /// Converts the error of sending a part: a file that is truncated meanwhile looks like a
    /// network error.
    pub(crate) fn request_error<E>(
        &self,
        store: &Store,
        what: &str,
        error: SdkError<E, HttpResponse>,
    ) -> RequestError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match self.check() {
            Ok(()) => store.failed(what, error),
            Err(changed) => RequestError::permanent(changed),
        }
    }

    pub(crate) async fn sums(&self, part: Part, with_md5: bool) -> Result<PartChecksums> {
        let file = Arc::clone(&self.file);
        match blocking(move || PartChecksums::of(&file, part, with_md5)).await? {
            Ok(sums) => Ok(sums),
            Err(error) => {
                self.check()?;
                Err(unreadable(&self.path, &error))
            }
        }
    }
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("cannot read `{}`: {error}", display(path)))
        .help("expected a file that you may read")
}
