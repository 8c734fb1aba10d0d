//! The input of the report.

use std::collections::BTreeMap;

use dataset::RowCounts;
use diagnostics::Warning;

use crate::metrics::{Comparison, Evaluation, UnseenTexts};

/// A run, as `report.html` shows it.
#[derive(Clone, Debug, Default)]
pub struct Report<'a> {
    /// Name of the trainer.
    pub title: &'a str,
    /// File or folder of the data.
    pub data: String,
    /// Folder of the model, or name of the training job.
    pub model: &'a str,
    /// Version, seed, time, memory, hyperparameters.
    pub run: RunInfo,
    /// The evaluations; the headline is the one named `test`, else `validation`, else the first.
    pub sets: Vec<SetReport<'a>>,
    /// Statements about the training, such as the chosen hyperparameters or the saved epoch.
    pub summary: &'a [String],
    /// Candidates of a hyperparameter search.
    pub trials: Option<&'a Trials>,
    /// Row counts per channel.
    pub channels: &'a [(&'static str, RowCounts)],
    /// The strongest words per class.
    pub strongest: Vec<ClassFeatures>,
    /// The worst errors, worst first.
    pub worst: Vec<RowExample>,
    /// Rows whose label is probably wrong, most likely first.
    pub suspects: Vec<RowExample>,
    /// Loss and metrics over epochs or steps.
    pub curves: Vec<LearningCurve>,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// Comparison with another model.
    pub comparison: Option<&'a Comparison>,
}

/// Settings that repeat the run, and its time and memory.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// Version of the trainer.
    pub version: String,
    /// The seed of all random streams.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Start of the run, RFC 3339.
    pub started: String,
    /// Wall time in seconds.
    pub seconds: f64,
    /// CPU time of all threads in seconds, if known.
    pub cpu_seconds: Option<f64>,
    /// Peak resident memory in bytes, if known.
    pub peak_rss_bytes: Option<u64>,
    /// The command line.
    pub command: String,
    /// Values by name.
    pub hyperparameters: BTreeMap<String, String>,
}

/// One evaluated set of rows.
#[derive(Clone, Copy, Debug)]
pub struct SetReport<'a> {
    /// `train`, `validation` or `test`.
    pub name: &'a str,
    /// Its numbers.
    pub evaluation: &'a Evaluation,
    /// States if the model that was scored had been trained on these rows.
    pub note: &'a str,
    /// True if it had been.
    pub seen: bool,
    /// Accuracy on its rows whose text is not in the training data, if others are.
    pub unseen: Option<UnseenTexts>,
}

/// The candidates of a hyperparameter search, one per row of a table.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// The values, in the order of the trials.
    pub rows: Vec<Vec<String>>,
    /// Index of the chosen one.
    pub chosen: usize,
}

/// The strongest words of one class.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ClassFeatures {
    /// The class.
    pub label: String,
    /// Word and weight, strongest first.
    pub features: Vec<(String, f64)>,
}

impl ClassFeatures {
    /// A class without features.
    #[must_use]
    pub fn none(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            features: Vec::new(),
        }
    }

    /// The `top` strongest of each class's words, positive ones only; of equals the first in code
    /// point order.
    #[must_use]
    pub fn strongest(
        classes: &[String],
        weights: Vec<Vec<(String, f64)>>,
        top: usize,
    ) -> Vec<Self> {
        let classes = classes.iter().zip(weights);
        classes
            .map(|(label, features)| Self::of_class(label, features, top, |name| name))
            .collect()
    }

    /// The same for one class, by ids in the order of their names.
    #[must_use]
    pub fn of_class<W: Ord>(
        label: &str,
        mut features: Vec<(W, f64)>,
        top: usize,
        name: impl Fn(W) -> String,
    ) -> Self {
        features.retain(|&(_, weight)| weight > 0.0);
        let order = |a: &(W, f64), b: &(W, f64)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        if features.len() > top {
            // Linear in the features of a class; sorting all of them takes long with many classes.
            features.select_nth_unstable_by(top, order);
            features.truncate(top);
        }
        features.sort_by(order);
        let features = features.into_iter().map(|(id, weight)| (name(id), weight));
        Self {
            label: label.to_owned(),
            features: features.collect(),
        }
    }
}

/// One row of the data.
#[derive(Clone, Debug, Default)]
pub struct RowExample {
    /// File and line.
    pub place: String,
    /// The text.
    pub text: String,
    /// The label in the data.
    pub label: String,
    /// The predicted label.
    pub predicted: String,
    /// Probability of the predicted class, if the model is calibrated.
    pub probability: Option<f64>,
    /// Decision value of the predicted class minus that of the label; of several labels the largest
    /// absolute value of a wrong one.
    pub score: f64,
}

/// Learning curves that share a plot.
#[derive(Clone, Debug, Default)]
pub struct LearningCurve {
    /// Title of the y axis, such as `loss`.
    pub name: String,
    /// Title of the x axis, such as `epoch`.
    pub x_name: String,
    /// The lines; at most eight.
    pub lines: Vec<CurveLine>,
    /// The x of the saved weights, if known.
    pub saved: Option<f64>,
}

/// One line of a plot.
#[derive(Clone, Debug, Default)]
pub struct CurveLine {
    /// Such as `validation`.
    pub name: String,
    /// (x, y).
    pub points: Vec<(f64, f64)>,
}
