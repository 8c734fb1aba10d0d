//! Metric lines, and the regular expressions by which SageMaker finds them in the log.
//!
//! Both are generated from [`Metric`], so they always match. Example of a line:
//!
//! ```
//! use sagemaker::metrics::{Measure, Metric, MetricLine, Split};
//!
//! let line = MetricLine::new()
//!     .with(Metric::Of(Split::Validation, Measure::Accuracy), 0.9123)
//!     .with(Metric::Of(Split::Validation, Measure::MacroF1), 0.912);
//! assert_eq!(line.to_string(), "validation:accuracy=0.9123; validation:macro_f1=0.9120;");
//! ```

use std::fmt;

use diagnostics::stdio::MetricText;
use serde::{Deserialize, Serialize};

use Measure::{
    Accuracy, Ece, LogLoss, Loss, MacroF1, MicroF1, RocAuc, RowsPerSecond, TokensPerSecond,
};
use Progress::{Epoch, GradientNorm, LearningRate, PeakRssBytes, Rows, Seconds, Step};
use Split::{Test, Train, Validation};

/// A split of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Training data.
    Train,
    /// Validation data, for model selection.
    Validation,
    /// Test data, for the final score.
    Test,
}

/// A score on a [`Split`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Share of rows with the correct label.
    Accuracy,
    /// F1 score of all pairs of row and label, of rows that may have several labels.
    MicroF1,
    /// Unweighted mean of the F1 scores of the classes.
    MacroF1,
    /// Mean negative log probability of the correct class.
    LogLoss,
    /// Expected calibration error.
    Ece,
    /// Area under the ROC curve; unweighted mean over the classes.
    RocAuc,
    /// Training objective.
    Loss,
    /// Rows per second.
    RowsPerSecond,
    /// Tokens per second, without padding.
    TokensPerSecond,
}

/// Progress and resource usage of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Completed epochs.
    Epoch,
    /// Completed optimiser steps.
    Step,
    /// Rows used for training.
    Rows,
    /// Current learning rate.
    LearningRate,
    /// L2 norm of the gradient before clipping.
    GradientNorm,
    /// Wall time since the start in seconds.
    Seconds,
    /// Peak resident set size in bytes.
    PeakRssBytes,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Train, Validation, Test];

    /// Name in metric lines; also the name of the channel.
    pub const fn name(self) -> &'static str {
        match self {
            Train => "train",
            Validation => "validation",
            Test => "test",
        }
    }
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 9] = [
        Accuracy,
        MicroF1,
        MacroF1,
        LogLoss,
        Ece,
        RocAuc,
        Loss,
        RowsPerSecond,
        TokensPerSecond,
    ];

    /// The name in a metric line and in `metrics.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Accuracy => "accuracy",
            MicroF1 => "micro_f1",
            MacroF1 => "macro_f1",
            LogLoss => "log_loss",
            Ece => "ece",
            RocAuc => "roc_auc",
            Loss => "loss",
            RowsPerSecond => "rows_per_second",
            TokensPerSecond => "tokens_per_second",
        }
    }
}

impl Progress {
    /// All progress metrics.
    pub const ALL: [Self; 7] = [
        Epoch,
        Step,
        Rows,
        LearningRate,
        GradientNorm,
        Seconds,
        PeakRssBytes,
    ];

    /// The name in a metric line.
    pub const fn name(self) -> &'static str {
        match self {
            Epoch => "epoch",
            Step => "step",
            Rows => "rows",
            LearningRate => "learning_rate",
            GradientNorm => "gradient_norm",
            Seconds => "seconds",
            PeakRssBytes => "peak_rss_bytes",
        }
    }

    const fn is_count(self) -> bool {
        matches!(self, Epoch | Step | Rows | PeakRssBytes)
    }
}

/// A metric that SageMaker can track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// `validation:accuracy`
    Of(Split, Measure),
    /// `progress:epoch`
    At(Progress),
}

/// A metric definition of `CreateTrainingJob`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// Name of the metric.
    pub name: String,
    /// Regular expression; its only group is the value.
    pub regex: String,
}

impl Metric {
    /// Returns all metrics: fewer than the 40 that a job can define.
    pub fn all() -> impl Iterator<Item = Self> {
        let measured = Split::ALL.into_iter().flat_map(|split| {
            Measure::ALL
                .into_iter()
                .map(move |measure| Self::Of(split, measure))
        });
        measured.chain(Progress::ALL.into_iter().map(Self::At))
    }

    /// `validation` and `accuracy`.
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Of(split, measure) => (split.name(), measure.name()),
            Self::At(progress) => ("progress", progress.name()),
        }
    }

    /// Returns a regular expression that finds the value in a line.
    ///
    /// AWS does not document its regex engine, so only common syntax is used: no lookbehind, flags
    /// or named groups. The name must follow whitespace or the start of the line:
    /// `my_validation:accuracy=1;` is another metric.
    pub fn regex(self) -> String {
        format!(r"(?:^|\s){self}=(-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?);")
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, name) = self.parts();
        write!(f, "{group}:{name}")
    }
}

/// Returns the definitions of all metrics, for `CreateTrainingJob`.
pub fn definitions() -> Vec<MetricDefinition> {
    Metric::all()
        .map(|metric| MetricDefinition {
            name: metric.to_string(),
            regex: metric.regex(),
        })
        .collect()
}

/// Metrics on one line of the log: plain text without colour. Only finite numbers, because a tuning
/// job fails on a value that it cannot parse.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricLine(Vec<(Metric, f64)>);

impl MetricLine {
    /// Creates an empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric; skips `None` and numbers that are not finite.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: impl Into<Option<f64>>) -> Self {
        let finite = value.into().filter(|value| value.is_finite());
        self.0.extend(finite.map(|value| (metric, value)));
        self
    }

    /// True if there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl MetricText for MetricLine {}

impl fmt::Display for MetricLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &(metric, value)) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{metric}={};", number(metric, value))?;
        }
        Ok(())
    }
}

/// Formats a finite number so that [`Metric::regex`] matches it: counts as integers, others with
/// seven significant digits, and with an exponent if very small or very large.
fn number(metric: Metric, value: f64) -> String {
    // -0.0 + 0.0 is 0.0: avoids printing `-0`.
    let value = value + 0.0;
    if matches!(metric, Metric::At(progress) if progress.is_count()) {
        return format!("{:.0}", value.round() + 0.0);
    }
    // Cannot fail: Rust parses its own output, and the largest f64 rounds down.
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e15).contains(&rounded.abs()) {
        return format!("{rounded:e}");
    }
    let digits = format!("{rounded}");
    let decimals = digits
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    // At least four decimals, so that columns in a log are aligned.
    format!("{rounded:.*}", decimals.max(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCURACY: Metric = Metric::Of(Validation, Accuracy);

    #[test]
    fn numbers() {
        let cases = [
            (0.9123, "0.9123"),
            (0.912, "0.9120"),
            (1.0, "1.0000"),
            (0.0, "0.0000"),
            (-0.0, "0.0000"),
            (-1.5, "-1.5000"),
            (2.0 / 3.0, "0.6666667"),
            (1e-7, "1e-7"),
            (-1.25e-5, "-1.25e-5"),
            (0.000_123_456_78, "0.0001234568"),
            (97_123.456, "97123.4600"),
            (1.5e300, "1.5e300"),
            (f64::MAX, "1.797693e308"),
            (f64::MIN_POSITIVE, "2.225074e-308"),
        ];
        for (value, text) in cases {
            assert_eq!(number(ACCURACY, value), text);
        }
    }

    #[test]
    fn counts_are_exact() {
        assert_eq!(number(Metric::At(PeakRssBytes), 33_554_433.0), "33554433");
        assert_eq!(number(Metric::At(Epoch), 3.0), "3");
        assert_eq!(number(Metric::At(Step), -0.2), "0");
    }

    #[test]
    fn non_finite_values_are_skipped() {
        let line = MetricLine::new()
            .with(ACCURACY, f64::NAN)
            .with(Metric::Of(Train, Loss), f64::INFINITY)
            .with(Metric::Of(Train, Loss), f64::NEG_INFINITY);
        assert!(line.is_empty());
        assert_eq!(line.to_string(), "");
        assert_eq!(
            line.with(ACCURACY, 0.5).to_string(),
            "validation:accuracy=0.5000;"
        );
    }

    #[test]
    fn names_need_no_regex_escapes() {
        for metric in Metric::all() {
            let name = metric.to_string();
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || "0123456789_:".contains(c)),
                "{name}"
            );
        }
    }

    #[test]
    fn definitions_are_within_the_limits() {
        let definitions = definitions();
        crate::limits::check_metric_definitions(&definitions).unwrap();
        let mut names: Vec<_> = definitions.iter().map(|d| &d.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), definitions.len());
    }
}
