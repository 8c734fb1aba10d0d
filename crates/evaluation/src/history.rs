//! The results of each epoch, as log lines, JSON and learning curves.

use sagemaker::metrics::{Measure, Progress, Split};
use sagemaker::{Metric, MetricLine};

use crate::metrics::{Scores, evaluate};
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
    /// Evaluates scores against labels.
    pub fn of(labels: &[u32], classes: &[String], scores: &Scores) -> Self {
        let evaluation = evaluate(labels, classes, scores);
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
    /// Formats the line for people.
    pub fn line(&self) -> String {
        let mut line = format!(
            "epoch {} of {}: loss {:.4}",
            self.epoch, self.epochs, self.train_loss
        );
        if let Some(validation) = self.validation {
            line.push_str(&format!(
                "; validation loss {:.4}, accuracy {:.4}, macro-F1 {:.4}",
                validation.loss, validation.accuracy, validation.macro_f1
            ));
        }
        line.push_str(&format!("; {:.0} rows/s", self.rows_per_second));
        if let Some(tokens) = self.tokens_per_second {
            line.push_str(&format!(", {tokens:.0} tokens/s"));
        }
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
