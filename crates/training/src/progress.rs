//! Progress: a spinner on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use diagnostics::eprint_line;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use sagemaker::metrics::{Measure, Progress as At, Split};
use sagemaker::{Metric, MetricLine};

use evaluation::history::EpochReport;

/// Between two progress lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Where progress goes: standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    last: Mutex<Option<Instant>>,
    last_step: Mutex<Option<Instant>>,
    /// When this process made its first step, and which.
    began: OnceLock<(Instant, u64)>,
}

const SPINNER: &str = "{spinner} {elapsed} {msg}";
const BAR: &str = "{spinner} {elapsed} [{bar:30}] step {pos} of {len}, {msg}";

impl Progress {
    /// A spinner if standard error is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            style(&bar, SPINNER);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            last: Mutex::new(None),
            last_step: Mutex::new(None),
            began: OnceLock::new(),
        }
    }

    /// What is being done now: replaces the last word on a terminal; elsewhere it is printed if none was for a while.
    pub fn now(&self, message: &str) {
        if let Some(bar) = &self.bar {
            if bar.length().is_some() {
                bar.unset_length();
                style(bar, SPINNER);
            }
            bar.set_message(message.to_owned());
        } else if turn(&self.last) {
            eprint_line(message);
        }
    }

    /// How far training is, in optimiser steps of the whole run: a bar on a terminal, a line with metrics elsewhere.
    pub fn step(&self, done: u64, total: u64, loss: f64) {
        // A resumed run does not begin at 0.
        let &(began, first) = self.began.get_or_init(|| (Instant::now(), done));
        let left = left(
            began.elapsed(),
            done.saturating_sub(first),
            total.saturating_sub(done),
        );
        let left = left.map_or_else(String::new, |left| {
            format!(", {} left", HumanDuration(left))
        });
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                style(bar, BAR);
            }
            bar.set_position(done);
            bar.set_message(format!("loss {loss:.4}{left}"));
        } else if turn(&self.last_step) {
            let metrics = MetricLine::new()
                .with(Metric::At(At::Step), done as f64)
                .with(Metric::Of(Split::Train, Measure::Loss), loss);
            eprint_line(format_args!("step {done} of {total}{left}: {metrics}"));
        }
    }

    /// What an epoch ended with.
    pub fn epoch(&self, report: &EpochReport) {
        self.println(&report.line());
        if self.bar.is_none() {
            eprint_line(report.metric_line());
        }
    }

    /// A line that stays.
    pub fn println(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprint_line(message)),
            None => eprint_line(message),
        }
    }

    /// Takes the spinner away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether it is time for another line.
fn turn(last: &Mutex<Option<Instant>>) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = last.is_none_or(|last| last.elapsed() >= EVERY);
    if turn {
        *last = Some(Instant::now());
    }
    turn
}

/// How long the rest will take if it goes on like this; None as long as there is nothing to tell it by.
fn left(elapsed: Duration, done: u64, rest: u64) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() / done as f64 * rest as f64;
    Duration::try_from_secs_f64(seconds).ok()
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
