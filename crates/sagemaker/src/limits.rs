//! SageMaker's limits, checked before a job is submitted.
//!
//! Numbers and patterns are from the API model of the service; a test compares them with botocore.

use std::collections::BTreeMap;
use std::fmt::Display;

use diagnostics::sanitize;

use crate::ContractError;
use crate::metrics::MetricDefinition;

/// Maximum number of hyperparameters of a job.
pub const MAX_HYPERPARAMETERS: usize = 100;
/// Maximum number of characters in a hyperparameter's name.
pub const MAX_HYPERPARAMETER_NAME: usize = 256;
/// Maximum number of characters in a hyperparameter's value.
pub const MAX_HYPERPARAMETER_VALUE: usize = 2500;
/// Maximum number of environment variables of a job.
pub const MAX_ENVIRONMENT: usize = 100;
/// Maximum number of characters in an environment variable's name.
pub const MAX_ENVIRONMENT_NAME: usize = 512;
/// Maximum number of characters in an environment variable's value.
pub const MAX_ENVIRONMENT_VALUE: usize = 512;
/// Maximum number of metric definitions of a job.
pub const MAX_METRICS: usize = 40;
/// Maximum number of characters in a metric's name.
pub const MAX_METRIC_NAME: usize = 255;
/// Maximum number of characters in a metric's regular expression.
pub const MAX_METRIC_REGEX: usize = 500;
/// Maximum number of characters in a job's name.
pub const MAX_JOB_NAME: usize = 63;
/// Maximum number of channels of a job.
pub const MAX_CHANNELS: usize = 20;
/// Maximum number of characters in a channel's name.
pub const MAX_CHANNEL_NAME: usize = 64;
/// Maximum keep-alive period of a warm pool in seconds.
pub const MAX_KEEP_ALIVE_SECONDS: u32 = 21_600;
/// Maximum number of characters of the failure file that become the job's `FailureReason`.
pub const MAX_FAILURE_REASON: usize = 1024;

/// Checks a job's name: letters, digits and inner hyphens.
///
/// # Errors
/// If the name is empty, too long or has other characters.
pub fn check_job_name(name: &str) -> Result<(), ContractError> {
    let hyphen_at_an_end = name.starts_with('-') || name.ends_with('-');
    let allowed = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let valid = !name.is_empty() && name.len() <= MAX_JOB_NAME && allowed && !hyphen_at_an_end;
    let expected = format!("1 to {MAX_JOB_NAME} letters, digits and inner hyphens");
    let help = "pass another `--job-name-prefix`";
    require(valid, "name of the job", &expected, quoted(name), help)
}

/// Checks a channel's name. Also refuses `.` and `..`, because the name becomes a folder.
///
/// # Errors
/// If the name is empty, too long or has other characters.
pub fn check_channel_name(name: &str) -> Result<(), ContractError> {
    let allowed = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    let length = (1..=MAX_CHANNEL_NAME).contains(&name.len());
    let valid = length && allowed && name != "." && name != "..";
    let expected = format!("1 to {MAX_CHANNEL_NAME} letters, digits, `.`, `-` and `_`");
    let help = "use `train`, `validation`, `test` or `model`";
    require(valid, "name of a channel", &expected, quoted(name), help)
}

/// Checks the number of channels.
///
/// # Errors
/// If there are none or too many.
pub fn check_channel_count(count: usize) -> Result<(), ContractError> {
    let valid = (1..=MAX_CHANNELS).contains(&count);
    let expected = format!("1 to {MAX_CHANNELS}");
    let help = "a channel may be a folder with many files";
    require(valid, "channels", &expected, count, help)
}

/// Checks the environment variables of a job.
///
/// # Errors
/// If there are too many, or a name or value is invalid or too long.
pub fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), ContractError> {
    at_most(
        "environment variables",
        MAX_ENVIRONMENT,
        variables.len(),
        "remove some",
    )?;
    for (name, value) in variables {
        let mut chars = name.chars();
        let first = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let valid = first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let what = "name of an environment variable";
        let expected = "letters, digits and `_`, not starting with a digit";
        require(valid, what, expected, quoted(name), "rename it")?;
        let help = "put the value into a file in a channel";
        length(what, name, MAX_ENVIRONMENT_NAME, "shorten it")?;
        // The value may be a secret: report only its length.
        let what = format!("value of the environment variable {}", quoted(name));
        at_most_characters(&what, MAX_ENVIRONMENT_VALUE, value, help)?;
    }
    Ok(())
}

/// Checks encoded hyperparameters.
///
/// # Errors
/// If there are too many, or a name or value is too long or has several lines.
pub fn check_hyperparameters(values: &BTreeMap<String, String>) -> Result<(), ContractError> {
    let help = "omit hyperparameters with default values";
    at_most("hyperparameters", MAX_HYPERPARAMETERS, values.len(), help)?;
    for (name, value) in values {
        check_hyperparameter(name, value)?;
        let one_line = !value.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
        let what = format!("value of the hyperparameter {}", quoted(name));
        let help = "write it as a JSON string, with `\\n` for the line break";
        require(one_line, &what, "one line", quoted(value), help)?;
    }
    Ok(())
}

/// Checks the lengths of a name and value.
pub(crate) fn check_hyperparameter(name: &str, value: &str) -> Result<(), ContractError> {
    length(
        "name of a hyperparameter",
        name,
        MAX_HYPERPARAMETER_NAME,
        "shorten it",
    )?;
    let what = format!("value of the hyperparameter {}", quoted(name));
    let help = "put the value into a file in a channel and give its path";
    at_most_characters(&what, MAX_HYPERPARAMETER_VALUE, value, help)
}

/// Checks the metric definitions of a job, including those of the user.
///
/// # Errors
/// If there are too many, or a name or regex is empty or too long.
pub fn check_metric_definitions(definitions: &[MetricDefinition]) -> Result<(), ContractError> {
    at_most(
        "metric definitions",
        MAX_METRICS,
        definitions.len(),
        "remove some",
    )?;
    for MetricDefinition { name, regex } in definitions {
        for (what, text, max) in [
            ("name of a metric", name, MAX_METRIC_NAME),
            ("regex of a metric", regex, MAX_METRIC_REGEX),
        ] {
            length(what, text, max, "shorten it")?;
            let help = "give each definition a name and a regex";
            require(!text.is_empty(), what, "at least 1 character", 0, help)?;
        }
    }
    Ok(())
}

/// Checks the keep-alive period of a warm pool.
///
/// # Errors
/// If it is too long.
pub fn check_keep_alive(seconds: u32) -> Result<(), ContractError> {
    let valid = seconds <= MAX_KEEP_ALIVE_SECONDS;
    let expected = format!("at most {MAX_KEEP_ALIVE_SECONDS} seconds (6 hours)");
    let help = "pass a shorter period; each job that reuses the pool extends it";
    require(valid, "keep-alive period", &expected, seconds, help)
}

fn length(what: &str, text: &str, max: usize, help: &'static str) -> Result<(), ContractError> {
    if text.chars().count() <= max {
        return Ok(());
    }
    at_most_characters(&format!("{what} ({})", quoted(text)), max, text, help)
}

fn at_most_characters(
    what: &str,
    max: usize,
    text: &str,
    help: &'static str,
) -> Result<(), ContractError> {
    let count = text.chars().count();
    let expected = format!("at most {max} characters");
    require(count <= max, what, &expected, count, help)
}

fn at_most(what: &str, max: usize, count: usize, help: &'static str) -> Result<(), ContractError> {
    let expected = format!("at most {max}");
    require(count <= max, what, &expected, count, help)
}

/// Returns the error of a limit that does not hold.
fn require(
    holds: bool,
    what: &str,
    expected: &str,
    found: impl Display,
    help: &'static str,
) -> Result<(), ContractError> {
    if holds {
        return Ok(());
    }
    Err(ContractError::Limit {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
        help,
    })
}

/// Returns the text in backticks, truncated for messages.
fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let head: String = text.chars().take(MAX_CHARS).collect();
    let dots = if head.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", sanitize(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    fn numbered(count: usize) -> BTreeMap<String, String> {
        (0..count)
            .map(|i| (format!("k{i}"), String::new()))
            .collect()
    }

    #[test]
    fn job_names() {
        for good in ["a", "svm-2026-11-22-10-00-00", "A--1", &"x".repeat(63)] {
            assert!(check_job_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a.b", "ä", "a b", &"x".repeat(64)] {
            assert!(check_job_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn channel_names() {
        for good in ["train", "my-data.v2_x", &"x".repeat(64)] {
            assert!(check_channel_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(check_channel_name(bad).is_err(), "{bad}");
        }
        assert!(check_channel_count(0).is_err());
        assert!(check_channel_count(20).is_ok());
        assert!(check_channel_count(21).is_err());
    }

    #[test]
    fn environments() {
        assert!(check_environment(&map("_A1", &"ä".repeat(512))).is_ok());
        assert!(check_environment(&map("A", &"x".repeat(513))).is_err());
        assert!(check_environment(&map(&"A".repeat(512), "")).is_ok());
        for bad in ["", "1A", "A-B", "A B", "Ä", &"A".repeat(513)] {
            assert!(check_environment(&map(bad, "")).is_err(), "{bad}");
        }
        assert!(check_environment(&numbered(100)).is_ok());
        assert!(check_environment(&numbered(101)).is_err());
    }

    #[test]
    fn values_of_variables_are_not_printed() {
        let secret = "hush".repeat(200);
        let error = check_environment(&map("TOKEN", &secret))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`TOKEN`") && error.contains("800") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn hyperparameters() {
        assert!(check_hyperparameters(&map(&"k".repeat(256), &"ü".repeat(2500))).is_ok());
        assert!(check_hyperparameters(&map(&"k".repeat(257), "")).is_err());
        assert!(check_hyperparameters(&map("k", &"v".repeat(2501))).is_err());
        assert!(check_hyperparameters(&map("k", "two\nlines")).is_err());
        assert!(check_hyperparameters(&numbered(100)).is_ok());
        assert!(check_hyperparameters(&numbered(101)).is_err());
    }

    #[test]
    fn metric_definitions() {
        let define = |name: &str, regex: &str| MetricDefinition {
            name: name.to_owned(),
            regex: regex.to_owned(),
        };
        assert!(check_metric_definitions(&[define("a", &"x".repeat(500))]).is_ok());
        assert!(check_metric_definitions(&[define("a", &"x".repeat(501))]).is_err());
        assert!(check_metric_definitions(&[define("", "x")]).is_err());
        assert!(check_metric_definitions(&vec![define("a", "x"); 40]).is_ok());
        assert!(check_metric_definitions(&vec![define("a", "x"); 41]).is_err());
    }

    #[test]
    fn keep_alive() {
        assert!(check_keep_alive(21_600).is_ok());
        assert!(check_keep_alive(21_601).is_err());
    }

    #[test]
    fn message_has_help() {
        let error = check_job_name("a_b\u{1b}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "name of the job: expected 1 to 63 letters, digits and inner hyphens, found `a_b\\u{1b}`"
        );
        assert_eq!(error.help(), "pass another `--job-name-prefix`");
    }
}
