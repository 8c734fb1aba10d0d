//! What a trainer may ask of the run it is part of.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::checkpoint::{Checkpoints, Restored};
use crate::progress::Progress;
use crate::stop::Stop;
use dataset::random::stream;
use diagnostics::{Error, ErrorKind};
use evaluation::history::EpochReport;

/// The machines of a training job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hosts {
    /// Their names, which resolve in the job's network, in the order of their ranks; none: there is this machine alone.
    pub names: Vec<String>,
    /// This one's place among them.
    pub rank: usize,
    /// `host:port` on which the first waits for the others, if somebody said so.
    pub leader: Option<String>,
    /// The network interface on which they see each other.
    pub interface: Option<String>,
}

/// A training run: threads, seed, stop flag, messages.
pub struct Run {
    hosts: Hosts,
    threads: usize,
    seed: u64,
    stop: Stop,
    progress: Arc<Progress>,
    warnings: Vec<String>,
    history: Vec<EpochReport>,
    checkpoints: Option<Checkpoints>,
    restored: Option<Restored>,
    /// Whether there will be a report.
    report: bool,
    /// Whether the last checkpoint could not be written: one warning is enough for many of the kind.
    unsaved: bool,
}

impl Run {
    /// A run with so many threads.
    pub fn new(threads: usize, seed: u64, stop: Stop, progress: Arc<Progress>) -> Self {
        Self {
            hosts: Hosts::default(),
            threads,
            seed,
            stop,
            progress,
            warnings: Vec::new(),
            history: Vec::new(),
            checkpoints: None,
            restored: None,
            report: true,
            unsaved: false,
        }
    }

    /// The same run without a report.
    pub fn without_report(mut self) -> Self {
        self.report = false;
        self
    }

    /// Gives the run its checkpoints, and what it goes on from.
    pub fn resume(
        &mut self,
        checkpoints: Checkpoints,
        restored: Option<Restored>,
        history: Vec<EpochReport>,
    ) {
        if let Some(restored) = &restored {
            let dir = restored.dir.display();
            self.progress
                .println(&format!("going on from the checkpoint `{dir}`"));
        }
        self.checkpoints = Some(checkpoints);
        self.restored = restored;
        self.history = history;
    }

    /// The same run for a part of the work, with fewer threads and warnings of its own, and without
    /// checkpoints.
    pub fn with_threads(&self, threads: usize) -> Self {
        Self::new(
            threads.max(1),
            self.seed,
            self.stop.clone(),
            Arc::clone(&self.progress),
        )
    }

    /// Makes it a run on several hosts.
    pub fn set_hosts(&mut self, hosts: Hosts) {
        self.hosts = hosts;
    }

    /// The machines that train together.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// How many threads may work.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether scores of the training rows are worth their time: the report looks through them for rows that may be
    /// mislabelled, and where nothing `else_scored` they are all there is.
    pub fn wants_train_scores(&self, else_scored: bool) -> bool {
        self.report || !else_scored
    }

    /// The seed of the random stream of this name.
    pub fn stream(&self, name: &str) -> u64 {
        stream(self.seed, name)
    }

    /// Whether the trainer should end with the best it has.
    pub fn stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Makes [`Run::stopped`] true: another host of the run was told to stop.
    pub fn stop_now(&self) {
        self.stop.flag().store(true, Ordering::SeqCst);
    }

    /// The flag behind [`Run::stopped`].
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.flag()
    }

    /// Says what is being done; most of it is seen on a terminal only.
    pub fn progress(&self, message: &str) {
        self.progress.now(message);
    }

    /// Warns; the warning stands in the report too. A message may start with its code: `[D022]: ...`.
    pub fn warn(&mut self, message: String) {
        let colon = if message.starts_with('[') { "" } else { ": " };
        self.progress.println(&format!("warning{colon}{message}"));
        self.warnings.push(message);
    }

    /// All warnings so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Says how far training is: a bar on a terminal, a line every few seconds elsewhere. `done` and `total` are steps
    /// of the whole run.
    pub fn step(&self, done: u64, total: u64, loss: f64) {
        // A job's metrics come from one host.
        if self.hosts.rank == 0 {
            self.progress.step(done, total, loss);
        }
    }

    /// Says what an epoch ended with; it stands in `metrics.json` and in the report too. Comes before the epoch's
    /// checkpoint, which holds the history.
    pub fn epoch(&mut self, report: EpochReport) {
        if self.hosts.rank == 0 {
            self.progress.epoch(&report);
        }
        self.history.push(report);
    }

    /// All epochs so far, those before a resume too.
    pub fn history(&self) -> &[EpochReport] {
        &self.history
    }

    /// The checkpoint to go on from: the newest whole one of this very run.
    pub fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// Whether [`Run::checkpoint`] should be called after this step: every so many steps, at the end of an epoch, and
    /// when the run is to stop. Never without a folder for checkpoints.
    pub fn checkpoint_due(&self, step: u64, epoch_ended: bool) -> bool {
        let ended = epoch_ended || self.stopped();
        self.checkpoints
            .as_ref()
            .is_some_and(|checkpoints| checkpoints.due(step, ended))
    }

    /// Writes a checkpoint: `write` fills an empty folder with files, no folders. The two newest are kept. Without a
    /// folder for checkpoints it does nothing.
    ///
    /// A disk that is full or refuses is a warning, and training goes on: such errors of `write` must be
    /// [`ErrorKind::Io`].
    ///
    /// # Errors
    /// Any other failure of `write`.
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
            Err(failure) if failure.kind() == ErrorKind::Io => {
                if !was_unsaved {
                    let from = last.map_or("anew".to_owned(), |last| format!("at step {last}"));
                    let why = failure.to_string();
                    let why = why.strip_prefix("error: ").unwrap_or(&why);
                    self.warn(format!(
                        "the checkpoint of step {step} is not saved, training goes on, and a resume would start \
                         {from}: {why}"
                    ));
                }
                Ok(())
            }
            other => other,
        }
    }
}
