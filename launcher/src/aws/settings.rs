//! Settings that the SDK does not read as botocore does: environment variable, else key of the
//! profile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aws_config::profile::profile_file;
use aws_config::retry::RetryConfig;

use super::AwsArgs;
use super::profiles::{ConfigFiles, expand_home};
use super::validate;
use crate::util::env_var;
use diagnostics::{Error, Result, sanitize};

/// Attempts per request without a setting: botocore's. Enough for throttling, and an outage is
/// reported within a minute.
const DEFAULT_ATTEMPTS: u32 = 5;

/// The same with a retry mode other than `legacy`.
const STANDARD_ATTEMPTS: u32 = 3;

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

/// Kind of S3's URLs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct S3Urls {
    /// The names of buckets go into the path.
    pub(super) path_style: bool,
    pub(super) accelerate: bool,
    pub(super) dual_stack: bool,
}

impl Settings {
    /// Reads the files. An unknown profile counts as empty.
    ///
    /// # Errors
    /// If a file is not in the format.
    pub(super) fn read(args: &AwsArgs) -> Result<Self> {
        Ok(Self {
            files: ConfigFiles::read()?,
            profile: args.profile_name(),
        })
    }

    /// Returns a key of the profile.
    pub(super) fn key(&self, key: &str) -> Option<&str> {
        self.files.get(&self.profile, key)
    }

    /// Returns the files for the SDK, whose profiles have the names of [`sdk_name`].
    ///
    /// [`sdk_name`]: super::profiles::sdk_name
    #[expect(
        deprecated,
        reason = "the new names are in a crate that is not a dependency"
    )]
    pub(super) fn sdk_files(&self) -> profile_file::ProfileFiles {
        profile_file::ProfileFiles::builder()
            .with_contents(profile_file::ProfileFileKind::Config, self.files.for_sdk())
            .build()
    }

    /// Returns value and source of a setting.
    pub(super) fn value(&self, variable: &str, key: &str) -> Option<(OsString, String)> {
        if let Some(value) = env_var(variable) {
            return Some((value, variable.to_owned()));
        }
        let source = format!("`{key}` of the profile `{}`", sanitize(&self.profile));
        self.key(key).map(|value| (value.into(), source))
    }

    /// Returns the number of attempts, if it is set.
    pub(super) fn attempts(&self) -> Result<Option<u32>> {
        self.number("AWS_MAX_ATTEMPTS", "max_attempts")
            .map_err(|error| {
                error.help("`1` sends each request once; without the setting there are 5 attempts")
            })
    }

    /// Returns a number, if it is set.
    pub(super) fn number(&self, variable: &str, key: &str) -> Result<Option<u32>> {
        let Some((value, source)) = self.value(variable, key) else {
            return Ok(None);
        };
        let value = value.to_string_lossy();
        match value.trim().parse() {
            Ok(number @ 1..) => Ok(Some(number)),
            _ => Err(Error::usage(format!(
                "{source} is `{}`, expected a whole number, at least 1",
                sanitize(&value)
            ))),
        }
    }

    /// True if a setting is `true`, in any case; all other values count as false.
    fn is_true(&self, variable: &str, key: &str) -> bool {
        let value = self.value(variable, key);
        value.is_some_and(|(value, _)| value.eq_ignore_ascii_case("true"))
    }

    /// Returns the region of the profile.
    pub(super) fn region(&self) -> Result<Option<&str>> {
        let region = self.key("region");
        if let Some(region) = region {
            let source = format!("`region` of the profile `{}`", sanitize(&self.profile));
            validate::region(&source, region)?;
        }
        Ok(region)
    }

    /// Returns mode and number of retries.
    pub(super) fn retries(&self) -> Result<RetryConfig> {
        let mode = self.value("AWS_RETRY_MODE", "retry_mode");
        let (retries, attempts) = match &mode {
            None => (RetryConfig::standard(), DEFAULT_ATTEMPTS),
            Some((mode, source)) => match mode.to_string_lossy().to_lowercase().as_str() {
                // Differs from `standard` in the pauses, too.
                "legacy" => (RetryConfig::standard(), DEFAULT_ATTEMPTS),
                "standard" => (RetryConfig::standard(), STANDARD_ATTEMPTS),
                "adaptive" => (RetryConfig::adaptive(), STANDARD_ATTEMPTS),
                other => {
                    let found = format!("{source} is `{}`", sanitize(other));
                    return Err(Error::usage(format!("{found}, which is not a retry mode"))
                        .help("expected `standard`, `adaptive` or `legacy`"));
                }
            },
        };
        Ok(retries.with_max_attempts(self.attempts()?.unwrap_or(attempts)))
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
        if self.is_true(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        ) {
            return Ok(None);
        }
        let variable = format!("AWS_ENDPOINT_URL_{}", name.to_uppercase());
        if let Some(url) = env_var(&variable).and_then(|url| url.into_string().ok()) {
            return Ok(Some(url));
        }
        if env_var("AWS_ENDPOINT_URL").is_some() {
            return Ok(None);
        }
        let found = self.files.service_endpoint(&self.profile, name)?;
        if let Some(url) = found {
            validate::endpoint(&format!("the `services` section's {name}"), url)?;
        }
        Ok(found.map(str::to_owned))
    }

    /// Returns how S3's URLs are made. botocore puts buckets into the path for custom endpoints:
    /// `bucket.127.0.0.1` does not resolve.
    pub(super) fn s3_urls(&self, custom_endpoint: bool) -> S3Urls {
        let key = |name| self.files.nested(&self.profile, "s3", name);
        let is_true = |name| key(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let accelerate = is_true("use_accelerate_endpoint") && !custom_endpoint;
        S3Urls {
            path_style: match key("addressing_style") {
                _ if accelerate => false,
                Some("path") => true,
                Some("virtual") => false,
                _ => custom_endpoint,
            },
            accelerate,
            dual_stack: is_true("use_dualstack_endpoint") && !custom_endpoint,
        }
    }
}
