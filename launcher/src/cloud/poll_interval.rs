//! Intervals between requests: short while a job changes, longer while it does not.

use std::time::Duration;

use sagemaker::Env;
use sagemaker::env_vars::Variable;

/// Base interval in milliseconds, for tests.
const POLL: Variable = Variable {
    name: "TRAINYARD_POLL_MS",
    meaning: "base interval of job polling",
};

/// Stays below the quotas of CloudWatch and SageMaker with several terminals on one account.
const BASE: Duration = Duration::from_secs(5);

/// Intervals between requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollInterval {
    base: Duration,
    logs: Duration,
    state: Duration,
}

impl PollInterval {
    /// Starts with short intervals.
    pub(crate) fn new(env: &Env) -> Self {
        let set = env.get(POLL).and_then(|text| text.to_str()?.parse().ok());
        let base = set.map_or(BASE, Duration::from_millis);
        Self {
            base,
            logs: base * 2 / 5,
            state: base,
        }
    }

    /// Interval until logs are read again; `found`: there were new ones.
    pub(super) fn logs(&mut self, found: bool) -> Duration {
        self.logs = if found {
            self.base * 2 / 5
        } else {
            (self.logs * 3 / 2).min(self.base * 2)
        };
        self.logs
    }

    /// Interval until the state is read again.
    pub(super) fn state(&mut self, changed: bool) -> Duration {
        self.state = if changed {
            self.base
        } else {
            (self.state * 6 / 5).min(self.base * 3)
        };
        self.state
    }

    /// Interval while the last log lines of an ended job arrive.
    pub(super) fn last_lines(&self) -> Duration {
        self.base * 2 / 5
    }

    /// Time for which errors about a new job may be wrong: a minute.
    pub(super) fn consistency_window(&self) -> Duration {
        self.base * 12
    }

    /// Interval after a transient error.
    pub(super) fn after_error(&self) -> Duration {
        self.base * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_grows_while_nothing_changes() {
        let none: [(&str, &str); 0] = [];
        let mut interval = PollInterval::new(&Env::from_map(none));
        assert_eq!(interval.logs(true), Duration::from_secs(2));
        for _ in 0..20 {
            interval.logs(false);
            interval.state(false);
        }
        assert_eq!(interval.logs(false), Duration::from_secs(10));
        assert_eq!(interval.state(false), Duration::from_secs(15));
        assert_eq!(interval.state(true), Duration::from_secs(5));
        let fast = PollInterval::new(&Env::from_map([("TRAINYARD_POLL_MS", "100")]));
        assert_eq!(fast.last_lines(), Duration::from_millis(40));
    }
}
