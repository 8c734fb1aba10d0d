//! The training loop of networks: epochs of batches, optimizer steps, validation, early stopping,
//! checkpoints, and the choice of the best weights.

use std::ops::ControlFlow;
use std::path::Path;

use dataset::RowTable;
use diagnostics::{Error, ErrorKind, counted};
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use serde_json::json;

use crate::batches::epoch_batches;
use crate::{
    Arrays, FitParams, Run, StepOutcome, Throughput, TrainPlan, TrainState, clip_coefficient,
    incompatible_checkpoint, read_tensors,
};

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";

/// Arguments of an optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerStep {
    /// Number of the update, from 1; skipped steps do not count.
    pub update: u64,
    /// Learning rate.
    pub rate: f64,
    /// Factor of the gradients: clipping and 1 / loss scale.
    pub gradient_scale: f64,
}

/// A network with its optimizer, as [`fit`] uses it.
pub trait Learner {
    /// A copy of all weights.
    type Weights;

    /// Number of tokens of a row.
    fn tokens(&self, row: u32) -> usize;

    /// True if gradients are of a half precision that can overflow, so that the loss is scaled.
    fn is_scaled(&self) -> bool;

    /// Computes the gradients of a step, times `loss_scale`. Returns the loss without that factor,
    /// and the gradient norm with it.
    fn backward(&mut self, rows: &[u32], step: u64, loss_scale: f64) -> Result<(f64, f64), Error>;

    /// Updates the weights with the gradients, and discards these.
    fn update(&mut self, step: OptimizerStep) -> Result<(), Error>;

    /// Discards the gradients.
    fn discard(&mut self) -> Result<(), Error>;

    /// Returns a copy of the current weights.
    fn weights(&self) -> Result<Self::Weights, Error>;

    /// True if all weights are finite.
    fn is_finite(weights: &Self::Weights) -> bool;

    /// Scores rows with the current weights; `None` if the run was stopped.
    fn scores(&mut self, rows: &[u32], run: &Run) -> Result<Option<Scores>, Error>;

    /// Writes weights, optimizer state and the best weights to a file.
    fn save(&self, best: Option<&Self::Weights>, path: &Path) -> Result<(), Error>;

    /// Returns true if any host of the run has to stop, so that all stop at the same step.
    fn sync_stop(&mut self, stop: bool) -> Result<bool, Error> {
        Ok(stop)
    }

    /// Returns the validation scores of rank 0: the rounding of other hosts may differ.
    fn sync_validation(&mut self, own: Validation) -> Result<Validation, Error> {
        Ok(own)
    }

    /// Called after the batches and after the validation of an epoch.
    fn after_phase(&mut self) {}
}

/// The best weights so far.
#[derive(Debug)]
pub struct Best<W> {
    /// Epoch that ended with them.
    pub epoch: u64,
    /// The weights.
    pub weights: W,
    /// Scores of the validation rows; `None` after a resume.
    pub scores: Option<Scores>,
}

/// The result of [`fit`].
#[derive(Debug)]
pub struct Fitted<W> {
    /// Counters at the end.
    pub state: TrainState,
    /// The weights of the model.
    pub best: Best<W>,
    /// The error that ended training before its time.
    pub error: Option<Error>,
}

impl<W> Fitted<W> {
    /// True if early stopping ended the training before its last epoch.
    pub fn stopped_early(&self, plan: &TrainPlan<'_>) -> bool {
        self.state.epoch < plan.params.epochs
            && self.error.is_none()
            && self.state.out_of_patience(plan.params.patience)
    }

    /// Returns the plan to train once more on all rows, for the best number of epochs. `None`
    /// without `--refit`, if no rows were split off for validation, or if training did not end
    /// well. `stopped`: whether any host was stopped, so that all hosts decide alike.
    pub fn refit_plan<'a>(
        &self,
        plan: &TrainPlan<'a>,
        table: &RowTable,
        stopped: bool,
    ) -> Option<TrainPlan<'a>> {
        if !plan.params.refit || stopped || self.error.is_some() {
            return None;
        }
        Some(TrainPlan {
            train: table.unsplit()?,
            validation: Vec::new(),
            params: FitParams {
                epochs: self.best.epoch,
                patience: None,
                ..plan.params.clone()
            },
            ..plan.clone()
        })
    }

    /// Replaces the weights by those of `again`, a training by [`Fitted::refit_plan`]. If that did
    /// not end well, warns, keeps the weights and returns false.
    pub fn adopt(&mut self, again: Result<Self, Error>, run: &mut Run) -> bool {
        let error = match again {
            Ok(Self {
                best, error: None, ..
            }) if !run.stopped() => {
                self.best.weights = best.weights;
                return true;
            }
            Ok(again) => again.error,
            Err(error) => Some(error),
        };
        let message = "the second training, on all rows, did not end: the first model is saved";
        run.warn(
            match error.filter(|error| error.kind() != ErrorKind::Stopped) {
                Some(error) => format!("{message}: {}", error.without_prefix()),
                None => message.to_owned(),
            },
        );
        false
    }

    /// States which epoch is saved, or was the best before a second training, and why training
    /// ended. `plan`: of the first training.
    pub fn selected(&self, plan: &TrainPlan<'_>, refitted: bool) -> String {
        let (best, done, epochs) = (self.best.epoch, self.state.epoch, plan.params.epochs);
        let which = if refitted { "best" } else { "saved" };
        let line = match plan.params.patience {
            Some(patience) if self.stopped_early(plan) => {
                format!("{which} epoch {best} of {done}, stopped early (--patience {patience})")
            }
            _ if done < epochs => {
                let last = done + 1;
                format!("{which} epoch {best}; training ended in epoch {last} of {epochs}")
            }
            _ => format!("{which} epoch {best} of {epochs}"),
        };
        match refitted {
            true => {
                let trained = counted(best, "epoch");
                format!("{line}; the saved model was trained for {trained} on all rows")
            }
            false => line,
        }
    }
}

/// Reads the checkpoint that the run resumes from.
///
/// # Errors
/// If the checkpoint was written by an incompatible version.
pub fn read_checkpoint(run: &Run) -> Result<Option<(TrainState, Arrays)>, Error> {
    let Some(restored) = run.restored() else {
        return Ok(None);
    };
    let arrays = read_tensors(&restored.dir.join(TENSORS))
        .map_err(|error| incompatible_checkpoint(&error.to_string()))?;
    let state = serde_json::from_value(restored.state.clone())
        .map_err(|error| incompatible_checkpoint(&error.to_string()))?;
    Ok(Some((state, arrays)))
}

/// Trains from `state` until the last epoch, early stopping, a stop signal or divergence. If the
/// other hosts do not answer after a stop signal, the model is the best so far.
///
/// # Errors
/// If training ended without weights for a model: it diverged or was stopped too early, or a step,
/// checkpoint or host failed.
pub fn fit<L: Learner>(
    learner: &mut L,
    plan: &TrainPlan<'_>,
    state: TrainState,
    best: Option<Best<L::Weights>>,
    run: &mut Run,
) -> Result<Fitted<L::Weights>, Error> {
    let mut fit = Fit {
        learner,
        plan,
        state,
        best,
    };
    let error = match fit.epochs(run) {
        Err(error) if error.kind() == ErrorKind::Stopped => None,
        ended => ended?,
    };
    let fitted = fit.finish(error)?;
    if let (true, Some(patience)) = (fitted.stopped_early(plan), plan.params.patience) {
        run.progress_line(&format!(
            "stopped after {} of {} epochs (--patience {patience})",
            fitted.state.epoch, plan.params.epochs
        ));
    }
    Ok(fitted)
}

/// The end of training: an error, or a stop signal.
type FitOutcome = Option<Error>;

struct Fit<'a, L: Learner> {
    learner: &'a mut L,
    plan: &'a TrainPlan<'a>,
    state: TrainState,
    best: Option<Best<L::Weights>>,
}

impl<L: Learner> Fit<'_, L> {
    fn epochs(&mut self, run: &mut Run) -> Result<FitOutcome, Error> {
        let FitParams {
            epochs, patience, ..
        } = self.plan.params;
        while self.state.epoch < epochs && !self.state.out_of_patience(patience) {
            if let ControlFlow::Break(end) = self.epoch(run)? {
                return Ok(end);
            }
        }
        Ok(None)
    }

    fn epoch(&mut self, run: &mut Run) -> Result<ControlFlow<FitOutcome>, Error> {
        let mut throughput = Throughput::start();
        if let ControlFlow::Break(end) = self.steps(&mut throughput, run)? {
            return Ok(ControlFlow::Break(end));
        }
        throughput.stop();
        self.learner.after_phase();
        let mut validated = self.validate(run)?;
        let interrupted = validated.is_none() && !self.plan.validation.is_empty();
        // Hosts may receive the stop signal at different times.
        if self.must_stop(interrupted, run)? {
            // The run that resumes repeats the end of the epoch.
            self.checkpoint(false, run)?;
            return Ok(ControlFlow::Break(None));
        }
        if let Some((validation, _)) = &mut validated {
            *validation = self.learner.sync_validation(*validation)?;
        }
        let (validation, scores) = validated.unzip();
        let weights = match self.checked_weights(validation.as_ref())? {
            Ok(weights) => weights,
            Err(error) => return Ok(ControlFlow::Break(Some(error))),
        };
        let report = self.state.report(self.plan, &throughput, validation);
        run.epoch(report, self.plan.params.best_metric);
        self.end_epoch(weights, validation, scores);
        self.learner.after_phase();
        self.checkpoint(true, run)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Runs the remaining steps of the epoch.
    fn steps(
        &mut self,
        throughput: &mut Throughput,
        run: &mut Run,
    ) -> Result<ControlFlow<FitOutcome>, Error> {
        let (plan, epoch) = (self.plan, self.state.epoch);
        let batches = epoch_batches(
            &plan.train,
            |row| self.learner.tokens(row),
            plan.rows_per_step,
            plan.params.buckets,
            (run.stream("batches"), epoch),
        );
        let done = self.state.step - epoch * plan.steps_per_epoch();
        for batch in batches.iter().skip(done as usize) {
            if self.must_stop(run.stopped(), run)? {
                self.checkpoint(false, run)?;
                return Ok(ControlFlow::Break(None));
            }
            if let StepOutcome::NotFinite(what) = self.step(batch)? {
                return Ok(ControlFlow::Break(Some(self.state.not_finite(what))));
            }
            let tokens = batch.iter().map(|&row| self.learner.tokens(row)).sum();
            throughput.add(batch.len(), tokens);
            run.step(self.state.step, plan.steps(), self.state.loss);
            if self.state.step < (epoch + 1) * plan.steps_per_epoch() {
                self.checkpoint(false, run)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn step(&mut self, rows: &[u32]) -> Result<StepOutcome, Error> {
        let scaled = self.learner.is_scaled();
        let loss_scale = self.state.loss_scale(scaled);
        let (loss, norm) = self.learner.backward(rows, self.state.step, loss_scale)?;
        let norm = norm / loss_scale;
        let outcome = self.state.check_step(loss, norm, scaled);
        match outcome {
            StepOutcome::NotFinite(_) => return Ok(outcome),
            StepOutcome::Skip => self.learner.discard()?,
            StepOutcome::Update => self.learner.update(OptimizerStep {
                update: self.state.updates() + 1,
                rate: self.plan.rate(self.state.step),
                gradient_scale: clip_coefficient(self.plan.params.clip_norm, norm) / loss_scale,
            })?,
        }
        self.state.end_step(loss, rows.len());
        Ok(outcome)
    }

    /// True if any host has to stop. This run then counts as stopped too: checkpoint, no scores,
    /// `stopped_early`.
    fn must_stop(&mut self, own: bool, run: &Run) -> Result<bool, Error> {
        let stop = self.learner.sync_stop(own)?;
        if stop && !run.stopped() {
            run.progress("another host of the job was stopped");
            run.stop_now();
        }
        Ok(stop)
    }

    /// Returns `None` without validation rows, or if the run was stopped.
    fn validate(&mut self, run: &Run) -> Result<Option<(Validation, Scores)>, Error> {
        let plan = self.plan;
        if plan.validation.is_empty() {
            return Ok(None);
        }
        let scores = self.learner.scores(&plan.validation, run)?;
        Ok(scores.map(|scores| {
            let rows = plan.validation.iter();
            let labels: Vec<u32> = rows.map(|&row| plan.labels[row as usize]).collect();
            let validation = Validation::of(&labels, plan.sets, plan.classes, &scores);
            (validation, scores)
        }))
    }

    /// Returns the current weights, or the error of a divergence.
    fn checked_weights(
        &self,
        validation: Option<&Validation>,
    ) -> Result<Result<L::Weights, Error>, Error> {
        let weights = self.learner.weights()?;
        Ok(
            match self.state.diverged(L::is_finite(&weights), validation) {
                Some(error) => Err(error),
                None => Ok(weights),
            },
        )
    }

    fn end_epoch(
        &mut self,
        weights: L::Weights,
        validation: Option<Validation>,
        scores: Option<Scores>,
    ) {
        let metric = self.plan.params.best_metric;
        if self.state.end_epoch(validation, metric) {
            self.best = Some(Best {
                epoch: self.state.epoch,
                weights,
                scores,
            });
        }
    }

    /// Writes a checkpoint if one is due.
    fn checkpoint(&self, epoch_ended: bool, run: &mut Run) -> Result<(), Error> {
        let step = self.state.step;
        if !run.checkpoint_due(step, epoch_ended) || step == 0 {
            return Ok(());
        }
        let best = self.best.as_ref().map(|best| &best.weights);
        run.checkpoint(step, &json!(self.state), |dir| {
            self.learner.save(best, &dir.join(TENSORS))
        })
    }

    /// Chooses the weights of the model: the best epoch's. A run that was stopped in its first
    /// epoch has none.
    fn finish(mut self, error: FitOutcome) -> Result<Fitted<L::Weights>, Error> {
        match (self.best.take(), error) {
            (Some(best), error) => Ok(Fitted {
                state: self.state,
                best,
                error,
            }),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let epochs = self.plan.params.epochs;
                let reason = format!("epoch 1 of {epochs} was not finished");
                Err(Error::stopped().because(&reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::tests::plan;
    use crate::progress::Progress;
    use crate::stop::Stop;

    /// A learner whose weight is the sum of its learning rates, with given gradient norms.
    #[derive(Default)]
    struct Fake {
        norms: Vec<f64>,
        weight: f64,
        steps: Vec<OptimizerStep>,
        discarded: usize,
        stop_at: Option<u64>,
        step: u64,
    }

    impl Learner for Fake {
        type Weights = f64;

        fn tokens(&self, _: u32) -> usize {
            1
        }
        fn is_scaled(&self) -> bool {
            true
        }
        fn backward(&mut self, _: &[u32], step: u64, scale: f64) -> Result<(f64, f64), Error> {
            self.step = step + 1;
            Ok((0.25, self.norms[step as usize] * scale))
        }
        fn update(&mut self, step: OptimizerStep) -> Result<(), Error> {
            self.weight += step.rate;
            self.steps.push(step);
            Ok(())
        }
        fn discard(&mut self) -> Result<(), Error> {
            self.discarded += 1;
            Ok(())
        }
        fn weights(&self) -> Result<f64, Error> {
            Ok(self.weight)
        }
        fn is_finite(weight: &f64) -> bool {
            weight.is_finite()
        }
        fn scores(&mut self, _: &[u32], _: &Run) -> Result<Option<Scores>, Error> {
            Ok(None)
        }
        fn save(&self, _: Option<&f64>, _: &Path) -> Result<(), Error> {
            Ok(())
        }
        fn sync_stop(&mut self, stop: bool) -> Result<bool, Error> {
            Ok(stop || self.stop_at == Some(self.step))
        }
    }

    fn run() -> Run {
        Run::new(1, 0, Stop::default(), Arc::new(Progress::new(false)))
    }

    #[test]
    fn overflow_is_skipped_and_long_gradients_are_clipped() {
        let mut learner = Fake {
            norms: vec![f64::INFINITY, 8.0, 1.0],
            ..Fake::default()
        };
        let plan = plan(1);
        let scale = TrainState::default().loss_scale(true) / 2.0;
        let fitted = fit(&mut learner, &plan, TrainState::default(), None, &mut run()).unwrap();
        assert_eq!((fitted.state.step, fitted.state.skipped), (3, 1));
        assert_eq!((fitted.best.epoch, learner.discarded), (1, 1));
        let [first, second] = learner.steps[..] else {
            panic!("expected two updates: {:?}", learner.steps);
        };
        assert_eq!((first.update, first.rate), (1, plan.rate(1)));
        assert!((first.gradient_scale * scale - 0.25).abs() < 1e-6);
        assert_eq!((second.update, second.gradient_scale), (2, 1.0 / scale));
    }

    #[test]
    fn interrupted_first_epoch_is_not_a_model() {
        let mut learner = Fake {
            norms: vec![1.0; 9],
            stop_at: Some(2),
            ..Fake::default()
        };
        let mut run = run();
        let state = TrainState::default();
        let error = fit(&mut learner, &plan(3), state, None, &mut run).unwrap_err();
        assert!(run.stopped() && learner.steps.len() == 2);
        assert_eq!(error.kind(), diagnostics::ErrorKind::Stopped);
    }

    #[test]
    fn later_stop_keeps_the_last_finished_epoch() {
        let mut learner = Fake {
            norms: vec![1.0; 9],
            stop_at: Some(4),
            ..Fake::default()
        };
        let (plan, state) = (plan(3), TrainState::default());
        let fitted = fit(&mut learner, &plan, state, None, &mut run()).unwrap();
        assert_eq!((fitted.state.step, fitted.best.epoch), (4, 1));
        assert_eq!(
            fitted.selected(&plan, false),
            "saved epoch 1; training ended in epoch 2 of 3"
        );
        assert!(!fitted.stopped_early(&plan));
    }

    #[test]
    fn divergence_keeps_the_best_epoch() {
        let mut learner = Fake {
            norms: vec![1.0, 1.0, 1.0, f64::NAN],
            ..Fake::default()
        };
        // No scale helps against NaN.
        learner.norms.extend([f64::NAN; 100]);
        let fitted = fit(
            &mut learner,
            &plan(40),
            TrainState::default(),
            None,
            &mut run(),
        )
        .unwrap();
        assert_eq!(fitted.best.epoch, fitted.state.epoch);
        assert!(
            fitted
                .error
                .unwrap()
                .to_string()
                .contains("the gradient of step")
        );
    }

    #[test]
    fn divergence_in_the_first_epoch_is_an_error() {
        let mut learner = Fake {
            norms: vec![1.0; 3],
            ..Fake::default()
        };
        let mut plan = plan(1);
        plan.params.learning_rate = f64::INFINITY;
        let error = fit(&mut learner, &plan, TrainState::default(), None, &mut run()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a weight after step 3 (epoch 1)")
        );
    }
}
