//! The numbers of a training run: what a resume needs besides tensors, and what follows from them.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{LossScale, Schedule};
use diagnostics::Error;
use evaluation::history::{EpochReport, Validation};

/// What does not change while training.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Passes over the training rows.
    pub epochs: u64,
    /// Training rows.
    pub rows: usize,
    /// Steps of a pass.
    pub steps_per_epoch: u64,
    /// The highest.
    pub learning_rate: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// Share of all steps over which it rises.
    pub warm_up: f64,
}

impl Plan {
    /// Of the whole run.
    pub fn steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch
    }

    /// The learning rate of a step.
    pub fn rate(&self, step: u64) -> f64 {
        let warm_up = (self.warm_up * self.steps() as f64).round() as u64;
        self.learning_rate * self.schedule.factor(step, self.steps(), warm_up)
    }
}

/// Where a run is; with the tensors all that a resume needs. Random streams are functions of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Epochs that are done.
    pub epoch: u64,
    /// Steps that are done, of all epochs.
    pub step: u64,
    /// Of those, how many were skipped because half precision overflowed.
    pub skipped: u64,
    /// The last step's.
    pub loss: f64,
    /// Of the epoch, times the rows of each step.
    loss_sum: f64,
    /// Of the epoch's gradients, and how many there were: a skipped step has none.
    norm_sum: f64,
    norms: u64,
    scale: LossScale,
    best_epoch: Option<u64>,
    /// Accuracy and loss of that epoch on the validation rows, if there are any.
    best: Option<(f64, f64)>,
}

/// What is to be done with a step's gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The weights change by them.
    Update,
    /// Half precision overflowed: they are thrown away.
    Skip,
    /// This is no finite number, and never will be: training cannot go on.
    NotFinite(&'static str),
}

impl Counters {
    /// What a step's loss is multiplied by, in half precision or not.
    pub fn loss_scale(&self, mixed: bool) -> f64 {
        if mixed { self.scale.factor } else { 1.0 }
    }

    /// Steps that changed the weights.
    pub fn updates(&self) -> u64 {
        self.step - self.skipped
    }

    /// Looks at a step's loss and the length of its gradients (the loss scale taken out), and notes the latter.
    pub fn judge(&mut self, loss: f64, norm: f64, mixed: bool) -> Verdict {
        if !loss.is_finite() {
            Verdict::NotFinite("loss")
        } else if norm.is_finite() {
            self.norm_sum += norm;
            self.norms += 1;
            if mixed {
                self.scale.fitted();
            }
            Verdict::Update
        } else if mixed && self.scale.overflowed() {
            self.skipped += 1;
            Verdict::Skip
        } else {
            Verdict::NotFinite("gradient")
        }
    }

    /// A step of so many rows is done.
    pub fn stepped(&mut self, loss: f64, rows: usize) {
        self.loss = loss;
        self.loss_sum += loss * rows as f64;
        self.step += 1;
    }

    /// Why training cannot go on, for the step after the last one that is done.
    pub fn not_finite(&self, what: &str) -> Error {
        let what = format!("the {what}");
        not_finite(&what, "of", self.step + 1, self.epoch + 1, HELP)
    }

    /// Why training cannot go on after the steps that are done, if it cannot: what they left is tested, since no further step
    /// of the epoch would show it.
    pub fn diverged(&self, finite_weights: bool, validation: Option<&Validation>) -> Option<Error> {
        let what = match validation {
            _ if !finite_weights => "a weight",
            Some(validation) if !validation.loss.is_finite() => "the loss of the validation rows",
            _ => return None,
        };
        Some(not_finite(what, "after", self.step, self.epoch + 1, HELP))
    }

    /// What the epoch that is going on ends with. Comes before [`Counters::end_epoch`].
    pub fn report(&self, plan: &Plan, pace: &Pace, validation: Option<Validation>) -> EpochReport {
        let seconds = pace.seconds();
        EpochReport {
            epoch: self.epoch + 1,
            epochs: plan.epochs,
            step: self.step,
            train_loss: self.loss_sum / plan.rows as f64,
            validation,
            learning_rate: plan.rate(self.step.saturating_sub(1)),
            gradient_norm: Some(self.norm_sum / self.norms.max(1) as f64),
            rows_per_second: pace.rows as f64 / seconds,
            tokens_per_second: Some(pace.tokens as f64 / seconds),
        }
    }

    /// Answers whether the weights are the best so far: those with the highest accuracy on the validation rows, of equals
    /// those with the lower loss; or the last ones where there are no such rows.
    pub fn end_epoch(&mut self, validation: Option<Validation>) -> bool {
        self.epoch += 1;
        (self.loss_sum, self.norm_sum, self.norms) = (0.0, 0.0, 0);
        let found = validation.map(|validation| (validation.accuracy, validation.loss));
        let better = match (found, self.best) {
            (Some((accuracy, loss)), Some((best_accuracy, best_loss))) => {
                accuracy > best_accuracy || (accuracy == best_accuracy && loss < best_loss)
            }
            _ => true,
        };
        if better {
            (self.best_epoch, self.best) = (Some(self.epoch), found);
        }
        better
    }

    /// The epoch whose weights are the best.
    pub fn best_epoch(&self) -> Option<u64> {
        self.best_epoch
    }

    /// Whether so many epochs brought nothing better.
    pub fn patience_is_over(&self, patience: Option<u64>) -> bool {
        match (patience, self.best_epoch, self.best) {
            (Some(patience), Some(best), Some(_)) => self.epoch - best >= patience,
            _ => false,
        }
    }
}

const HELP: &str = "lower --learning-rate, set --clip-norm 1, or check the data of this step";

/// Why training cannot go on: `what` was no finite number in (`of`) or behind (`after`) a step of an epoch, from 1.
pub fn not_finite(what: &str, when: &str, step: u64, epoch: u64, help: &str) -> Error {
    Error::new(format!(
        "{what} {when} step {step} (epoch {epoch}) is not a finite number"
    ))
    .help(help)
}

/// What gradients of this length are multiplied by, so that they are not longer than `most`, as PyTorch's
/// `clip_grad_norm_`.
pub fn cut(most: Option<f64>, norm: f64) -> f64 {
    most.map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0))
}

/// How fast an epoch goes.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    /// What it took, once it is over.
    seconds: Option<f64>,
    rows: usize,
    tokens: usize,
}

impl Pace {
    /// From now on.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            seconds: None,
            rows: 0,
            tokens: 0,
        }
    }

    /// So many rows, and tokens in them, were learnt from.
    pub fn saw(&mut self, rows: usize, tokens: usize) {
        self.rows += rows;
        self.tokens += tokens;
    }

    /// Nothing is learnt from now on: a look at the validation rows takes no time of training.
    pub fn stop(&mut self) {
        self.seconds = Some(self.seconds());
    }

    fn seconds(&self) -> f64 {
        let now = || self.start.elapsed().as_secs_f64().max(1e-9);
        self.seconds.unwrap_or_else(now)
    }
}

/// A checkpoint whose hashes are right, and yet not what this version writes.
pub fn strange_checkpoint(error: &str) -> Error {
    Error::new(format!(
        "the checkpoint is whole, and yet nothing that this version can go on from: {error}"
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
            macro_f1: 0.0,
        })
    }

    #[test]
    fn the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss() {
        let mut counters = Counters::default();
        let found = [of(0.8, 0.5), of(0.8, 0.4), of(0.7, 0.1), of(0.8, 0.4)];
        assert_eq!(
            found.map(|found| counters.end_epoch(found)),
            [true, true, false, false]
        );
        assert_eq!(counters.best_epoch(), Some(2));
        assert!(counters.patience_is_over(Some(2)) && !counters.patience_is_over(Some(3)));
        assert!(!counters.patience_is_over(None));
    }

    #[test]
    fn without_validation_rows_the_last_epoch_is_the_best() {
        let mut counters = Counters::default();
        assert!(counters.end_epoch(None) && counters.end_epoch(None));
        assert!(!counters.patience_is_over(Some(1)));
    }

    #[test]
    fn an_overflow_skips_and_halves_and_then_is_an_error() {
        let mut counters = Counters::default();
        let scale = counters.loss_scale(true);
        assert_eq!(counters.judge(1.0, f64::INFINITY, true), Verdict::Skip);
        counters.stepped(1.0, 1);
        assert_eq!(
            (counters.loss_scale(true), counters.updates()),
            (scale / 2.0, 0)
        );
        assert_eq!(counters.judge(1.0, 3.0, true), Verdict::Update);
        let last = (0..100)
            .map(|_| counters.judge(1.0, f64::NAN, true))
            .find(|verdict| *verdict != Verdict::Skip);
        assert_eq!(last, Some(Verdict::NotFinite("gradient")));
        // Full precision has no scale that could help.
        let mut counters = Counters::default();
        let found = counters.judge(1.0, f64::INFINITY, false);
        assert_eq!(found, Verdict::NotFinite("gradient"));
        let found = counters.judge(f64::NAN, 1.0, true);
        assert_eq!(found, Verdict::NotFinite("loss"));
    }

    #[test]
    fn what_the_last_step_left_is_looked_at() {
        let mut counters = Counters::default();
        counters.stepped(1.0, 1);
        let loss = |loss| of(0.5, loss);
        assert!(counters.diverged(true, None).is_none());
        assert!(counters.diverged(true, loss(0.1).as_ref()).is_none());
        let said = |failure: Option<Error>| failure.unwrap().to_string();
        let weight = said(counters.diverged(false, None));
        assert!(
            weight.contains("a weight after step 1 (epoch 1) is not a finite number"),
            "{weight}"
        );
        let validation = said(counters.diverged(true, loss(f64::NAN).as_ref()));
        assert!(
            validation.contains("the loss of the validation rows after step 1"),
            "{validation}"
        );
    }

    #[test]
    fn the_mean_gradient_is_that_of_steps_that_had_one() {
        let plan = Plan {
            epochs: 1,
            rows: 3,
            steps_per_epoch: 3,
            learning_rate: 1.0,
            schedule: Schedule::Constant,
            warm_up: 0.0,
        };
        let mut counters = Counters::default();
        for norm in [2.0, f64::INFINITY, 4.0] {
            counters.judge(1.0, norm, true);
            counters.stepped(1.0, 1);
        }
        let report = counters.report(&plan, &Pace::start(), None);
        assert_eq!(report.gradient_norm, Some(3.0));
    }

    #[test]
    fn full_precision_has_no_scale_that_grows() {
        let mut counters = Counters::default();
        let before = counters.clone().loss_scale(true);
        for _ in 0..5000 {
            counters.judge(1.0, 1.0, false);
        }
        assert_eq!(counters.loss_scale(true), before);
    }

    #[test]
    fn long_gradients_are_cut() {
        assert!((cut(Some(1.0), 4.0) - 0.25).abs() < 1e-6);
        assert_eq!(cut(Some(1.0), 0.5), 1.0);
        assert_eq!(cut(None, 4.0), 1.0);
    }
}
