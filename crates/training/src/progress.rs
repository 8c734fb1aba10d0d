//! Progress on standard error: a bar on a terminal, otherwise a line every few seconds. In a
//! training job, metric lines for SageMaker instead of the table of epochs.

use std::io::IsTerminal;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use diagnostics::{LogText, Style, eprint_line, eprint_metrics, eprint_styled};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use sagemaker::metrics::{Measure, Progress as ProgressMetric, Split};
use sagemaker::{Metric, MetricLine};

use evaluation::history::EpochReport;

/// Time between two progress lines without a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The progress display.
pub struct Progress {
    bar: Option<ProgressBar>,
    metric_lines: bool,
    header: Once,
    last: Mutex<Option<Instant>>,
    last_step: Mutex<Option<Instant>>,
    /// Time and number of the first step of this process.
    first_step: OnceLock<(Instant, u64)>,
}

/// One line at any width, which a message of a signal can replace.
const SPINNER: &str = "{spinner} {elapsed} {wide_msg}";
const BAR: &str = "{spinner} {elapsed} [{bar:20}] {wide_msg}";

impl Progress {
    /// Creates a display, with a bar if standard error is a terminal. `metric_lines`: SageMaker's
    /// regular expressions must find the metrics.
    pub fn new(metric_lines: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            style(&bar, SPINNER);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            metric_lines,
            header: Once::new(),
            last: Mutex::new(None),
            last_step: Mutex::new(None),
            first_step: OnceLock::new(),
        }
    }

    /// Shows the current activity. Off a terminal it is printed at most once per interval.
    pub fn set_message(&self, message: &str) {
        if let Some(bar) = &self.bar {
            if bar.length().is_some() {
                bar.unset_length();
                style(bar, SPINNER);
            }
            bar.set_message(LogText::new(message).to_string());
        } else if is_due(&self.last) {
            eprint_line(message);
        }
    }

    /// Shows progress in optimizer steps of the whole run: a bar, or a line with metrics.
    pub fn step(&self, done: u64, total: u64, loss: f64) {
        // A resumed run does not start at step 0.
        let &(began, first) = self.first_step.get_or_init(|| (Instant::now(), done));
        let left = time_left(
            began.elapsed(),
            done.saturating_sub(first),
            total.saturating_sub(done),
        );
        let left = left.map_or_else(String::new, |left| {
            format!(", {:#} left", HumanDuration(left))
        });
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                style(bar, BAR);
            }
            bar.set_position(done);
            bar.set_message(format!("step {done} of {total}, loss {loss:.4}{left}"));
        } else if is_due(&self.last_step) {
            let step = format!("step {done} of {total}{left}: ");
            if self.metric_lines {
                let metrics = MetricLine::new()
                    .with(Metric::At(ProgressMetric::Step), done as f64)
                    .with(Metric::Of(Split::Train, Measure::Loss), loss);
                eprint_metrics(step, &metrics);
            } else {
                eprint_line(format_args!("{step}loss {loss:.4}"));
            }
        }
    }

    /// Prints the results of an epoch: a row of a table, or a metric line. `is_best`: no earlier
    /// epoch was better on the validation rows.
    pub fn epoch(&self, report: &EpochReport, is_best: bool) {
        if self.metric_lines {
            let epoch = format!("epoch {} of {}: ", report.epoch, report.epochs);
            return self.above_bar(|| eprint_metrics(epoch, &report.metric_line()));
        }
        self.header
            .call_once(|| self.above_bar(|| eprint_styled(report.header(), Style::Bold)));
        let row = report.row(is_best);
        match is_best {
            true => self.above_bar(|| eprint_styled(row, Style::Green)),
            false => self.println(&row),
        }
    }

    /// Prints final metrics where SageMaker's regular expressions must find them.
    pub fn metrics(&self, line: &MetricLine) {
        if self.metric_lines {
            self.above_bar(|| eprint_metrics("", line));
        }
    }

    /// Prints a line above the bar.
    pub fn println(&self, message: &str) {
        self.above_bar(|| eprint_line(message));
    }

    fn above_bar(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// True if the interval has passed since the last line.
fn is_due(last: &Mutex<Option<Instant>>) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// Estimates the remaining time from the steps so far; `None` before the first step.
fn time_left(elapsed: Duration, done: u64, rest: u64) -> Option<Duration> {
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
        Self::new(false)
    }
}
