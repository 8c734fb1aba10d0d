//! How often AWS is asked: quickly while something happens, slowly while nothing does.

use std::time::Duration;

use sagemaker::Env;
use sagemaker::vars::Variable;

/// For tests, in milliseconds; jobs there live for a second.
const POLL: Variable = Variable {
    name: "TRAINYARD_POLL_MS",
    meaning: "how often a job is looked at",
};

/// Below the quotas of CloudWatch and SageMaker even with several terminals on one account.
const BASE: Duration = Duration::from_secs(5);

/// The pauses between requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollInterval {
    base: Duration,
    logs: Duration,
    state: Duration,
}

impl PollInterval {
    /// Starts quickly.
    pub(crate) fn new(env: &Env) -> Self {
        let typed = env.get(POLL).and_then(|text| text.to_str()?.parse().ok());
        let base = typed.map_or(BASE, Duration::from_millis);
        Self {
            base,
            logs: base * 2 / 5,
            state: base,
        }
    }

    /// The pause before logs are read again; `found` says whether there were new ones.
    pub(super) fn logs(&mut self, found: bool) -> Duration {
        self.logs = if found {
            self.base * 2 / 5
        } else {
            (self.logs * 3 / 2).min(self.base * 2)
        };
        self.logs
    }

    /// The pause before the state is asked again.
    pub(super) fn state(&mut self, changed: bool) -> Duration {
        self.state = if changed {
            self.base
        } else {
            (self.state * 6 / 5).min(self.base * 3)
        };
        self.state
    }

    /// The pause while an ended job's last log lines arrive.
    pub(super) fn last_lines(&self) -> Duration {
        self.base * 2 / 5
    }

    /// The pause after trouble.
    pub(super) fn trouble(&self) -> Duration {
        self.base * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_and_slow() {
        let none: [(&str, &str); 0] = [];
        let mut pace = PollInterval::new(&Env::from_map(none));
        assert_eq!(pace.logs(true), Duration::from_secs(2));
        for _ in 0..20 {
            pace.logs(false);
            pace.state(false);
        }
        assert_eq!(pace.logs(false), Duration::from_secs(10));
        assert_eq!(pace.state(false), Duration::from_secs(15));
        assert_eq!(pace.state(true), Duration::from_secs(5));
        let fast = PollInterval::new(&Env::from_map([("TRAINYARD_POLL_MS", "100")]));
        assert_eq!(fast.last_lines(), Duration::from_millis(40));
    }
}
