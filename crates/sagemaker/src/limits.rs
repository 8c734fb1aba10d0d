//! What SageMaker refuses, checked before anything is sent or paid for.
//!
//! The numbers and patterns are those of the service's own API model; a test compares them with
//! the copy that botocore ships.

use std::collections::BTreeMap;

use crate::Error;
use crate::metrics::MetricDefinition;
use diagnostics::sanitize;

/// Hyperparameters of a job.
pub const HYPERPARAMETERS: usize = 100;
/// Characters in a hyperparameter's name.
pub const HYPERPARAMETER_NAME: usize = 256;
/// Characters in a hyperparameter's value.
pub const HYPERPARAMETER_VALUE: usize = 2500;
/// Environment variables of a job.
pub const ENVIRONMENT: usize = 100;
/// Characters in an environment variable's name.
pub const ENVIRONMENT_NAME: usize = 512;
/// Characters in an environment variable's value.
pub const ENVIRONMENT_VALUE: usize = 512;
/// Metric definitions of a job.
pub const METRICS: usize = 40;
/// Characters in a metric's name.
pub const METRIC_NAME: usize = 255;
/// Characters in a metric's regular expression.
pub const METRIC_REGEX: usize = 500;
/// Characters in a job's name.
pub const JOB_NAME: usize = 63;
/// Channels of a job.
pub const CHANNELS: usize = 20;
/// Characters in a channel's name.
pub const CHANNEL_NAME: usize = 64;
/// Seconds for which a warm pool may be kept.
pub const KEEP_ALIVE_SECONDS: u32 = 21_600;
/// Characters of the failure file that become the job's `FailureReason`.
pub const FAILURE: usize = 1024;

/// A job's name: letters, digits and, between them, hyphens.
pub fn check_job_name(name: &str) -> Result<(), Error> {
    let hyphen_at_an_end = name.starts_with('-') || name.ends_with('-');
    let allowed = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !name.is_empty() && name.len() <= JOB_NAME && allowed && !hyphen_at_an_end {
        return Ok(());
    }
    Err(Error::Limit {
        what: "name of the job".to_owned(),
        expected: format!("1 to {JOB_NAME} letters, digits and inner hyphens"),
        found: quoted(name),
        help: "give a shorter or plainer `--job-name-prefix`",
    })
}

/// A channel's name; `.` and `..` are refused too, because it becomes a folder's name.
pub fn check_channel_name(name: &str) -> Result<(), Error> {
    let allowed = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    if !name.is_empty() && name.len() <= CHANNEL_NAME && allowed && name != "." && name != ".." {
        return Ok(());
    }
    Err(Error::Limit {
        what: "name of a channel".to_owned(),
        expected: format!("1 to {CHANNEL_NAME} letters, digits, `.`, `-` and `_`"),
        found: quoted(name),
        help: "name it by its use: `train`, `validation`, `test` or `model`",
    })
}

/// The number of channels: a job has at least one.
pub fn check_channel_count(count: usize) -> Result<(), Error> {
    if (1..=CHANNELS).contains(&count) {
        return Ok(());
    }
    Err(Error::Limit {
        what: "channels".to_owned(),
        expected: format!("1 to {CHANNELS}"),
        found: count.to_string(),
        help: "a channel may be a folder with many files",
    })
}

/// The variables of a job's environment.
pub fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), Error> {
    at_most(
        "environment variables",
        ENVIRONMENT,
        variables.len(),
        "leave some out",
    )?;
    for (name, value) in variables {
        let mut chars = name.chars();
        let first = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Error::Limit {
                what: "name of an environment variable".to_owned(),
                expected: "letters, digits and `_`, no digit first".to_owned(),
                found: quoted(name),
                help: "rename it",
            });
        }
        let help = "put the value into a file in a channel";
        length(
            "name of an environment variable",
            name,
            ENVIRONMENT_NAME,
            "shorten it",
        )?;
        // The value may be a secret: only its length is shown.
        let what = format!("value of the environment variable {}", quoted(name));
        at_most_characters(&what, ENVIRONMENT_VALUE, value, help)?;
    }
    Ok(())
}

/// Hyperparameters as they are sent: names, and values that are already strings.
pub fn check_hyperparameters(values: &BTreeMap<String, String>) -> Result<(), Error> {
    let help = "leave out those that keep their default";
    at_most("hyperparameters", HYPERPARAMETERS, values.len(), help)?;
    for (name, value) in values {
        check_hyperparameter(name, value)?;
        if value.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(Error::Limit {
                what: format!("value of the hyperparameter {}", quoted(name)),
                expected: "one line".to_owned(),
                found: quoted(value),
                help: "write it as a JSON string, with `\\n` for the line break",
            });
        }
    }
    Ok(())
}

/// The lengths of one hyperparameter.
pub(crate) fn check_hyperparameter(name: &str, value: &str) -> Result<(), Error> {
    length(
        "name of a hyperparameter",
        name,
        HYPERPARAMETER_NAME,
        "shorten it",
    )?;
    let what = format!("value of the hyperparameter {}", quoted(name));
    let help = "put the value into a file in a channel and give its path";
    at_most_characters(&what, HYPERPARAMETER_VALUE, value, help)
}

/// The metric definitions of a job, ours and those that a user adds.
pub fn check_metric_definitions(definitions: &[MetricDefinition]) -> Result<(), Error> {
    at_most(
        "metric definitions",
        METRICS,
        definitions.len(),
        "leave some out",
    )?;
    for MetricDefinition { name, regex } in definitions {
        for (what, text, most) in [
            ("name of a metric", name, METRIC_NAME),
            ("regex of a metric", regex, METRIC_REGEX),
        ] {
            length(what, text, most, "shorten it")?;
            if text.is_empty() {
                return Err(Error::Limit {
                    what: what.to_owned(),
                    expected: "at least 1 character".to_owned(),
                    found: "0".to_owned(),
                    help: "give each definition a name and a regex",
                });
            }
        }
    }
    Ok(())
}

/// The time for which instances are kept for the next job.
pub fn check_keep_alive(seconds: u32) -> Result<(), Error> {
    if seconds <= KEEP_ALIVE_SECONDS {
        return Ok(());
    }
    Err(Error::Limit {
        what: "keep-alive period".to_owned(),
        expected: format!("at most {KEEP_ALIVE_SECONDS} seconds (6 hours)"),
        found: seconds.to_string(),
        help: "start the next job earlier, it prolongs the period",
    })
}

fn length(what: &str, text: &str, most: usize, help: &'static str) -> Result<(), Error> {
    if text.chars().count() <= most {
        return Ok(());
    }
    at_most_characters(&format!("{what} ({})", quoted(text)), most, text, help)
}

fn at_most_characters(
    what: &str,
    most: usize,
    text: &str,
    help: &'static str,
) -> Result<(), Error> {
    let count = text.chars().count();
    if count <= most {
        return Ok(());
    }
    Err(Error::Limit {
        what: what.to_owned(),
        expected: format!("at most {most} characters"),
        found: count.to_string(),
        help,
    })
}

fn at_most(what: &str, most: usize, count: usize, help: &'static str) -> Result<(), Error> {
    if count <= most {
        return Ok(());
    }
    Err(Error::Limit {
        what: what.to_owned(),
        expected: format!("at most {most}"),
        found: count.to_string(),
        help,
    })
}

/// The text in backticks, cut where it is too long for a message.
fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    let head: String = text.chars().take(MOST).collect();
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
    fn a_secret_is_not_repeated() {
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
    fn a_message_says_what_to_do() {
        let error = check_job_name("a_b\u{1b}").unwrap_err().to_string();
        assert_eq!(
            error,
            "name of the job: expected 1 to 63 letters, digits and inner hyphens, found `a_b\\u{1b}`\n  \
             help: give a shorter or plainer `--job-name-prefix`"
        );
    }
}
