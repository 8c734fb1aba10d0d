//! [`Run`]: threads, seed, stop flag, messages, history and checkpoints of a training run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::BestMetric;
use crate::checkpoint::{Checkpoints, Restored};
use crate::progress::Progress;
use crate::stop::{RunPhase, Stop};
use dataset::random::stream;
use diagnostics::{Error, ErrorKind, Warning};
use evaluation::history::EpochReport;

/// Time that [`Run::with_grace`] leaves after a stop: a quarter of SageMaker's two minutes between
/// SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// Interval at which it looks for a stop.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The hosts of a training job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hosts {
    /// Host names by rank; empty if this host trains alone. They resolve in the job's network.
    pub names: Vec<String>,
    /// Rank of this host.
    pub rank: usize,
    /// `host:port` on which rank 0 listens, if it was set.
    pub leader: Option<String>,
    /// Network interface between the hosts.
    pub interface: Option<String>,
    /// Key that only hosts of this job have.
    pub key: [u8; 32],
    /// Arguments that must be the same on all hosts, by name.
    pub arguments: BTreeMap<String, String>,
}

/// A training run.
pub struct Run {
    hosts: Hosts,
    threads: usize,
    seed: u64,
    stop: Stop,
    /// The stop that a period of grace follows.
    before_grace: Option<Stop>,
    progress: Arc<Progress>,
    warnings: Vec<Warning>,
    history: Vec<EpochReport>,
    checkpoints: Option<Checkpoints>,
    restored: Option<Restored>,
    /// True if a report will be written.
    report: bool,
    /// True if the last checkpoint could not be written: the warning is not repeated.
    unsaved: bool,
    /// True if it repeats the training of another run, whose metrics are the reported ones.
    repeats: bool,
}

impl Run {
    /// Creates a run with this number of threads.
    pub fn new(threads: usize, seed: u64, stop: Stop, progress: Arc<Progress>) -> Self {
        Self {
            hosts: Hosts::default(),
            threads,
            seed,
            stop,
            before_grace: None,
            progress,
            warnings: Vec::new(),
            history: Vec::new(),
            checkpoints: None,
            restored: None,
            report: true,
            unsaved: false,
            repeats: false,
        }
    }

    /// Turns the report off.
    pub fn without_report(mut self) -> Self {
        self.report = false;
        self
    }

    /// Sets the checkpoints and the one to resume from.
    pub fn resume(
        &mut self,
        checkpoints: Checkpoints,
        restored: Option<Restored>,
        history: Vec<EpochReport>,
    ) {
        if let Some(restored) = &restored {
            let dir = restored.dir.display();
            self.progress
                .println(&format!("resuming from the checkpoint `{dir}`"));
        }
        self.checkpoints = Some(checkpoints);
        self.restored = restored;
        self.history = history;
    }

    /// Returns a run for a part of the work, with its own threads and warnings, without
    /// checkpoints.
    pub fn with_threads(&self, threads: usize) -> Self {
        Self::new(
            threads.max(1),
            self.seed,
            self.stop.clone(),
            Arc::clone(&self.progress),
        )
    }

    /// Returns a run to train once more, on all rows: without checkpoints and metric lines.
    pub fn again(&self) -> Self {
        Self {
            hosts: self.hosts.clone(),
            repeats: true,
            ..self.with_threads(self.threads)
        }
    }

    /// Sets the hosts that train together.
    pub fn set_hosts(&mut self, hosts: Hosts) {
        self.hosts = hosts;
    }

    /// Sets the arguments that must be the same on all hosts.
    pub fn set_host_arguments(&mut self, arguments: BTreeMap<String, String>) {
        self.hosts.arguments = arguments;
    }

    /// The hosts that train together.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Number of worker threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// True if scores of the training rows are needed: for the report, which lists rows that may be
    /// mislabelled, or because no other split was scored.
    pub fn wants_train_scores(&self, other_scored: bool) -> bool {
        self.report || !other_scored
    }

    /// Returns the seed of the random stream with this name.
    pub fn stream(&self, name: &str) -> u64 {
        stream(self.seed, name)
    }

    /// Returns a run that ends only half a minute after a stop: for work that ends with a model,
    /// which would be worth little half done.
    pub fn with_grace(&self) -> Self {
        let (outer, stop) = (self.stop.clone(), Stop::default());
        let before_grace = Some(outer.clone());
        let flag = stop.flag();
        let watch = move || {
            let mut left = STOP_GRACE;
            // The last owner is this thread when the run is gone.
            while Arc::strong_count(&flag) > 1 && !left.is_zero() {
                std::thread::sleep(STOP_POLL_INTERVAL);
                if outer.is_set() {
                    left = left.saturating_sub(STOP_POLL_INTERVAL);
                }
            }
            flag.store(true, Ordering::SeqCst);
        };
        // Without this thread there is no time limit of ours, but SageMaker's remains.
        let _ = std::thread::Builder::new()
            .name("grace".to_owned())
            .spawn(watch);
        let progress = Arc::clone(&self.progress);
        Self {
            before_grace,
            ..Self::new(self.threads, self.seed, stop, progress)
        }
    }

    /// Does work before there is anything to save, such as counting terms: a signal ends the
    /// process at once meanwhile.
    pub fn prepare<T>(&self, work: impl FnOnce() -> T) -> T {
        self.stop.enter(RunPhase::Reading);
        let result = work();
        self.stop.enter(RunPhase::Training);
        result
    }

    /// True if the run ends only half a minute after a stop.
    pub fn has_grace(&self) -> bool {
        self.before_grace.is_some()
    }

    /// False if the run with grace was stopped, and work of this many seconds is not finished in
    /// the period of grace.
    pub fn leaves_seconds(&self, seconds: f64) -> bool {
        let stopped = self.before_grace.as_ref().is_some_and(Stop::is_set);
        !stopped || seconds <= STOP_GRACE.as_secs_f64()
    }

    /// True if the trainer should end with the best finished model.
    pub fn stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Makes [`Run::stopped`] true, because another host of the job was stopped.
    pub fn stop_now(&self) {
        self.stop.flag().store(true, Ordering::SeqCst);
    }

    /// The flag behind [`Run::stopped`].
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.flag()
    }

    /// Shows that the model is trained again, on all `rows`.
    pub fn progress_refit(&self, rows: usize) {
        self.progress(&format!("training again, on all {rows} rows"));
    }

    /// Shows the current activity; off a terminal, only every few seconds.
    pub fn progress(&self, message: &str) {
        self.progress.set_message(message);
    }

    /// Prints a line for people.
    pub fn progress_line(&self, message: &str) {
        if self.hosts.rank == 0 {
            self.progress.println(message);
        }
    }

    /// Prints a warning and adds it to `metrics.json` and the report: a finding, or a message with
    /// its help lines, each after `\n  help: `.
    pub fn warn(&mut self, warning: impl Into<Warning>) {
        let warning = warning.into();
        self.progress.println(&warning.to_string());
        self.warnings.push(warning);
    }

    /// All warnings so far.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Shows progress: a bar on a terminal, otherwise a line every few seconds. `done` and `total`
    /// count optimizer steps of the whole run.
    pub fn step(&self, done: u64, total: u64, loss: f64) {
        if self.repeats {
            self.progress(&format!("step {done} of {total} on all rows"));
        } else if self.hosts.rank == 0 {
            // Only one host prints the metrics of a job.
            self.progress.step(done, total, loss);
        }
    }

    /// Prints the results of an epoch and adds them to the history, `metrics.json` and the report.
    /// Call it before the epoch's checkpoint, which contains the history. `metric` chooses the best
    /// epoch.
    pub fn epoch(&mut self, report: EpochReport, metric: BestMetric) {
        if self.hosts.rank == 0 && !self.repeats {
            let is_best = report.is_best(&self.history, |validation| metric.value(validation));
            self.progress.epoch(&report, is_best);
        }
        self.history.push(report);
    }

    /// All epochs so far, including those before a resume.
    pub fn history(&self) -> &[EpochReport] {
        &self.history
    }

    /// The checkpoint to resume from: the newest valid one of this run.
    pub fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// True if [`Run::checkpoint`] should be called after this step: every `--checkpoint-every`
    /// steps, at the end of an epoch, and when the run is stopped. False without a folder.
    pub fn checkpoint_due(&self, step: u64, epoch_ended: bool) -> bool {
        let ended = epoch_ended || self.stopped();
        self.checkpoints
            .as_ref()
            .is_some_and(|checkpoints| checkpoints.due(step, ended))
    }

    /// Writes a checkpoint: `write` fills an empty folder with files. The two newest checkpoints
    /// are kept. Does nothing without a folder for checkpoints.
    ///
    /// A full or read-only disk is a warning, and training continues: `write` must return such
    /// errors as [`ErrorKind::Io`].
    ///
    /// # Errors
    /// Any other error of `write`.
    pub fn checkpoint(
        &mut self,
        step: u64,
        state: &Value,
        write: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(checkpoints) = &mut self.checkpoints else {
            return Ok(());
        };
        let saved = checkpoints.save(step, state, &self.history, write);
        let last = checkpoints.last();
        let was_unsaved = std::mem::replace(&mut self.unsaved, saved.is_err());
        match saved {
            Err(error) if error.kind() == ErrorKind::Io => {
                if !was_unsaved {
                    let from =
                        last.map_or("the beginning".to_owned(), |last| format!("step {last}"));
                    let why = error.without_prefix();
                    self.warn(format!(
                        "the checkpoint of step {step} was not written; training continues, and a resume would start from \
                         {from}: {why}"
                    ));
                }
                Ok(())
            }
            other => other,
        }
    }
}
