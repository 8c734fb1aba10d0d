//! Preflight checks of a job: its data exist, and so do the buckets it writes to.

use std::collections::BTreeMap;

use aws_sdk_s3::types::OptionalObjectAttributes;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::objects;
use crate::aws::{Aws, Bucket, explain};
use crate::job::{Job, Location, S3Url};
use crate::output::quoted;
use diagnostics::{Error, Result, eprint_line};

/// Pages of a thousand objects that are checked.
const MAX_PAGES: usize = 10;

/// Fails if data or buckets are missing; warns where permissions prevent the check.
pub(super) async fn check(aws: &Aws, job: &Job) -> Result<()> {
    let (unknown, ()) = tokio::join!(missing(aws, job), cross_account_role(aws, job));
    let unknown = unknown?;
    if !unknown.is_empty() {
        let unknown: Vec<_> = unknown.iter().map(|url| format!("`{url}`")).collect();
        // The role of the job may have more permissions.
        eprint_line(format!(
            "warning: not checked: these credentials may not list {} (s3:ListBucket)\n  \
             help: the job fails if its role may not either; `trainyard infra policies` prints both policies",
            unknown.join(", ")
        ));
    }
    Ok(())
}

/// Returns the locations that these credentials may not list.
async fn missing(aws: &Aws, job: &Job) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    // Listings first: their errors have a message, those of HEAD only a status.
    for channel in &job.channels {
        if let Location::S3(url) = &channel.source
            && !data_are_there(aws, &channel.name, url).await?
        {
            unknown.push(url.to_string());
        }
    }
    for (bucket, flag) in buckets(job) {
        if !bucket_is_there(aws, bucket, flag).await? {
            unknown.push(format!("s3://{bucket}"));
        }
    }
    Ok(unknown)
}

/// Returns the buckets that the job writes to, each with its option.
fn buckets(job: &Job) -> BTreeMap<&str, &'static str> {
    let mut buckets = BTreeMap::new();
    let flags = [
        (job.checkpoints.as_ref(), "--checkpoints"),
        (Some(&job.output), "--output"),
    ];
    for (location, flag) in flags {
        if let Some(Location::S3(url)) = location {
            buckets.insert(url.bucket.as_str(), flag);
        }
    }
    buckets
}

/// Checks that a bucket exists in this region. Returns false without permission to check.
pub(crate) async fn bucket_is_there(aws: &Aws, bucket: &str, flag: &str) -> Result<bool> {
    let found = aws.bucket(bucket).await;
    match found.map_err(|error| explain(&format!("cannot check the bucket `{bucket}`"), error))? {
        Bucket::In(region) if region != aws.region() => Err(Error::new(format!(
            "`{flag}`: the bucket `{bucket}` is in `{}`, this command uses `{}`",
            diagnostics::sanitize(&region),
            aws.region()
        ))
        .help(format!(
            "pass `--region {}`, or a bucket of this region",
            diagnostics::sanitize(&region)
        ))),
        Bucket::In(_) => Ok(true),
        Bucket::Denied => Ok(false),
        Bucket::Missing => Err(
            Error::new(format!("`{flag}`: there is no bucket `{bucket}`"))
                .help("check its name")
                .help(format!(
                    "`trainyard infra terraform --bucket {bucket} --account ACCOUNT --output DIR` writes Terraform that creates it"
                )),
        ),
    }
}

/// Checks that there are objects below a prefix, and that a job can read those of the first pages.
/// Returns false without permission to check.
async fn data_are_there(aws: &Aws, channel: &str, url: &S3Url) -> Result<bool> {
    let mut found = Vec::new();
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let response = aws
            .s3()
            .list_objects_v2()
            .bucket(&url.bucket)
            .prefix(&url.key)
            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
            .set_continuation_token(token)
            .send()
            .await;
        let page = match response {
            Ok(page) => page,
            Err(error) if error.code() == Some("AccessDenied") => return Ok(false),
            Err(error) => {
                let what = format!("channel `{channel}`: cannot list data at `{url}`");
                return Err(explain(&what, error));
            }
        };
        token = page.next_continuation_token;
        let objects = page.contents.unwrap_or_default().into_iter();
        // The S3 console creates an empty object for a folder.
        found.extend(objects.filter(|object| !object.key().is_some_and(|key| key.ends_with('/'))));
        if token.is_none() {
            break;
        }
    }
    if found.is_empty() && token.is_none() {
        return Err(no_data(aws, channel, url));
    }
    objects::check(aws, channel, url, &found).await?;
    Ok(true)
}

fn no_data(aws: &Aws, channel: &str, url: &S3Url) -> Error {
    let target = url.join("");
    let upload = quoted(&target.to_string());
    let bucket = quoted(&format!("s3://{}/", url.bucket));
    Error::new(format!(
        "channel `{channel}`: there is no object at `{url}` or below it"
    ))
    .help(format!(
        "upload data: {}",
        aws.suggest(&format!("upload PATH {upload}"))
    ))
    .help(format!(
        "list the bucket: {}",
        aws.suggest(&format!("download {bucket} . --dry-run"))
    ))
}

/// Warns of a role of another account; the error of SageMaker for it is misleading.
async fn cross_account_role(aws: &Aws, job: &Job) {
    // A role given by name is always of this account.
    let role = job.cloud.role.as_deref().unwrap_or_default();
    if let Some((given, own)) = aws.cross_account(role).await {
        eprint_line(format!(
            "warning: the role `{role}` is of account `{given}`, the credentials are of account `{own}`: \
             SageMaker accepts only roles of the account that runs the job\n  \
             help: pass a role of account `{own}`, or `--profile` of account `{given}`"
        ));
    }
}
