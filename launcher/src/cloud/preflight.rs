//! What a job would miss, looked for before it is paid for: its data, and the buckets that it writes to.

use std::collections::BTreeMap;

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::aws::{Aws, Bucket, explain};
use crate::job::{Job, Location, S3Url};
use crate::output::quoted;
use diagnostics::{Error, Result, eprint_line};

/// An error for what is missing for sure; what is doubtful is said.
pub(super) async fn check(aws: &Aws, job: &Job) -> Result<()> {
    let (unknown, ()) = tokio::join!(missing(aws, job), foreign_role(aws, job));
    let unknown = unknown?;
    if !unknown.is_empty() {
        let unknown: Vec<_> = unknown.iter().map(|url| format!("`{url}`")).collect();
        // The job reads and writes as its role, which may be allowed more.
        eprint_line(format!(
            "not checked: these credentials may not look at {} (s3:ListBucket)\n  \
             help: the job fails if its role may not either; `trainyard infra policies` prints both policies",
            unknown.join(", ")
        ));
    }
    Ok(())
}

/// What these credentials may not look at.
async fn missing(aws: &Aws, job: &Job) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    // The listings first: their errors have words, those of HEAD have a status.
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

/// The buckets that the job writes to, each with a flag that names it.
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

/// False if it may not be known.
pub(crate) async fn bucket_is_there(aws: &Aws, bucket: &str, flag: &str) -> Result<bool> {
    let found = aws.bucket(bucket).await;
    match found.map_err(|error| explain(&format!("cannot look at the bucket `{bucket}`"), error))? {
        Bucket::In(region) if region != aws.region() => Err(Error::new(format!(
            "`{flag}`: the bucket `{bucket}` is in `{}`, and this command asks `{}`",
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
                    "`trainyard infra terraform --bucket {bucket} --account ACCOUNT --output DIR` writes Terraform that makes it"
                )),
        ),
    }
}

/// Whether there is an object below a prefix. False if it may not be known.
async fn data_are_there(aws: &Aws, channel: &str, url: &S3Url) -> Result<bool> {
    let answer = aws
        .s3()
        .list_objects_v2()
        .bucket(&url.bucket)
        .prefix(&url.key)
        .send()
        .await;
    match answer {
        Ok(page) => {
            // The S3 console makes an empty object for a folder, which is no data. A page full of them has more behind it.
            let keys = page.contents().iter().filter_map(|object| object.key());
            let keys: Vec<_> = keys.filter(|key| !key.ends_with('/')).collect();
            if keys.is_empty() && page.is_truncated() != Some(true) {
                return Err(no_data(aws, channel, url));
            }
            if let Some(other) = keys.iter().find(|key| is_beside(key, &url.key)) {
                eprint_line(format!(
                    "warning: channel `{channel}`: SageMaker takes every object whose name begins with `{url}`, \
                     `s3://{}/{}` too\n  help: write `{}` for what is below it alone",
                    url.bucket,
                    diagnostics::sanitize(other),
                    url.join("")
                ));
            }
            Ok(true)
        }
        Err(error) if error.code() == Some("AccessDenied") => Ok(false),
        Err(error) => Err(explain(
            &format!("channel `{channel}`: cannot look for data at `{url}`"),
            error,
        )),
    }
}

/// Whether the prefix takes in an object that is neither the one of that name nor below it.
fn is_beside(key: &str, prefix: &str) -> bool {
    let rest = key.strip_prefix(prefix).unwrap_or_default();
    !prefix.is_empty() && !prefix.ends_with('/') && !rest.is_empty() && !rest.starts_with('/')
}

fn no_data(aws: &Aws, channel: &str, url: &S3Url) -> Error {
    let target = url.join("");
    let upload = quoted(&target.to_string());
    let look = quoted(&format!("s3://{}/", url.bucket));
    Error::new(format!(
        "channel `{channel}`: there is no object at `{url}` or below it"
    ))
    .help(format!(
        "{} puts data there",
        aws.next(&format!("upload PATH {upload}"))
    ))
    .help(format!(
        "{} shows what the bucket has",
        aws.next(&format!("download {look} . --dry-run"))
    ))
}

/// SageMaker's own words for it speak of a permission that nobody can give.
async fn foreign_role(aws: &Aws, job: &Job) {
    // A name is looked up in the account of the credentials.
    let role = job.cloud.role.as_deref().unwrap_or_default();
    if let Some((theirs, ours)) = aws.cross_account(role).await {
        eprint_line(format!(
            "warning: the role `{role}` is of account `{theirs}`, and these credentials are of account `{ours}`: \
             SageMaker takes only roles of the account that runs the job\n  \
             help: pass a role of account `{ours}`, or `--profile` of account `{theirs}`"
        ));
    }
}
