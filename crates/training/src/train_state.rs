//! The state of a training run: counters, loss scale, best epoch. With the tensors it is all that a
//! resume needs.

use std::time::Instant;

use diagnostics::Error;
use evaluation::history::{EpochReport, Validation};
use serde::{Deserialize, Serialize};

use crate::{BestMetric, LossScale, TrainPlan};

/// Position in a run. Random streams are functions of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Number of finished epochs.
    pub epoch: u64,
    /// Number of finished steps, over all epochs.
    pub step: u64,
    /// Number of those that were skipped because half precision overflowed.
    pub skipped: u64,
    /// Loss of the last step.
    pub loss: f64,
    /// Sum over the rows of the epoch.
    loss_sum: f64,
    /// Sum of the epoch's gradient norms, and their number: a skipped step has none.
    norm_sum: f64,
    norms: u64,
    scale: LossScale,
    best_epoch: Option<u64>,
    /// Value of the best epoch, higher is better, and its validation loss.
    best: Option<(f64, f64)>,
    /// Lowest validation loss.
    lowest_loss: Option<f64>,
    /// Last epoch that was the best so far or lowered the validation loss.
    improved_epoch: u64,
}

/// The result of a step's finiteness check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepOutcome {
    /// The gradients are applied.
    Update,
    /// Half precision overflowed: the gradients are discarded.
    Skip,
    /// The named value is not finite, and a smaller loss scale would not help: training ends.
    NotFinite(&'static str),
}

impl TrainState {
    /// Returns the factor of the loss: above 1 in half precision only.
    pub fn loss_scale(&self, mixed: bool) -> f64 {
        if mixed { self.scale.factor } else { 1.0 }
    }

    /// Number of steps that changed the weights.
    pub fn updates(&self) -> u64 {
        self.step - self.skipped
    }

    /// Checks a step's loss and gradient norm, which is without the loss scale, and records the
    /// norm.
    pub fn check_step(&mut self, loss: f64, norm: f64, mixed: bool) -> StepOutcome {
        if !loss.is_finite() {
            StepOutcome::NotFinite("loss")
        } else if norm.is_finite() {
            self.norm_sum += norm;
            self.norms += 1;
            if mixed {
                self.scale.record_finite();
            }
            StepOutcome::Update
        } else if mixed && self.scale.record_overflow() {
            self.skipped += 1;
            StepOutcome::Skip
        } else {
            StepOutcome::NotFinite("gradient")
        }
    }

    /// Records a finished step of `rows` rows.
    pub fn end_step(&mut self, loss: f64, rows: usize) {
        self.loss = loss;
        self.loss_sum += loss * rows as f64;
        self.step += 1;
    }

    /// Returns the error for the step after the last finished one.
    pub fn not_finite(&self, what: &str) -> Error {
        let what = format!("the {what}");
        not_finite(&what, "of", self.step + 1, self.epoch + 1, HELP)
    }

    /// Returns an error if the finished steps left weights or a validation loss that are not
    /// finite. After the last step of an epoch no further step would show it.
    pub fn diverged(&self, finite_weights: bool, validation: Option<&Validation>) -> Option<Error> {
        let what = match validation {
            _ if !finite_weights => "a weight",
            Some(validation) if !validation.loss.is_finite() => "the loss of the validation rows",
            _ => return None,
        };
        Some(not_finite(what, "after", self.step, self.epoch + 1, HELP))
    }

    /// Returns the report of the current epoch. To be called before [`TrainState::end_epoch`].
    pub fn report(
        &self,
        plan: &TrainPlan<'_>,
        throughput: &Throughput,
        validation: Option<Validation>,
    ) -> EpochReport {
        let seconds = throughput.seconds();
        EpochReport {
            epoch: self.epoch + 1,
            epochs: plan.params.epochs,
            step: self.step,
            train_loss: self.loss_sum / plan.train.len() as f64,
            validation,
            learning_rate: plan.rate(self.step.saturating_sub(1)),
            gradient_norm: Some(self.norm_sum / self.norms.max(1) as f64),
            rows_per_second: throughput.rows as f64 / seconds,
            tokens_per_second: Some(throughput.tokens as f64 / seconds),
        }
    }

    /// Ends the epoch. Returns true if its weights are the best so far: those with the best value
    /// of the metric, then the lowest validation loss; without validation the last ones.
    pub fn end_epoch(&mut self, validation: Option<Validation>, metric: BestMetric) -> bool {
        self.epoch += 1;
        (self.loss_sum, self.norm_sum, self.norms) = (0.0, 0.0, 0);
        let found = validation.map(|validation| (metric.value(&validation), validation.loss));
        let better = match (found, self.best) {
            (Some((value, loss)), Some((best_value, best_loss))) => {
                value > best_value || (value == best_value && loss < best_loss)
            }
            _ => true,
        };
        if better {
            (self.best_epoch, self.best) = (Some(self.epoch), found);
        }
        let loss = found.map(|(_, loss)| loss);
        let lower = loss.is_some_and(|loss| self.lowest_loss.is_none_or(|lowest| loss < lowest));
        if lower {
            self.lowest_loss = loss;
        }
        if better || lower {
            self.improved_epoch = self.epoch;
        }
        better
    }

    /// The epoch with the best weights.
    pub fn best_epoch(&self) -> Option<u64> {
        self.best_epoch
    }

    /// True if the last `patience` epochs improved neither the metric nor the validation loss.
    pub fn out_of_patience(&self, patience: Option<u64>) -> bool {
        match (patience, self.best) {
            (Some(patience), Some(_)) => self.epoch - self.improved_epoch >= patience,
            _ => false,
        }
    }
}

const HELP: &str = "lower --learning-rate, set --clip-norm 1, or check the data of this step";

/// Returns the error for a value that is not finite in (`of`) or after (`after`) a step. `step` and
/// `epoch` count from 1.
pub fn not_finite(what: &str, when: &str, step: u64, epoch: u64, help: &str) -> Error {
    Error::new(format!(
        "{what} {when} step {step} (epoch {epoch}) is not a finite number"
    ))
    .help(help)
}

/// Returns the factor that reduces gradients of this norm to at most `max_norm`, as PyTorch's
/// `clip_grad_norm_`.
pub fn clip_coefficient(max_norm: Option<f64>, norm: f64) -> f64 {
    max_norm.map_or(1.0, |max_norm| (max_norm / (norm + 1e-6)).min(1.0))
}

/// Rows and tokens per second of an epoch.
#[derive(Debug)]
pub struct Throughput {
    start: Instant,
    /// Duration, once stopped.
    seconds: Option<f64>,
    rows: usize,
    tokens: usize,
}

impl Throughput {
    /// Starts the clock.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            seconds: None,
            rows: 0,
            tokens: 0,
        }
    }

    /// Adds a batch.
    pub fn add(&mut self, rows: usize, tokens: usize) {
        self.rows += rows;
        self.tokens += tokens;
    }

    /// Stops the clock: validation is not part of the training time.
    pub fn stop(&mut self) {
        self.seconds = Some(self.seconds());
    }

    fn seconds(&self) -> f64 {
        let now = || self.start.elapsed().as_secs_f64().max(1e-9);
        self.seconds.unwrap_or_else(now)
    }
}

/// Returns the error for a checkpoint whose checksums are right but whose content does not fit.
pub fn incompatible_checkpoint(error: &str) -> Error {
    Error::new(format!(
        "the checkpoint is intact but was written by an incompatible version: {error}"
    ))
    .help("use the version that wrote it, or choose another --checkpoint-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accuracy: f64, loss: f64) -> Option<Validation> {
        Some(Validation {
            accuracy,
            loss,
            macro_f1: 1.0 - accuracy,
        })
    }

    #[test]
    fn best_epoch_has_the_best_metric_then_lowest_loss() {
        let found = [of(0.8, 0.5), of(0.8, 0.4), of(0.7, 0.2), of(0.8, 0.4)];
        let best = |metric| {
            let mut state = TrainState::default();
            let better = found.map(|found| state.end_epoch(found, metric));
            (better, state.best_epoch())
        };
        let accuracy = best(BestMetric::Accuracy);
        assert_eq!(accuracy, ([true, true, false, false], Some(2)));
        for metric in [BestMetric::MacroF1, BestMetric::Loss] {
            assert_eq!(best(metric), ([true, true, true, false], Some(3)));
        }
    }

    /// NEURAL C1: simpletransformers#339: on imbalanced data the accuracy stands still while the
    /// loss still falls.
    #[test]
    fn patience_counts_improvements_of_the_loss() {
        let mut state = TrainState::default();
        for found in [of(0.9, 0.5), of(0.9, 0.6), of(0.8, 0.3)] {
            state.end_epoch(found, BestMetric::Accuracy);
        }
        assert_eq!(state.best_epoch(), Some(1));
        assert!(!state.out_of_patience(Some(1)) && !state.out_of_patience(None));
        state.end_epoch(of(0.8, 0.3), BestMetric::Accuracy);
        assert!(state.out_of_patience(Some(1)) && !state.out_of_patience(Some(2)));
    }

    #[test]
    fn last_epoch_is_best_without_validation_rows() {
        let mut state = TrainState::default();
        let metric = BestMetric::default();
        assert!(state.end_epoch(None, metric) && state.end_epoch(None, metric));
        assert!(!state.out_of_patience(Some(1)));
    }

    #[test]
    fn overflow_halves_the_loss_scale_until_it_is_an_error() {
        let mut state = TrainState::default();
        let scale = state.loss_scale(true);
        assert_eq!(
            state.check_step(1.0, f64::INFINITY, true),
            StepOutcome::Skip
        );
        state.end_step(1.0, 1);
        assert_eq!((state.loss_scale(true), state.updates()), (scale / 2.0, 0));
        assert_eq!(state.check_step(1.0, 3.0, true), StepOutcome::Update);
        let last = (0..100)
            .map(|_| state.check_step(1.0, f64::NAN, true))
            .find(|outcome| *outcome != StepOutcome::Skip);
        assert_eq!(last, Some(StepOutcome::NotFinite("gradient")));
        // In full precision a smaller loss scale does not help.
        let mut state = TrainState::default();
        let found = state.check_step(1.0, f64::INFINITY, false);
        assert_eq!(found, StepOutcome::NotFinite("gradient"));
        let found = state.check_step(f64::NAN, 1.0, true);
        assert_eq!(found, StepOutcome::NotFinite("loss"));
    }

    #[test]
    fn non_finite_weights_and_validation_losses_are_errors() {
        let mut state = TrainState::default();
        state.end_step(1.0, 1);
        let loss = |loss| of(0.5, loss);
        assert!(state.diverged(true, None).is_none());
        assert!(state.diverged(true, loss(0.1).as_ref()).is_none());
        let message = |error: Option<Error>| error.unwrap().to_string();
        let weight = message(state.diverged(false, None));
        assert!(
            weight.contains("a weight after step 1 (epoch 1) is not a finite number"),
            "{weight}"
        );
        let validation = message(state.diverged(true, loss(f64::NAN).as_ref()));
        assert!(
            validation.contains("the loss of the validation rows after step 1"),
            "{validation}"
        );
    }

    #[test]
    fn mean_gradient_norm_excludes_skipped_steps() {
        let plan = crate::plan::tests::plan(1);
        let mut state = TrainState::default();
        for norm in [2.0, f64::INFINITY, 4.0] {
            state.check_step(1.0, norm, true);
            state.end_step(1.0, 1);
        }
        let report = state.report(&plan, &Throughput::start(), None);
        assert_eq!(report.gradient_norm, Some(3.0));
    }

    #[test]
    fn full_precision_leaves_the_loss_scale() {
        let mut state = TrainState::default();
        let before = state.clone().loss_scale(true);
        for _ in 0..5000 {
            state.check_step(1.0, 1.0, false);
        }
        assert_eq!(state.loss_scale(true), before);
    }

    #[test]
    fn long_gradients_are_clip_coefficient() {
        assert!((clip_coefficient(Some(1.0), 4.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_coefficient(Some(1.0), 0.5), 1.0);
        assert_eq!(clip_coefficient(None, 4.0), 1.0);
    }
}
