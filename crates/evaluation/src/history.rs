//! The results of each epoch, as log lines, JSON and learning curves.

use dataset::LabelSets;
use sagemaker::metrics::{Measure, Progress, Split};
use sagemaker::{Metric, MetricLine};

use crate::metrics::{Scores, evaluate_labels};
use crate::report::{CurveLine, LearningCurve};
use serde::{Deserialize, Deserializer, Serialize};

/// The results of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Number of this epoch, from 1.
    pub epoch: u64,
    /// Maximum number of epochs.
    pub epochs: u64,
    /// Optimizer steps so far, in all epochs.
    pub step: u64,
    /// Mean training loss of the epoch, at the time of each step.
    #[serde(deserialize_with = "number_or_null")]
    pub train_loss: f64,
    /// Metrics of the validation rows, if there are any.
    pub validation: Option<Validation>,
    /// Learning rate of the last step.
    #[serde(deserialize_with = "number_or_null")]
    pub learning_rate: f64,
    /// Mean norm of the gradient before clipping, if known.
    pub gradient_norm: Option<f64>,
    /// Training rows per second of wall time.
    #[serde(deserialize_with = "number_or_null")]
    pub rows_per_second: f64,
    /// Training tokens per second of wall time, without padding.
    pub tokens_per_second: Option<f64>,
}

/// Metrics of the validation rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean loss.
    #[serde(deserialize_with = "number_or_null")]
    pub loss: f64,
    /// Share of rows with the right label.
    #[serde(deserialize_with = "number_or_null")]
    pub accuracy: f64,
    /// Mean of the classes' F1.
    #[serde(deserialize_with = "number_or_null")]
    pub macro_f1: f64,
}

impl Validation {
    /// Evaluates scores against labels, as [`evaluate_labels`].
    pub fn of(
        labels: &[u32],
        sets: Option<&LabelSets>,
        classes: &[String],
        scores: &Scores,
    ) -> Self {
        let evaluation = evaluate_labels(labels, sets, classes, scores);
        Self {
            loss: evaluation.log_loss.unwrap_or(f64::NAN),
            accuracy: evaluation.accuracy,
            macro_f1: evaluation.macro_f1,
        }
    }
}

/// Reads `null` as NaN: serde_json writes numbers that are not finite as `null`.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl EpochReport {
    /// True if the `value` of the validation rows is higher than in every `earlier` epoch, or equal
    /// with a lower loss. False without validation rows.
    pub fn is_best(&self, earlier: &[Self], value: impl Fn(&Validation) -> f64) -> bool {
        let Some(this) = self.validation else {
            return false;
        };
        let mut others = earlier.iter().filter_map(|report| report.validation);
        others.all(|other| (value(&this), -this.loss) > (value(&other), -other.loss))
    }

    /// Width of the column of epochs.
    fn epoch_width(&self) -> usize {
        (2 * self.epochs.to_string().len() + 1).max(7)
    }

    /// Formats the names above the columns of [`Self::row`], which fits a terminal of 80 columns.
    pub fn header(&self) -> String {
        let width = self.epoch_width();
        let mut line = format!("{:>width$}  train loss", "epoch");
        if self.validation.is_some() {
            line.push_str("  val loss  val accuracy  macro-F1");
        }
        line.push_str("   rows/s");
        if self.tokens_per_second.is_some() {
            line.push_str("  tokens/s");
        }
        line
    }

    /// Formats a row of the table of epochs, aligned with its header.
    pub fn row(&self, is_best: bool) -> String {
        let epoch = format!("{}/{}", self.epoch, self.epochs);
        let width = self.epoch_width();
        let mut line = format!("{epoch:>width$}  {}", fixed(self.train_loss, 10));
        if let Some(validation) = self.validation {
            let Validation {
                loss,
                accuracy,
                macro_f1,
            } = validation;
            let loss = fixed(loss, 8);
            line.push_str(&format!("  {loss}  {accuracy:>12.4}  {macro_f1:>8.4}"));
        }
        line.push_str(&format!("  {:>7.0}", self.rows_per_second));
        if let Some(tokens) = self.tokens_per_second {
            line.push_str(&format!("  {tokens:>8.0}"));
        }
        line.push_str(if is_best { "  best" } else { "" });
        line
    }

    /// Formats the metrics for SageMaker.
    pub fn metric_line(&self) -> MetricLine {
        let train = |measure| Metric::Of(Split::Train, measure);
        let validation = |measure| Metric::Of(Split::Validation, measure);
        let valid = self.validation;
        MetricLine::new()
            .with(Metric::At(Progress::Epoch), self.epoch as f64)
            .with(Metric::At(Progress::Step), self.step as f64)
            .with(train(Measure::Loss), self.train_loss)
            .with(validation(Measure::Loss), valid.map(|v| v.loss))
            .with(validation(Measure::Accuracy), valid.map(|v| v.accuracy))
            .with(validation(Measure::MacroF1), valid.map(|v| v.macro_f1))
            .with(Metric::At(Progress::LearningRate), self.learning_rate)
            .with(Metric::At(Progress::GradientNorm), self.gradient_norm)
            .with(train(Measure::RowsPerSecond), self.rows_per_second)
            .with(train(Measure::TokensPerSecond), self.tokens_per_second)
    }
}

/// Formats a number for a column: with an exponent if it is too long otherwise.
fn fixed(value: f64, width: usize) -> String {
    let fixed = format!("{value:>width$.4}");
    match fixed.len() > width {
        true => format!("{value:>width$.2e}"),
        false => fixed,
    }
}

/// Returns the learning curves of the report. `saved` is the epoch of the saved weights.
pub fn curves(history: &[EpochReport], saved: Option<u64>) -> Vec<LearningCurve> {
    let line = |name: &str, value: fn(&EpochReport) -> Option<f64>| CurveLine {
        name: name.to_owned(),
        points: history
            .iter()
            .filter_map(|report| Some((report.epoch as f64, value(report)?)))
            .collect(),
    };
    let curve = |name: &str, lines: Vec<CurveLine>| LearningCurve {
        name: name.to_owned(),
        x_name: "epoch".to_owned(),
        // Without validation rows there is no line for them.
        lines: lines
            .into_iter()
            .filter(|line| !line.points.is_empty())
            .collect(),
        saved: saved.map(|epoch| epoch as f64),
    };
    let loss = curve(
        "loss",
        vec![
            line("train", |report| Some(report.train_loss)),
            line("validation", |report| Some(report.validation?.loss)),
        ],
    );
    let quality = curve(
        "quality on the validation rows",
        vec![
            line("accuracy", |report| Some(report.validation?.accuracy)),
            line("macro-F1", |report| Some(report.validation?.macro_f1)),
        ],
    );
    [loss, quality]
        .into_iter()
        .filter(|curve| !curve.lines.is_empty())
        .collect()
}

#[cfg(test)]
mod public_reports {
    use super::*;

    fn epoch(epoch: u64, accuracy: f64, loss: f64) -> EpochReport {
        EpochReport {
            epoch,
            epochs: 12,
            train_loss: 0.5,
            validation: Some(Validation {
                loss,
                accuracy,
                macro_f1: 0.75,
            }),
            rows_per_second: 12_345.6,
            tokens_per_second: Some(1e6),
            ..EpochReport::default()
        }
    }

    /// USER 15: an aligned table of epochs.
    #[test]
    fn rows_are_aligned_with_their_header() {
        let first = epoch(1, 0.9, 0.25);
        let header = "  epoch  train loss  val loss  val accuracy  macro-F1   rows/s  tokens/s";
        assert_eq!(first.header(), header);
        let row = "   1/12      0.5000    0.2500        0.9000    0.7500    12346   1000000  best";
        assert_eq!(first.row(true), row);
        assert!(row.len() <= 80, "the row fits a terminal of 80 columns");
        let mut long = epoch(1, 0.9, 0.25);
        long.epochs = 4000;
        assert_eq!(long.header().find("train loss"), Some(11));
        assert!(long.row(false).starts_with("   1/4000      0.5000"));
        // Weights of rows can be very large.
        let mut large = epoch(1, 0.9, 12_345.6);
        large.train_loss = 1.2836e36;
        let row = "   1/12     1.28e36    1.23e4        0.9000    0.7500    12346   1000000";
        assert_eq!(large.row(false), row);
        let mut plain = epoch(12, 0.9, 0.25);
        (plain.validation, plain.tokens_per_second) = (None, None);
        assert_eq!(
            plain.header() + "\n" + &plain.row(false),
            "  epoch  train loss   rows/s\n  12/12      0.5000    12346"
        );
    }

    /// USER 7 and 15: the table marks the epochs that were the best so far.
    #[test]
    fn best_is_highest_value_then_lowest_loss() {
        let history = [epoch(1, 0.8, 0.4), epoch(2, 0.9, 0.3), epoch(3, 0.9, 0.2)];
        let value = |validation: &Validation| validation.accuracy;
        let best = |at: usize| history[at].is_best(&history[..at], value);
        assert_eq!([best(0), best(1), best(2)], [true; 3]);
        assert!(!epoch(4, 0.9, 0.2).is_best(&history, value));
        assert!(!epoch(4, 0.85, 0.1).is_best(&history, value));
        // With equal macro-F1 the loss decides.
        assert!(epoch(4, 0.85, 0.1).is_best(&history, |validation| validation.macro_f1));
    }
}
