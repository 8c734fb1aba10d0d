//! Check of the bucket.

use super::aws_setup::AwsSetup;
use super::check::{Check, code, with_timeout};
use crate::aws::{Aws, Bucket};
use crate::job::S3Url;

const NAME: &str = "bucket";

/// Checks that the bucket exists in this region and can be listed. Does not try to write.
pub(super) async fn check(setup: &AwsSetup, output: Option<&S3Url>) -> Check {
    let Some(url) = output else {
        return Check::skipped(NAME, "no bucket given")
            .help("pass `--bucket NAME` or `--output s3://BUCKET/PREFIX`");
    };
    let aws = match setup.clients(NAME) {
        Ok(aws) => aws,
        Err(skipped) => return skipped,
    };
    with_timeout(NAME, "S3", async {
        match head(setup, aws, url).await {
            Ok(region) => list(aws, url, &region).await,
            Err(check) => check,
        }
    })
    .await
}

/// Returns the region of the bucket from HeadBucket, or the failed check.
async fn head(setup: &AwsSetup, aws: &Aws, url: &S3Url) -> Result<String, Check> {
    let bucket = &url.bucket;
    let what = format!("check the bucket `{bucket}`");
    let region = match aws.bucket(bucket).await {
        Ok(Bucket::In(region)) => region,
        Ok(Bucket::Missing) => {
            return Err(Check::problem(NAME, format!("there is no bucket `{bucket}`")).help(
                format!("`trainyard infra terraform --bucket {bucket} --account ACCOUNT --output DIR` writes Terraform that creates it"),
            ));
        }
        Ok(Bucket::Denied) => {
            return Err(Check::problem(
                NAME,
                format!(
                    "no permission to list `{bucket}` (s3:ListBucket), or it belongs to another account"
                ),
            )
            .help("`trainyard infra policies` prints the policy that you need"));
        }
        Err(error) => return Err(Check::refused(NAME, &what, error)),
    };
    let shown = diagnostics::sanitize(&region).into_owned();
    // Without a configured region the clients use a placeholder, which cannot be compared.
    if setup.regional(NAME).is_err() {
        return Err(Check::warning(
            NAME,
            format!("`{bucket}` is in `{shown}`, and no region is set"),
        )
        .help(format!("pass `--region {shown}`")));
    }
    if region != aws.region() {
        return Err(Check::problem(
            NAME,
            format!(
                "`{bucket}` is in `{shown}`, jobs would run in `{}`",
                aws.region()
            ),
        )
        .help(format!(
            "pass `--region {shown}`, or a bucket of this region: SageMaker requires the same region"
        )));
    }
    Ok(region)
}

async fn list(aws: &Aws, url: &S3Url, region: &str) -> Check {
    let request = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(&url.key)
        .max_keys(1);
    match request.send().await {
        Ok(_) => Check::ok(
            NAME,
            format!("`{url}` in `{region}` can be listed; write access was not checked"),
        ),
        Err(error) if code(&error) == Some("AccessDenied") => {
            Check::problem(NAME, format!("`{url}` cannot be listed (s3:ListBucket)"))
                .help("`trainyard infra policies` prints the policy that you need")
        }
        Err(error) => Check::refused(NAME, &format!("list `{url}`"), error),
    }
}
