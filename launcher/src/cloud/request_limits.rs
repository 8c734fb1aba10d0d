//! Checks limits of the SageMaker API before a request is sent; builders of the SDK check none.

use std::time::Duration;

use diagnostics::{Error, Result, sanitize};
use sagemaker::limits;

use crate::job::{Job, Location, refused};

/// Longest run time in SageMaker: 28 days.
pub(crate) const MAX_RUN_TIME: Duration = Duration::from_secs(28 * 24 * 3600);
/// Tags of the user, besides those of this program.
const MAX_TAGS: usize = 50 - super::request::OWN_TAGS;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
const MAX_SUBNETS: usize = 16;
const MAX_SECURITY_GROUPS: usize = 5;
const MAX_NETWORK_ID: usize = 32;
const MAX_KMS_KEY: usize = 2048;
const MAX_IMAGE_URI: usize = 255;
const MAX_URL: usize = 1024;

/// Checks the limits of the API model of SageMaker; `tests/dry_run.rs` checks requests against it.
pub(super) fn check(job: &Job) -> Result<()> {
    let cloud = &job.cloud;
    times(job)?;
    tags(job)?;
    network("--subnet", &cloud.subnets, MAX_SUBNETS)?;
    network(
        "--security-group",
        &cloud.security_groups,
        MAX_SECURITY_GROUPS,
    )?;
    for (flag, key) in [
        ("--volume-kms-key", &cloud.volume_kms_key),
        ("--output-kms-key", &cloud.output_kms_key),
    ] {
        if let Some(key) = key {
            kms(flag, key)?;
        }
    }
    if let Some(image) = &job.image {
        image_uri(image)?;
    }
    let channels = job.channels.iter().map(|channel| &channel.source);
    for location in channels.chain([&job.output]).chain(&job.checkpoints) {
        url(location)?;
    }
    Ok(())
}

fn times(job: &Job) -> Result<()> {
    let cloud = &job.cloud;
    for (flag, time) in [("--max-run", Some(job.max_run)), ("--max-wait", cloud.spot)] {
        if time.is_some_and(|time| time > MAX_RUN_TIME) {
            return Err(Error::usage(format!("`{flag}` is longer than 28 days"))
                .help("SageMaker allows at most 28 days: pass `28d` or less"));
        }
    }
    let Some(keep) = cloud.keep_alive else {
        return Ok(());
    };
    let seconds = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
    limits::check_keep_alive(seconds).map_err(|error| refused("`--keep-alive`", &error))?;
    if cloud.spot.is_some() {
        return Err(
            Error::usage("`--keep-alive` and `--spot` exclude each other")
                .help("SageMaker does not keep spot instances: leave one of them out"),
        );
    }
    Ok(())
}

fn tags(job: &Job) -> Result<()> {
    let tags = &job.cloud.tags;
    if tags.len() > MAX_TAGS {
        return Err(Error::usage(format!(
            "`--tag`: expected at most {MAX_TAGS} tags, found {}",
            tags.len()
        ))
        .help("leave some out"));
    }
    for (key, value) in tags {
        let is_valid = |text: &str| {
            text.chars()
                .all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c))
        };
        if !is_valid(key) || !is_valid(value) {
            return Err(Error::usage(format!(
                "`--tag {}={}` has a character that AWS does not accept",
                sanitize(key),
                sanitize(value)
            ))
            .help("expected letters, digits, spaces and `_.:/=+-@`"));
        }
        if key.starts_with("aws:") || super::request::is_own_tag(key) {
            return Err(Error::usage(format!("`--tag {key}` is a reserved name"))
                .help("`aws:` is reserved for AWS, `trainyard:` for this program"));
        }
        if key.chars().count() > MAX_TAG_KEY || value.chars().count() > MAX_TAG_VALUE {
            return Err(
                Error::usage(format!("`--tag {}` is too long", sanitize(key))).help(format!(
                    "expected at most {MAX_TAG_KEY} characters, `=`, and at most {MAX_TAG_VALUE}"
                )),
            );
        }
    }
    Ok(())
}

fn network(flag: &str, ids: &[String], max: usize) -> Result<()> {
    if ids.len() > max {
        return Err(Error::usage(format!(
            "`{flag}`: expected at most {max}, found {}",
            ids.len()
        ))
        .help("leave some out"));
    }
    for id in ids {
        let is_valid = !id.is_empty()
            && id.len() <= MAX_NETWORK_ID
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_valid {
            return Err(
                Error::usage(format!("`{flag} {}` is not an id", sanitize(id)))
                    .help("expected one such as `subnet-0123abcd` or `sg-0123abcd`"),
            );
        }
    }
    Ok(())
}

fn kms(flag: &str, key: &str) -> Result<()> {
    let is_valid = !key.is_empty()
        && key.len() <= MAX_KMS_KEY
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b));
    if is_valid {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{flag} {}` is not a KMS key", sanitize(key)))
            .help("expected a key's id, ARN or alias: `alias/my-key`"),
    )
}

fn image_uri(image: &str) -> Result<()> {
    let registry = image.split_once('/').map_or("", |(registry, _)| registry);
    let is_valid = registry.contains(['.', ':'])
        && image.len() <= MAX_IMAGE_URI
        && image.bytes().all(|b| b.is_ascii_graphic());
    if is_valid {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`--image {}` is not an image URI for SageMaker",
        sanitize(image)
    ))
    .help("expected `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`; `trainyard push` prints it"))
}

fn url(location: &Location) -> Result<()> {
    let Location::S3(url) = location else {
        return Ok(());
    };
    let text = url.to_string();
    if text.chars().count() <= MAX_URL {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`{}` is too long: expected at most {MAX_URL} characters",
        sanitize(&text)
    ))
    .help("pass a shorter prefix"))
}
