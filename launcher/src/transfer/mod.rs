//! Files to S3.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;

use crate::aws::{Aws, explain};
use crate::failure::{Failure, Result};
use crate::job::S3Url;

/// Copies a file below the URL.
pub(crate) async fn upload(aws: &Aws, source: &Path, to: &S3Url, _progress: bool) -> Result<()> {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let failed = |error| Failure::new(format!("cannot read `{}`: {error}", source.display()));
    let body = std::fs::read(source).map_err(failed)?;
    aws.s3()
        .put_object()
        .bucket(&to.bucket)
        .key(&to.join(&name).key)
        .body(ByteStream::from(body))
        .send()
        .await
        .map_err(|error| explain(&format!("cannot write `{to}`"), error))?;
    Ok(())
}
