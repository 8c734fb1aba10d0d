//! Validates endpoints, regions and keys on which the SDK would panic or fail late.

use std::env;

use super::AwsArgs;
use diagnostics::{Error, Result};

const KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// Refuses invalid endpoints, regions and keys of options and environment.
pub(super) fn check(args: &AwsArgs) -> Result<()> {
    if let Some(url) = &args.endpoint_url {
        endpoint("--endpoint-url", url)?;
    }
    for (name, value) in env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if name.starts_with("AWS_ENDPOINT_URL") {
            endpoint(&name, &value)?;
        } else if KEYS.contains(&name.as_ref()) {
            key(&name, &value)?;
        } else if ["AWS_REGION", "AWS_DEFAULT_REGION"].contains(&name.as_ref()) && !value.is_empty()
        {
            region(&name, &value)?;
        }
    }
    match &args.region {
        Some(value) => region("--region", value),
        None => Ok(()),
    }
}

/// Refuses an invalid URL, and one with a password, which error messages would show.
pub(super) fn endpoint(name: &str, value: &str) -> Result<()> {
    if value.contains('@') {
        // Not shown: may contain a password, which may contain `/`.
        return Err(Error::usage(format!(
            "{name} has a user or a password before `@`, expected a URL such as `https://host:port`"
        ))
        .help("leave out everything up to `@`: requests are signed with the AWS credentials"));
    }
    let rest = value
        .strip_prefix("http://")
        .or_else(|| value.strip_prefix("https://"));
    let is_valid = |rest: &str| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match rest {
        Some(rest) if is_valid(rest) => Ok(()),
        _ => Err(Error::usage(format!(
            "{name} is `{}`, expected a URL such as `https://host:port`",
            diagnostics::sanitize(value)
        ))
        .help(if name.starts_with("--") {
            "leave it out for the endpoints of AWS".to_owned()
        } else if name.starts_with("AWS_") {
            format!("`unset {name}` for the endpoints of AWS")
        } else {
            "remove `endpoint_url` from ~/.aws/config for the endpoints of AWS".to_owned()
        })),
    }
}

/// Refuses an invalid name of a region.
pub(super) fn region(name: &str, value: &str) -> Result<()> {
    let is_valid = value
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_valid && !value.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{name} is `{}`, expected a region such as `eu-west-1`",
        diagnostics::sanitize(value)
    ))
    .help("pass `--region eu-west-1`, which takes precedence"))
}

/// Does not show the value: it is a secret.
fn key(name: &str, value: &str) -> Result<()> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{name} contains whitespace or a character that is not ASCII"
    ))
    .help("set it again; a file with Windows line endings adds a carriage return to the value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_invalid_endpoints_regions_and_keys() {
        for url in ["http://127.0.0.1:5000", "https://host", "https://host/path"] {
            assert!(endpoint("AWS_ENDPOINT_URL", url).is_ok(), "{url}");
        }
        for url in [
            "",
            "foo",
            "http://",
            "http:///x",
            "ftp://host",
            "http://a b",
        ] {
            assert!(endpoint("AWS_ENDPOINT_URL_S3", url).is_err(), "{url}");
        }
        for url in [
            "http://user:canary@host",
            "https://canary@host:1/path",
            "http://user:canary/canary@host",
            "ftp://user:canary@host",
            "user:canary@host",
        ] {
            let error = endpoint("--endpoint-url", url).expect_err("a password");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(region("--region", "us-gov-west-1").is_ok());
        for name in ["", "us east", "us-east-1 ", "US-EAST-1"] {
            assert!(region("--region", name).is_err(), "{name}");
        }
        let error = key("AWS_ACCESS_KEY_ID", "canary\n").expect_err("a line break");
        assert!(!error.to_string().contains("canary"));
        assert!(key("AWS_SECRET_ACCESS_KEY", "a/b+c=").is_ok());
    }
}
