//! Preflight checks of a job: its data exist, and so do the buckets it writes to.

use std::collections::BTreeMap;

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::aws::{Aws, Bucket, explain};
use crate::job::{Job, Location, S3Url};
use crate::output::quoted;
use diagnostics::{Error, Result, eprint_line};

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

/// Checks that there is an object below a prefix. Returns false without permission to check.
async fn data_are_there(aws: &Aws, channel: &str, url: &S3Url) -> Result<bool> {
    let response = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(&url.key)
        .send()
        .await;
    match response {
        Ok(page) => {
            // The S3 console creates an empty object for a folder. If a full page has nothing else,
            // data may follow on later pages.
            let keys = page.contents().iter().filter_map(|object| object.key());
            let keys: Vec<_> = keys.filter(|key| !key.ends_with('/')).collect();
            if keys.is_empty() && page.is_truncated() != Some(true) {
                return Err(no_data(aws, channel, url));
            }
            if let Some(other) = keys.iter().find(|key| is_sibling(key, &url.key)) {
                eprint_line(format!(
                    "warning: channel `{channel}`: SageMaker reads every object whose key starts with `{url}`, \
                     including `s3://{}/{}`\n  help: pass `{}` for this folder only",
                    url.bucket,
                    diagnostics::sanitize(other),
                    url.join("")
                ));
            }
            Ok(true)
        }
        Err(error) if error.code() == Some("AccessDenied") => Ok(false),
        Err(error) => Err(explain(
            &format!("channel `{channel}`: cannot list data at `{url}`"),
            error,
        )),
    }
}

/// True if a key starts with the prefix but is neither that object nor below that folder.
fn is_sibling(key: &str, prefix: &str) -> bool {
    let rest = key.strip_prefix(prefix).unwrap_or_default();
    !prefix.is_empty() && !prefix.ends_with('/') && !rest.is_empty() && !rest.starts_with('/')
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
