//! A launcher that runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Outcome, Running, run, start};

use super::Jobs;

/// Limit for events that take a second or two on an idle machine.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A launcher whose trainer runs.
pub struct Started {
    pub running: Running,
    log: PathBuf,
}

impl Started {
    /// Starts the command and waits until `line` is on its standard error.
    #[track_caller]
    pub fn new(command: Command, line: &str, jobs: &Jobs) -> Self {
        let log = jobs.path("log");
        // `exec`, so that signals reach the launcher.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "log=$1; shift; exec \"$@\" 2>\"$log\"", "sh"])
            .arg(&log)
            .arg(command.get_program())
            .args(command.get_args());
        jobs.environment(&mut shell);
        let mut started = Self {
            running: start(shell),
            log,
        };
        started.wait_for(line);
        started
    }

    #[track_caller]
    pub fn wait_for(&mut self, line: &str) {
        let log = self.log.clone();
        self.wait_until(|| {
            let bytes = fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(line)
        });
    }

    /// Waits until `happened` while the launcher runs.
    #[track_caller]
    pub fn wait_until(&mut self, happened: impl Fn() -> bool) {
        let until = Instant::now() + EVENT_TIMEOUT;
        while !happened() {
            assert!(
                Instant::now() < until && !self.running.ended(),
                "it did not happen; the log is:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}"))
            .arg(self.running.pid().to_string());
        run(kill).expect_code(0);
    }

    /// Waits for the end. The outcome has the standard error.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        let log = self.log.clone();
        let mut outcome = self.running.finish(Duration::from_secs(180));
        outcome.stderr = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        outcome
    }
}
