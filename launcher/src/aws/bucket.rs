//! HeadBucket. Its responses have no body, only a status and a header with the region.

use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::Aws;

/// Result of HeadBucket with these credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// The bucket is in this region.
    In(String),
    /// The bucket does not exist.
    Missing,
    /// No permission to list the bucket, or it belongs to another account.
    Denied,
}

impl Aws {
    /// Looks for a bucket.
    pub(crate) async fn bucket(
        &self,
        name: &str,
    ) -> Result<Bucket, SdkError<HeadBucketError, HttpResponse>> {
        let error = match self.s3().head_bucket().bucket(name).send().await {
            // Other servers than AWS return no region.
            Ok(head) => {
                let region = head.bucket_region().unwrap_or(self.region());
                return Ok(Bucket::In(region.to_owned()));
            }
            Err(error) => error,
        };
        let raw = error.raw_response();
        let elsewhere = raw.and_then(|raw| raw.headers().get("x-amz-bucket-region"));
        match (raw.map(|raw| raw.status().as_u16()), elsewhere) {
            (Some(301 | 400), Some(region)) if region != self.region() => {
                Ok(Bucket::In(region.to_owned()))
            }
            (Some(404), _) => Ok(Bucket::Missing),
            (Some(403), _) => Ok(Bucket::Denied),
            _ => Err(error),
        }
    }
}
