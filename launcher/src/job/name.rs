use std::fmt;

use jiff::Timestamp;
use sagemaker::limits;

use diagnostics::{Error, Result};

/// Name of a job that SageMaker accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobName(String);

impl JobName {
    /// Makes `PREFIX-2026-11-23-03-45-12-123-7f3a`, in UTC. `random` separates jobs of the same
    /// millisecond, whose data is uploaded before SageMaker refuses the second name.
    pub(crate) fn new(prefix: &str, now: Timestamp, random: u16) -> Result<Self> {
        let stamp = format!("{}-{random:04x}", now.strftime("%Y-%m-%d-%H-%M-%S-%3f"));
        let name = format!("{prefix}-{stamp}");
        limits::check_job_name(&name).map_err(|error| {
            Error::usage(format!("`--job-name-prefix {prefix}`: {error}"))
                .help(error.help())
                .help(format!(
                    "expected at most {} letters, digits and single dashes",
                    limits::MAX_JOB_NAME - stamp.len() - 1
                ))
        })?;
        Ok(Self(name))
    }

    /// Name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_prefix_time_and_random_part() {
        let now: Timestamp = "2026-11-23T03:45:12.123Z".parse().expect("a time");
        let name = JobName::new("svm", now, 0x1f).expect("valid");
        assert_eq!(name.as_str(), "svm-2026-11-23-03-45-12-123-001f");
        for bad in ["", "-svm", "a_b", "ä", &"x".repeat(40)] {
            assert!(JobName::new(bad, now, 0).is_err(), "{bad}");
        }
    }
}
