//! Metric lines, and the regular expressions with which SageMaker finds them in the log.
//!
//! Both come from [`Metric`], so what is printed is what is found. A line looks like this:
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

use serde::{Deserialize, Serialize};

use Measure::{Accuracy, Ece, LogLoss, Loss, MacroF1, RocAuc, RowsPerSecond, TokensPerSecond};
use Progress::{Epoch, GradientNorm, LearningRate, PeakRssBytes, Rows, Seconds, Step};
use Split::{Test, Train, Validation};

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// What the model learns from.
    Train,
    /// What settings are chosen on.
    Validation,
    /// What is looked at once.
    Test,
}

/// What is measured on a [`Split`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Share of rows with the right label.
    Accuracy,
    /// Mean of the classes' F1.
    MacroF1,
    /// Mean negative log of the right class's probability.
    LogLoss,
    /// Expected calibration error.
    Ece,
    /// Area under the ROC curve, mean over the classes.
    RocAuc,
    /// What the trainer minimises.
    Loss,
    /// Speed.
    RowsPerSecond,
    /// Speed, without padding.
    TokensPerSecond,
}

/// How far the job is and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Epochs done.
    Epoch,
    /// Optimiser steps done.
    Step,
    /// Rows used for training.
    Rows,
    /// The learning rate now.
    LearningRate,
    /// Length of the gradient before clipping.
    GradientNorm,
    /// Wall time since the start.
    Seconds,
    /// Most memory that the process has held.
    PeakRssBytes,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Train, Validation, Test];

    /// The name in a metric line, which is the channel's name too.
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
    pub const ALL: [Self; 8] = [
        Accuracy,
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
    /// All of them.
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

/// A number with a name that SageMaker can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// `validation:accuracy`
    Of(Split, Measure),
    /// `progress:epoch`
    At(Progress),
}

/// A metric as `CreateTrainingJob` wants it described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// The metric's name.
    pub name: String,
    /// A regular expression whose only group is the value.
    pub regex: String,
}

impl Metric {
    /// Every metric there is: fewer than the 40 that a job may define.
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

    /// A regular expression that finds the value in a line that has other things too.
    ///
    /// AWS does not say which engine runs it, so it has only what all engines share: no
    /// lookbehind, no flags, no named group. A space or the line's start stands before the name:
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

/// The definitions that a launcher sends with the job.
pub fn definitions() -> Vec<MetricDefinition> {
    Metric::all()
        .map(|metric| MetricDefinition {
            name: metric.to_string(),
            regex: metric.regex(),
        })
        .collect()
}

/// Metrics on one line of the log: plain text without colour, and only finite numbers, because a
/// tuning job stops at a value that it cannot read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricLine(Vec<(Metric, f64)>);

impl MetricLine {
    /// A line without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The line with one more metric; a number that is not finite is left out.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: f64) -> Self {
        if value.is_finite() {
            self.0.push((metric, value));
        }
        self
    }

    /// Whether there is nothing to print.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for MetricLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &(metric, value)) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{metric}={};", number(metric, value))?;
        }
        Ok(())
    }
}

/// A finite number in characters that [`Metric::regex`] catches: a count in full, anything else
/// with seven digits that count, and with an exponent where it is very small or very large.
fn number(metric: Metric, value: f64) -> String {
    // -0.0 + 0.0 is 0.0: no reader expects `-0`.
    let value = value + 0.0;
    if matches!(metric, Metric::At(progress) if progress.is_count()) {
        return format!("{:.0}", value.round() + 0.0);
    }
    // Rust reads what it has written, and the largest f64 rounds down.
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e15).contains(&rounded.abs()) {
        return format!("{rounded:e}");
    }
    let digits = format!("{rounded}");
    let decimals = digits
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    // At least four decimals, so that columns of a log line up.
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
    fn what_is_not_finite_is_not_printed() {
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
    fn a_name_needs_no_escape_in_a_regex() {
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
