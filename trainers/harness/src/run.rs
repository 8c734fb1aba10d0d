//! What a trainer may ask of the run it is part of.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::progress::Progress;
use crate::stop::Stop;
use crate::streams::stream;

/// A training run: threads, seed, stop flag, messages.
pub struct Run {
    threads: usize,
    seed: u64,
    stop: Stop,
    progress: Arc<Progress>,
    warnings: Vec<String>,
}

impl Run {
    /// A run with so many threads.
    pub fn new(threads: usize, seed: u64, stop: Stop, progress: Arc<Progress>) -> Self {
        Self {
            threads,
            seed,
            stop,
            progress,
            warnings: Vec::new(),
        }
    }

    /// The same run for a part of the work, with fewer threads and warnings of its own.
    pub fn with_threads(&self, threads: usize) -> Self {
        Self::new(
            threads.max(1),
            self.seed,
            self.stop.clone(),
            Arc::clone(&self.progress),
        )
    }

    /// How many threads may work.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The seed of the random stream of this name.
    pub fn stream(&self, name: &str) -> u64 {
        stream(self.seed, name)
    }

    /// Whether the trainer should end with the best it has.
    pub fn stopped(&self) -> bool {
        self.stop.is_set()
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
        self.progress.say(&format!("warning{colon}{message}"));
        self.warnings.push(message);
    }

    /// All warnings so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
