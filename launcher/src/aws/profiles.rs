//! Checks that a profile exists: the SDK treats a missing one as empty.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::util::env_var;
use diagnostics::{Error, Result};

/// Refuses a profile that is in neither file, except `default`.
pub(super) fn check(profile: &str) -> Result<()> {
    if profile == "default" {
        return Ok(());
    }
    let mut names = BTreeSet::new();
    for file in [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ] {
        let text = path(file).and_then(|path| std::fs::read_to_string(path).ok());
        names.extend(
            text.iter()
                .flat_map(|text| sections(text))
                .map(str::to_owned),
        );
    }
    if names.contains(profile) {
        return Ok(());
    }
    let shown = diagnostics::sanitize(profile).into_owned();
    let error = Error::usage(format!("no AWS profile `{shown}`"));
    Err(if names.is_empty() {
        error.help(format!("add `[profile {shown}]` to ~/.aws/config, or `[{shown}]` with its keys to ~/.aws/credentials"))
    } else {
        let names: Vec<_> = names
            .iter()
            .map(|name| diagnostics::sanitize(name))
            .collect();
        error.help(format!("expected one of: {}", names.join(", ")))
    })
}

fn path((variable, name): (&str, &str)) -> Option<PathBuf> {
    match env_var(variable) {
        Some(path) => Some(path.into()),
        None => Some(PathBuf::from(env_var("HOME")?).join(".aws").join(name)),
    }
}

/// Returns profile names: `[profile NAME]` in the config file, `[NAME]` in the credentials file.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let name = line.trim().strip_prefix('[')?.split(']').next()?.trim();
        let name = name.strip_prefix("profile").map_or(name, |rest| {
            // `[profile-a]` is a name itself.
            if rest.starts_with([' ', '\t']) {
                rest.trim()
            } else {
                name
            }
        });
        Some(name.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_of_both_files() {
        let text = "# [no]\n[default]\nregion = x\n [ profile  a b ] ; note\n[profile-c]\n[profile \"d\"]\n[e\n";
        let found: Vec<_> = sections(text).collect();
        assert_eq!(found, ["default", "a b", "profile-c", "d", "e"]);
    }
}
