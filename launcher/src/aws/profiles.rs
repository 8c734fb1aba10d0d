//! The AWS CLI's configuration files, as botocore reads them. The SDK treats a missing profile as
//! empty, and does not read all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::util::env_var;
use diagnostics::{Error, Result};

/// Keys of a section, in lower case; nested keys as `s3.endpoint_url`.
type Keys = BTreeMap<String, String>;

/// Profiles and services of both files.
#[derive(Debug, Default)]
pub(super) struct ConfigFiles {
    profiles: BTreeMap<String, Keys>,
    services: BTreeMap<String, Keys>,
}

impl ConfigFiles {
    /// Reads the files. One that is missing counts as empty.
    pub(super) fn read() -> Self {
        let text = |variable, name| {
            let path = path(variable, name)?;
            std::fs::read_to_string(path).ok()
        };
        Self::parse(
            &text("AWS_CONFIG_FILE", "config").unwrap_or_default(),
            &text("AWS_SHARED_CREDENTIALS_FILE", "credentials").unwrap_or_default(),
        )
    }

    /// Keys of the credentials file take precedence. Only there, any section is a profile.
    fn parse(config: &str, credentials: &str) -> Self {
        let mut files = Self::default();
        for (header, keys) in sections(config) {
            if let Some(name) = named(&header, "services") {
                files.services.insert(name.to_owned(), keys);
            } else if let Some(name) = named(&header, "profile") {
                files.profiles.insert(name.to_owned(), keys);
            } else if header == "default" {
                files.profiles.insert(header, keys);
            }
        }
        for (header, keys) in sections(credentials) {
            files.profiles.entry(header).or_default().extend(keys);
        }
        files
    }

    /// Refuses a profile that is in neither file, except `default`.
    pub(super) fn check(&self, profile: &str) -> Result<()> {
        if profile == "default" || self.profiles.contains_key(profile) {
            return Ok(());
        }
        let shown = diagnostics::sanitize(profile).into_owned();
        let error = Error::usage(format!("no AWS profile `{shown}`"));
        let names: BTreeSet<_> = self
            .profiles
            .keys()
            .map(|name| diagnostics::sanitize(name))
            .collect();
        Err(if names.is_empty() {
            error.help(format!("add `[profile {shown}]` to ~/.aws/config, or `[{shown}]` with its keys to ~/.aws/credentials"))
        } else {
            let names: Vec<_> = names.into_iter().collect();
            error.help(format!("expected one of: {}", names.join(", ")))
        })
    }

    /// Returns a key of a profile.
    pub(super) fn get(&self, profile: &str, key: &str) -> Option<&str> {
        let value = self.profiles.get(profile)?.get(key)?.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// Returns the `endpoint_url` of a service in the profile's `services` section.
    pub(super) fn service_endpoint(&self, profile: &str, service: &str) -> Option<&str> {
        let services = self.services.get(self.get(profile, "services")?)?;
        services
            .get(&format!("{service}.endpoint_url"))
            .map(String::as_str)
    }
}

fn path(variable: &str, name: &str) -> Option<PathBuf> {
    match env_var(variable) {
        Some(path) => Some(expand_home(Path::new(&path))),
        None => Some(PathBuf::from(env_var("HOME")?).join(".aws").join(name)),
    }
}

/// Replaces `~/` by the home folder.
pub(super) fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env_var("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// Returns headers and keys of an INI file.
fn sections(text: &str) -> Vec<(String, Keys)> {
    let mut sections: Vec<(String, Keys)> = Vec::new();
    // The last key without a value: indented keys below it are nested.
    let mut parent = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            if let Some((header, _)) = rest.split_once(']') {
                sections.push((header.trim().to_owned(), Keys::new()));
                parent.clear();
            }
            continue;
        }
        let (Some((_, keys)), Some((key, value))) =
            (sections.last_mut(), trimmed.split_once(['=', ':']))
        else {
            continue;
        };
        let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
        if line.starts_with([' ', '\t']) && !parent.is_empty() {
            keys.insert(format!("{parent}.{key}"), value);
            continue;
        }
        parent = if value.is_empty() {
            key.clone()
        } else {
            String::new()
        };
        keys.insert(key, value);
    }
    sections
}

/// Returns NAME of `KIND NAME`; a name with spaces is in quotes.
fn named<'a>(header: &'a str, kind: &str) -> Option<&'a str> {
    let name = header.strip_prefix(kind)?;
    let name = name.starts_with([' ', '\t']).then(|| name.trim())?;
    let quoted = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    match quoted('"').or_else(|| quoted('\'')) {
        Some(name) => Some(name),
        None => (!name.contains(char::is_whitespace)).then_some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
# [no]
[default]
region = x
 [ profile  \"a b\" ] ; note
[profile-c]
[profile d]
Max_Attempts: 4
s3 =
  addressing_style = path
services = own
[profile e f]
[other]
[sso-session login]
[services own]
s3 =
  endpoint_url = http://host:1
[g
";

    #[test]
    fn reads_profiles_and_services() {
        let files = ConfigFiles::parse(CONFIG, "[d]\nmax_attempts = 5\n[profile x]\n");
        let names: Vec<_> = files.profiles.keys().map(String::as_str).collect();
        assert_eq!(names, ["a b", "d", "default", "profile x"]);
        assert_eq!(files.get("d", "max_attempts"), Some("5"));
        assert_eq!(files.get("d", "s3.addressing_style"), Some("path"));
        assert_eq!(files.service_endpoint("d", "s3"), Some("http://host:1"));
        assert_eq!(files.service_endpoint("default", "s3"), None);
    }
}
