//! Settings that the SDK does not read as botocore does: environment variable, else key of the
//! profile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aws_config::retry::RetryConfig;

use super::AwsArgs;
use super::profiles::{ConfigFiles, expand_home};
use super::validate;
use crate::util::env_var;
use diagnostics::{Error, Result, sanitize};

/// Attempts per request without a setting: enough for throttling, and an outage is reported within
/// a minute.
const DEFAULT_ATTEMPTS: u32 = 5;

/// Configuration files and the selected profile.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) files: ConfigFiles,
    pub(super) profile: String,
}

/// A file of certificates, and the setting that names it.
#[derive(Debug, Clone)]
pub(super) struct CaBundle {
    pub(super) path: PathBuf,
    pub(super) source: String,
}

impl Settings {
    /// Reads the files. An unknown profile counts as empty.
    pub(super) fn read(args: &AwsArgs) -> Self {
        Self {
            files: ConfigFiles::read(),
            profile: args.profile_name(),
        }
    }

    /// Returns a key of the profile.
    pub(super) fn key(&self, key: &str) -> Option<&str> {
        self.files.get(&self.profile, key)
    }

    /// Returns value and source of a setting.
    fn value(&self, variable: &str, key: &str) -> Option<(OsString, String)> {
        if let Some(value) = env_var(variable) {
            return Some((value, variable.to_owned()));
        }
        let source = format!("`{key}` of the profile `{}`", sanitize(&self.profile));
        self.key(key).map(|value| (value.into(), source))
    }

    /// Returns the number of attempts, if it is set.
    pub(super) fn attempts(&self) -> Result<Option<u32>> {
        let Some((value, source)) = self.value("AWS_MAX_ATTEMPTS", "max_attempts") else {
            return Ok(None);
        };
        let value = value.to_string_lossy();
        match value.trim().parse() {
            Ok(attempts @ 1..) => Ok(Some(attempts)),
            _ => Err(Error::usage(format!(
                "{source} is `{}`, expected a number of attempts, at least 1",
                sanitize(&value)
            ))
            .help("`1` sends each request once; without the setting there are 5 attempts")),
        }
    }

    /// Returns mode and number of retries.
    pub(super) fn retries(&self) -> Result<RetryConfig> {
        let mode = self.value("AWS_RETRY_MODE", "retry_mode");
        let retries = match &mode {
            None => RetryConfig::standard(),
            Some((mode, source)) => match mode.to_string_lossy().to_lowercase().as_str() {
                // `legacy` differs in the pauses only.
                "standard" | "legacy" => RetryConfig::standard(),
                "adaptive" => RetryConfig::adaptive(),
                other => {
                    let found = format!("{source} is `{}`", sanitize(other));
                    return Err(Error::usage(format!("{found}, which is not a retry mode"))
                        .help("expected `standard`, `adaptive` or `legacy`"));
                }
            },
        };
        Ok(retries.with_max_attempts(self.attempts()?.unwrap_or(DEFAULT_ATTEMPTS)))
    }

    /// Returns the CA bundle, if one is set.
    pub(super) fn ca_bundle(&self) -> Option<CaBundle> {
        let (path, source) = self.value("AWS_CA_BUNDLE", "ca_bundle").or_else(|| {
            let name = "REQUESTS_CA_BUNDLE";
            // For the requests package it may also be a folder.
            let path = env_var(name).filter(|path| !Path::new(path).is_dir())?;
            Some((path, name.to_owned()))
        })?;
        let path = expand_home(Path::new(&path));
        Some(CaBundle { path, source })
    }

    /// Returns the endpoint of a service that is set in the environment or the `services` section:
    /// `name` is such as `s3`.
    pub(super) fn service_endpoint(&self, name: &str) -> Result<Option<String>> {
        let ignored = self.value(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        );
        if ignored.is_some_and(|(value, _)| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let variable = format!("AWS_ENDPOINT_URL_{}", name.to_uppercase());
        if let Some(url) = env_var(&variable).and_then(|url| url.into_string().ok()) {
            return Ok(Some(url));
        }
        let found = self.files.service_endpoint(&self.profile, name);
        if let Some(url) = found {
            validate::endpoint(&format!("the `services` section's {name}"), url)?;
        }
        Ok(found.map(str::to_owned))
    }

    /// True if buckets go into the path of a URL. botocore uses the path for custom endpoints:
    /// `bucket.127.0.0.1` does not resolve.
    pub(super) fn path_style(&self, custom_endpoint: bool) -> bool {
        match self.key("s3.addressing_style") {
            Some("path") => true,
            Some("virtual") => false,
            _ => custom_endpoint,
        }
    }
}
