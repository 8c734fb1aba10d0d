//! Progress of a transfer: a bar on a terminal, else a line every few seconds.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use diagnostics::eprint_line;

/// Time between lines without a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of all files together.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verb: &'static str,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    pub(crate) fn new(verb: &'static str, total: u64, shown: bool) -> Self {
        let bar = (shown && std::io::stderr().is_terminal()).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template(
                "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ) {
                bar.set_style(style);
            }
            bar.with_message(verb)
        });
        let progress = Self(Arc::new(Inner {
            verb,
            total,
            done: AtomicU64::new(0),
            bar,
            started: Instant::now(),
        }));
        if shown && progress.0.bar.is_none() {
            tokio::spawn(progress.clone().lines());
        }
        progress
    }

    /// Prints lines until the transfer ends, when this is the last reference.
    async fn lines(self) {
        let mut every = tokio::time::interval(PROGRESS_INTERVAL);
        every.tick().await;
        loop {
            every.tick().await;
            if Arc::strong_count(&self.0) == 1 {
                return;
            }
            let done = self.0.done.load(Ordering::Relaxed);
            let seconds = self.0.started.elapsed().as_secs_f64();
            let speed = format_size((done as f64 / seconds) as u64);
            eprint_line(format!(
                "{}: {} of {}, {speed}/s",
                self.0.verb,
                format_size(done),
                format_size(self.0.total)
            ));
        }
    }

    /// Returns the counter of one attempt of a request.
    pub(crate) fn attempt(&self) -> AttemptBytes {
        AttemptBytes(Arc::new(Counted {
            progress: self.clone(),
            bytes: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        }))
    }

    /// Counts bytes that are there or need no transfer.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.0.bar {
            bar.inc(bytes);
        }
    }

    fn back(&self, bytes: u64) {
        self.0.done.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.0.bar {
            bar.set_position(self.0.done.load(Ordering::Relaxed));
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes of one attempt; subtracted if it fails.
#[derive(Debug, Clone)]
pub(crate) struct AttemptBytes(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    progress: Progress,
    bytes: AtomicU64,
    kept: AtomicU64,
}

impl AttemptBytes {
    pub(crate) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.progress.add(bytes);
    }

    /// Keeps the bytes: the attempt succeeded.
    pub(crate) fn commit(&self) {
        self.0.kept.store(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) == 0 {
            self.progress.back(self.bytes.load(Ordering::Relaxed));
        }
    }
}

/// Returns a size such as `12.4 MiB`.
pub(crate) fn format_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1536), "1.5 KiB");
        assert_eq!(format_size(1 << 40), "1.0 TiB");
    }

    #[test]
    fn failed_attempt_is_subtracted() {
        let progress = Progress::new("sent", 10, false);
        let attempt = progress.attempt();
        attempt.add(4);
        assert_eq!(progress.0.done.load(Ordering::Relaxed), 4);
        drop(attempt);
        assert_eq!(progress.0.done.load(Ordering::Relaxed), 0);
        let attempt = progress.attempt();
        attempt.add(4);
        attempt.commit();
        drop(attempt);
        assert_eq!(progress.0.done.load(Ordering::Relaxed), 4);
    }
}
