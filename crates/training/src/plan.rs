//! Rows and settings of the training loop.

use clap::ValueEnum;
use dataset::{LabelSets, RowTable, Split};
use evaluation::history::Validation;

use crate::Schedule;

/// Metric of the validation rows that chooses the best epoch: the value of `--best-metric`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum BestMetric {
    /// Highest share of right predictions, then the lowest loss
    Accuracy,
    /// Highest mean of the classes' F1, then the lowest loss
    #[default]
    #[value(alias = "macro-f1")]
    MacroF1,
    /// Lowest loss
    Loss,
}

impl BestMetric {
    /// Returns the value of the metric; higher is better.
    pub fn value(self, validation: &Validation) -> f64 {
        match self {
            Self::Accuracy => validation.accuracy,
            Self::MacroF1 => validation.macro_f1,
            Self::Loss => -validation.loss,
        }
    }
}

/// Settings of the training loop.
#[derive(Clone, Debug)]
pub struct FitParams {
    /// Passes over the training rows.
    pub epochs: u64,
    /// True if the rows of a batch have about equal lengths.
    pub buckets: bool,
    /// Epochs without improvement after which training stops; `None`: it does not stop early.
    pub patience: Option<u64>,
    /// Metric that chooses the best epoch.
    pub best_metric: BestMetric,
    /// True if the model is trained once more, on all rows, for the best number of epochs.
    pub refit: bool,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of the learning rate.
    pub schedule: Schedule,
    /// Share of all steps with a rising learning rate, 0 to 1.
    pub warm_up: f64,
    /// Maximum gradient norm; `None`: gradients are not clipped.
    pub clip_norm: Option<f64>,
}

/// Rows and settings of a run, which do not change while training.
#[derive(Clone, Debug)]
pub struct TrainPlan<'a> {
    /// Class index of each row of the data; the number of its set if there are `sets`.
    pub labels: &'a [u32],
    /// Sets of classes if rows may have several, or none.
    pub sets: Option<&'a LabelSets>,
    /// Names of the classes.
    pub classes: &'a [String],
    /// Training rows.
    pub train: Vec<u32>,
    /// Validation rows; may be empty.
    pub validation: Vec<u32>,
    /// Rows per optimizer step.
    pub rows_per_step: usize,
    /// Settings of the training loop.
    pub params: FitParams,
}

impl<'a> TrainPlan<'a> {
    /// Returns the plan for the rows of a table.
    pub fn new(table: &'a RowTable, rows_per_step: usize, params: &FitParams) -> Self {
        Self {
            labels: &table.labels,
            sets: table.label_sets.as_ref(),
            classes: &table.classes,
            train: table.of(Split::Train),
            validation: table.of(Split::Validation),
            rows_per_step,
            params: params.clone(),
        }
    }

    /// Number of steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.train.len().div_ceil(self.rows_per_step) as u64
    }

    /// Number of steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.params.epochs * self.steps_per_epoch()
    }

    /// Learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let warm_up = (self.params.warm_up * self.steps() as f64).round() as u64;
        let factor = self.params.schedule.factor(step, self.steps(), warm_up);
        self.params.learning_rate * factor
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan of three rows in steps of one row.
    pub(crate) fn plan(epochs: u64) -> TrainPlan<'static> {
        TrainPlan {
            labels: &[0, 1, 0],
            sets: None,
            classes: &[],
            train: vec![0, 1, 2],
            validation: Vec::new(),
            rows_per_step: 1,
            params: FitParams {
                epochs,
                buckets: false,
                patience: None,
                best_metric: BestMetric::default(),
                refit: false,
                learning_rate: 1.0,
                schedule: Schedule::Linear,
                warm_up: 0.0,
                clip_norm: Some(2.0),
            },
        }
    }

    #[test]
    fn last_batch_of_an_epoch_may_be_short() {
        let plan = TrainPlan {
            rows_per_step: 2,
            ..plan(3)
        };
        assert_eq!((plan.steps_per_epoch(), plan.steps()), (2, 6));
        assert!((plan.rate(3) - 0.5).abs() < 1e-12);
    }
}
