//! What SageMaker refuses of a job, said before anything is sent: the SDK's builders take anything.

use std::time::Duration;

use diagnostics::{Error, Result, sanitize};
use sagemaker::limits;

use crate::job::{Job, Location, refused};

/// SageMaker's longest run, 28 days.
const LONGEST: Duration = Duration::from_secs(28 * 24 * 3600);
/// Of the user, beside our own.
const TAGS: usize = 50 - super::request::OWN_TAGS;
const TAG_KEY: usize = 128;
const TAG_VALUE: usize = 256;
const SUBNETS: usize = 16;
const SECURITY_GROUPS: usize = 5;
const NETWORK_ID: usize = 32;
const KMS_KEY: usize = 2048;
const IMAGE: usize = 255;
const URL: usize = 1024;

/// Numbers and patterns are those of SageMaker's API model; `tests/dry_run.rs` holds the request against it.
pub(super) fn check(job: &Job) -> Result<()> {
    let cloud = &job.cloud;
    times(job)?;
    tags(job)?;
    network("--subnet", &cloud.subnets, SUBNETS)?;
    network("--security-group", &cloud.security_groups, SECURITY_GROUPS)?;
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
        if time.is_some_and(|time| time > LONGEST) {
            return Err(Error::usage(format!("`{flag}` is longer than 28 days"))
                .help("SageMaker runs no job longer: pass at most `28d`"));
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
                .help("SageMaker keeps no spot machines: leave one of the two out"),
        );
    }
    Ok(())
}

fn tags(job: &Job) -> Result<()> {
    let tags = &job.cloud.tags;
    if tags.len() > TAGS {
        return Err(Error::usage(format!(
            "`--tag`: expected at most {TAGS} tags, found {}",
            tags.len()
        ))
        .help("leave some out"));
    }
    for (key, value) in tags {
        let sound = |text: &str| {
            text.chars()
                .all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c))
        };
        if !sound(key) || !sound(value) {
            return Err(Error::usage(format!(
                "`--tag {}={}` has a character that AWS does not take",
                sanitize(key),
                sanitize(value)
            ))
            .help("expected letters, digits, spaces and `_.:/=+-@`"));
        }
        if key.starts_with("aws:") || super::request::is_own_tag(key) {
            return Err(Error::usage(format!("`--tag {key}` is a reserved name"))
                .help("`aws:` is for AWS, `trainyard:` for this program"));
        }
        if key.chars().count() > TAG_KEY || value.chars().count() > TAG_VALUE {
            return Err(
                Error::usage(format!("`--tag {}` is too long", sanitize(key))).help(format!(
                    "expected at most {TAG_KEY} characters, `=`, and at most {TAG_VALUE}"
                )),
            );
        }
    }
    Ok(())
}

fn network(flag: &str, ids: &[String], most: usize) -> Result<()> {
    if ids.len() > most {
        return Err(Error::usage(format!(
            "`{flag}`: expected at most {most}, found {}",
            ids.len()
        ))
        .help("leave some out"));
    }
    for id in ids {
        let sound = !id.is_empty()
            && id.len() <= NETWORK_ID
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !sound {
            return Err(Error::usage(format!("`{flag} {}` is no id", sanitize(id)))
                .help("expected one such as `subnet-0123abcd` or `sg-0123abcd`"));
        }
    }
    Ok(())
}

fn kms(flag: &str, key: &str) -> Result<()> {
    let sound = !key.is_empty()
        && key.len() <= KMS_KEY
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b));
    if sound {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{flag} {}` is no KMS key", sanitize(key)))
            .help("expected a key's id, ARN or alias: `alias/my-key`"),
    )
}

fn image_uri(image: &str) -> Result<()> {
    let registry = image.split_once('/').map_or("", |(registry, _)| registry);
    let sound = registry.contains(['.', ':'])
        && image.len() <= IMAGE
        && image.bytes().all(|b| b.is_ascii_graphic());
    if sound {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`--image {}` is no image that SageMaker can pull",
        sanitize(image)
    ))
    .help("expected `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`; `trainyard push` prints it"))
}

fn url(location: &Location) -> Result<()> {
    let Location::S3(url) = location else {
        return Ok(());
    };
    let text = url.to_string();
    if text.chars().count() <= URL {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`{}` is too long: expected at most {URL} characters",
        sanitize(&text)
    ))
    .help("take a shorter prefix"))
}
