//! The AWS CLI's configuration files, as botocore reads them. The SDK reads quoted names, indented
//! lines and `[profile default]` in another way, so it gets the files rewritten.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::util::env_var;
use diagnostics::{Error, Result, sanitize};

/// Keys of a section, in lower case. A value with nested keys starts with a line break.
type Keys = BTreeMap<String, String>;

/// Sections by name.
type Sections = BTreeMap<String, Keys>;

/// Profiles, services and SSO sessions of both files.
#[derive(Debug, Default)]
pub(super) struct ConfigFiles {
    profiles: Sections,
    services: Sections,
    sessions: Sections,
}

impl ConfigFiles {
    /// Reads the files. One that is missing counts as empty.
    ///
    /// # Errors
    /// If a file is not in the format.
    pub(super) fn read() -> Result<Self> {
        Ok(Self::merge(
            read_file("AWS_CONFIG_FILE", "config")?,
            read_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
        ))
    }

    /// Keys of the credentials file take precedence. Only there, any section is a profile.
    fn merge(config: Vec<(String, Keys)>, credentials: Vec<(String, Keys)>) -> Self {
        let mut files = Self::default();
        for (header, keys) in config {
            if let Some(name) = named(&header, "services") {
                files.services.insert(name.to_owned(), keys);
            } else if let Some(name) = named(&header, "sso-session") {
                files.sessions.insert(name.to_owned(), keys);
            } else if let Some(name) = named(&header, "profile") {
                files.profiles.insert(name.to_owned(), keys);
            } else if header == "default" {
                files.profiles.insert(header, keys);
            }
        }
        for (header, keys) in credentials {
            files.profiles.entry(header).or_default().extend(keys);
        }
        files
    }

    /// Refuses a profile that is in neither file, except `default`.
    pub(super) fn check(&self, profile: &str) -> Result<()> {
        if profile == "default" || self.profiles.contains_key(profile) {
            return Ok(());
        }
        let shown = sanitize(profile).into_owned();
        let error = Error::usage(format!("no AWS profile `{shown}`"));
        let names: BTreeSet<_> = self.profiles.keys().map(|name| sanitize(name)).collect();
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
        (!value.is_empty() && !value.starts_with('\n')).then_some(value)
    }

    /// Returns a key that is nested in a key of a profile, such as `addressing_style` in `s3`.
    pub(super) fn nested(&self, profile: &str, key: &str, name: &str) -> Option<&str> {
        nested(self.profiles.get(profile)?, key, name)
    }

    /// Returns the `endpoint_url` of a service in the profile's `services` section.
    ///
    /// # Errors
    /// If there is no such section.
    pub(super) fn service_endpoint(&self, profile: &str, service: &str) -> Result<Option<&str>> {
        let Some(section) = self.get(profile, "services") else {
            return Ok(None);
        };
        match self.services.get(section) {
            Some(services) => Ok(nested(services, service, "endpoint_url")),
            None => {
                let (section, profile) = (sanitize(section), sanitize(profile));
                let found = format!("`services` of the profile `{profile}` is `{section}`");
                Err(
                    Error::usage(format!("{found}, expected a section of ~/.aws/config")).help(
                        format!(
                            "add `[services {section}]`, or remove `services` from the profile"
                        ),
                    ),
                )
            }
        }
    }

    /// Returns the files as one configuration file for the SDK.
    pub(super) fn for_sdk(&self) -> String {
        let mut text = String::new();
        for (kind, sections) in [
            ("profile", &self.profiles),
            ("services", &self.services),
            ("sso-session", &self.sessions),
        ] {
            for (name, keys) in sections {
                text += &format!("[{kind} {}]\n", sdk_name(name));
                for (key, value) in keys.iter().filter(|(key, _)| key.chars().all(in_sdk_name)) {
                    let is_name = ["services", "source_profile", "sso_session"].contains(&&**key);
                    let value = if is_name {
                        sdk_name(value)
                    } else {
                        value.replace('\n', "\n  ")
                    };
                    text += &format!("{key}={value}\n");
                }
            }
        }
        text
    }
}

/// Returns the name that a section has for the SDK, which ignores those with other characters.
pub(super) fn sdk_name(name: &str) -> String {
    let mut known = String::new();
    for character in name.chars() {
        if in_sdk_name(character) {
            known.push(character);
        } else {
            known += &format!("%{:x}", u32::from(character));
        }
    }
    known
}

fn in_sdk_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-/.%@:+".contains(character)
}

fn nested<'a>(keys: &'a Keys, key: &str, name: &str) -> Option<&'a str> {
    let lines = keys.get(key)?.strip_prefix('\n')?.lines();
    let mut pairs = lines.filter_map(|line| line.split_once('='));
    let (_, value) = pairs.rfind(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

/// Returns the sections of a file.
fn read_file(variable: &str, name: &str) -> Result<Vec<(String, Keys)>> {
    let Some(path) = path(variable, name) else {
        return Ok(Vec::new());
    };
    let shown = path.to_string_lossy();
    match std::fs::read_to_string(&path) {
        Ok(text) => sections(&text).map_err(|(line, found)| {
            Error::usage(format!("`{}`, line {line}: {found}", sanitize(&shown)))
                .help("correct this line; the AWS CLI refuses the file, too")
        }),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(
                Error::usage(format!("`{}` is not a text in UTF-8", sanitize(&shown))).help(
                    format!("expected a configuration file; {variable} sets its path"),
                ),
            )
        }
        Err(_) => Ok(Vec::new()),
    }
}

fn path(variable: &str, name: &str) -> Option<PathBuf> {
    match env_var(variable) {
        Some(path) => {
            let path = expand_variables(&path.to_string_lossy());
            Some(expand_home(Path::new(&path)))
        }
        None => Some(PathBuf::from(env_var("HOME")?).join(".aws").join(name)),
    }
}

/// Replaces `$NAME` and `${NAME}` by the variable, if it is set.
fn expand_variables(text: &str) -> String {
    let Some((before, rest)) = text.split_once('$') else {
        return text.to_owned();
    };
    let in_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let (name, after) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some(parts) => parts,
        None => rest.split_at(rest.find(|next: char| !in_name(next)).unwrap_or(rest.len())),
    };
    match std::env::var(name) {
        Ok(value) => format!("{before}{value}{}", expand_variables(after)),
        Err(_) => format!("{before}${}", expand_variables(rest)),
    }
}

/// Replaces `~/` by the home folder.
pub(super) fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env_var("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// Returns headers and keys of an INI file, as Python's `configparser` finds them: a line that is
/// indented more than its key continues the value. An error has the number of its line.
fn sections(text: &str) -> Result<Vec<(String, Keys)>, (usize, String)> {
    let mut sections: Vec<(String, Keys)> = Vec::new();
    // Key above, and its indentation.
    let (mut above, mut indentation): (Option<String>, usize) = (None, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        let error = |found: String| Err((number, found));
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        let continued = above.as_ref().filter(|_| depth > indentation);
        if let (Some(key), Some((_, keys))) = (continued, sections.last_mut()) {
            let value = keys.entry(key.clone()).or_default();
            if (value.is_empty() || value.starts_with('\n')) && !trimmed.contains('=') {
                return error("expected `key = value`".to_owned());
            }
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        indentation = depth;
        let header = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once(']'));
        if let Some((header, _)) = header {
            if sections.iter().any(|(known, _)| known == header) {
                return error(format!("a second section `[{}]`", sanitize(header)));
            }
            sections.push((header.to_owned(), Keys::new()));
            above = None;
            continue;
        }
        let Some((_, keys)) = sections.last_mut() else {
            return error("expected a section such as `[default]` first".to_owned());
        };
        let pair = trimmed.split_once(['=', ':']);
        let Some((key, value)) = pair.filter(|(key, _)| !key.trim().is_empty()) else {
            return error("expected `key = value`".to_owned());
        };
        let key = key.trim().to_lowercase();
        if keys.insert(key.clone(), value.trim().to_owned()).is_some() {
            return error(format!(
                "a second value of `{}` in its section",
                sanitize(&key)
            ));
        }
        above = Some(key);
    }
    Ok(sections)
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
  y
[profile  \"a b\"] ; note
[profile-c]
[profile d]
Max_Attempts: 4
s3 =
  # a comment
  addressing_style = path
services = own
source_profile = a b
[profile e f]
[other]
[sso-session login]
sso_region = eu-west-1
[services own]
s3 =
  endpoint_url = http://host:1
";

    fn parse(config: &str, credentials: &str) -> Result<ConfigFiles, (usize, String)> {
        Ok(ConfigFiles::merge(
            sections(config)?,
            sections(credentials)?,
        ))
    }

    #[test]
    fn reads_profiles_and_services() {
        let files = parse(CONFIG, "[d]\nmax_attempts = 5\n[profile x]\n").expect("valid files");
        let names: Vec<_> = files.profiles.keys().map(String::as_str).collect();
        assert_eq!(names, ["a b", "d", "default", "profile x"]);
        assert_eq!(files.get("default", "region"), Some("x\ny"));
        assert_eq!(files.get("d", "max_attempts"), Some("5"));
        assert_eq!(files.nested("d", "s3", "addressing_style"), Some("path"));
        assert_eq!(files.get("d", "s3"), None);
        let endpoint = |profile| files.service_endpoint(profile, "s3").expect("a section");
        assert_eq!(endpoint("d"), Some("http://host:1"));
        assert_eq!(endpoint("default"), None);
    }

    #[test]
    fn rewrites_the_files_for_the_sdk() {
        let files = parse(CONFIG, "[d]\naws_access_key_id = k\n").expect("valid files");
        let expected = "\
[profile a%20b]
[profile d]
aws_access_key_id=k
max_attempts=4
s3=
  addressing_style = path
services=own
source_profile=a%20b
[profile default]
region=x
  y
[services own]
s3=
  endpoint_url = http://host:1
[sso-session login]
sso_region=eu-west-1
";
        assert_eq!(files.for_sdk(), expected);
    }

    /// The judge is botocore, in tests/judges/aws_cli.py: it refuses the same files.
    #[test]
    fn refuses_what_configparser_refuses() {
        for (text, line) in [
            ("region = x\n[default]\n", 1),
            ("[default]\nregion = x\nregion = y\n", 3),
            ("[default]\n\n[default]\n", 3),
            ("[default]\nnothing\n", 2),
            ("[default]\ns3 =\n  nothing\n", 3),
            ("[default]\n[g\n", 2),
            ("[default]\n= x\n", 2),
        ] {
            let error = parse(text, "").expect_err(text);
            assert_eq!(error.0, line, "{text}: {}", error.1);
        }
    }

    #[test]
    fn expands_variables_of_paths() {
        let home = std::env::var("HOME").unwrap_or_default();
        for (text, expected) in [
            ("a/b", "a/b".to_owned()),
            ("$HOME/b", format!("{home}/b")),
            ("${HOME}b$", format!("{home}b$")),
            ("$NO_SUCH_VARIABLE/$", "$NO_SUCH_VARIABLE/$".to_owned()),
        ] {
            assert_eq!(expand_variables(text), expected);
        }
    }
}
