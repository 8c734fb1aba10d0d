//! The training run: one row per step, on one thread. A step reads and writes a few hundred short
//! rows of memory; threads would wait for each other, and without locks the result is not
//! deterministic.

use std::ops::RangeInclusive;
use std::time::Instant;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::fit_temperature;
use evaluation::history::{EpochReport, Validation};
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::{SplitScores, Summary};
use serde_json::{Map, json};
use text::TokenizedRows;
use text::features::{Counts, LazyLookup};
use training::{BestMetric, Random, Run, not_finite};

use crate::learner::{BagLearner, BagState, DIVERGED_HELP};
use crate::model::{BagModel, FeatureConfig};
use crate::naive_bayes::term_scale;
use crate::net::{MAX_SOFTMAX, Net, NetScratch, SAMPLED_CLASSES};
use crate::params::BagParams;
use crate::rows::{self, Row};

/// Steps between two progress reports; a step takes 10 to 50 µs.
const PROGRESS_INTERVAL: u64 = 1024;

/// Range of the temperature: without misclassified rows the optimum is at 0.
const TEMPERATURE_RANGE: RangeInclusive<f64> = 0.5..=20.0;

/// Maximum scores that are computed after a stop.
const MAX_SCORES_AFTER_STOP: usize = 1 << 24;

/// Everything that does not change during training.
struct TrainContext<'a> {
    params: &'a BagParams,
    table: &'a RowTable,
    counts: Counts,
    train: Vec<u32>,
    validation: Vec<u32>,
    class_weights: Vec<f32>,
    /// Weights of the rows without each class, if rows may have several.
    other_weights: Vec<f32>,
    /// Factor of each term, already multiplied into the weights of `counts`.
    scale: Vec<f32>,
}

/// Trains on the rows of `Split::Train` and scores all splits. `encoders` contain words of any
/// length.
///
/// # Errors
///
/// There are fewer than two classes or no terms, the checkpoint is not one of this run, or training
/// diverges in its first epoch. [`Error::stopped()`] if it is stopped before the first step.
pub fn train(
    params: &BagParams,
    table: &RowTable,
    encoders: Vec<TokenizedRows>,
    run: &mut Run,
) -> Result<Trained<BagModel>, Error> {
    table.check_classes()?;
    let mut params = params.clone();
    params.class_weight = params.class_weight.resolve(&table.classes, run)?;
    let params = &params;
    let all = table.unsplit().filter(|_| params.refit);
    let prepared = run.prepare(|| -> Result<_, Error> {
        let counts = rows::weighted_terms(params, table, encoders, all.is_some())?;
        let refit = all.map(|rows| Refit {
            rows,
            values: counts.values.clone(),
        });
        let context = TrainContext::new(params, table, counts, table.of(Split::Train));
        Ok((context, refit))
    });
    let (context, refit) = prepared?;
    run.progress(&format!(
        "{} terms in {} training rows",
        context.counts.terms.len(),
        context.train.len()
    ));
    if run.stopped() {
        return Err(Error::stopped());
    }
    let mut learner =
        BagLearner::restore(run, context.shape())?.unwrap_or_else(|| context.learner(run));
    let error = context.fit(&mut learner, run)?;
    context.finish(learner, error, refit, run)
}

/// Input of a second training, on all rows.
struct Refit {
    rows: Vec<u32>,
    /// The weights of `counts`, without the scale of the first training.
    values: Vec<f32>,
}

impl<'a> TrainContext<'a> {
    fn new(
        params: &'a BagParams,
        table: &'a RowTable,
        mut counts: Counts,
        train: Vec<u32>,
    ) -> Self {
        let Counts {
            pattern, values, ..
        } = &mut counts;
        let classes = table.classes.len();
        let scale = term_scale(pattern, |row| table.classes_of(row), &train, classes);
        for (value, &column) in values.iter_mut().zip(&pattern.columns) {
            *value *= scale[column as usize];
        }
        Self {
            params,
            table,
            scale,
            class_weights: params.class_weight.weights(table, &train),
            other_weights: params.class_weight.other_weights(table, &train),
            counts,
            train,
            validation: table.of(Split::Validation),
        }
    }

    /// Returns a learner with initial weights.
    fn learner(&self, run: &Run) -> BagLearner {
        let (terms, emb_size, classes) = self.shape();
        BagLearner {
            state: BagState::default(),
            net: Net::new(terms, emb_size, classes, run.stream("weights")),
            last_good: None,
        }
    }

    /// Returns (terms, embedding size, classes).
    fn shape(&self) -> (usize, usize, usize) {
        let classes = self.table.classes.len();
        (self.scale.len(), self.params.emb_size(classes), classes)
    }

    /// Runs the epochs. Returns the error if training diverged.
    fn fit(&self, learner: &mut BagLearner, run: &mut Run) -> Result<Option<Error>, Error> {
        let rows = self.train.len() as u64;
        let steps = self.params.epochs * rows;
        let mut scratch = StepScratch {
            dropout: run.stream("dropout"),
            classes: run.stream("classes"),
            ..StepScratch::default()
        };
        while learner.state.epoch < self.params.epochs {
            let (start, before) = (Instant::now(), learner.state.step);
            for &row in self
                .order(learner.state.epoch, run)
                .iter()
                .skip((before % rows) as usize)
            {
                if run.stopped() {
                    return learner.checkpoint(run, false).map(|()| None);
                }
                let loss = self.step(learner, row, &mut scratch);
                if !loss.is_finite() {
                    let BagState { epoch, step, .. } = learner.state;
                    return Ok(Some(not_finite(
                        "the loss",
                        "of",
                        step + 1,
                        epoch + 1,
                        DIVERGED_HELP,
                    )));
                }
                let state = &mut learner.state;
                state.loss_sum += loss;
                state.step += 1;
                if state.step.is_multiple_of(PROGRESS_INTERVAL) {
                    run.step(
                        state.step,
                        steps,
                        state.loss_sum / ((state.step - 1) % rows + 1) as f64,
                    );
                }
                if !learner.state.step.is_multiple_of(rows) {
                    learner.checkpoint(run, false)?;
                }
            }
            let seconds = start.elapsed().as_secs_f64().max(1e-9);
            if let Some(error) = learner.diverged() {
                return Ok(Some(error));
            }
            let report = self.report(learner, (learner.state.step - before) as f64 / seconds, run);
            run.epoch(report, BestMetric::default());
            (learner.state.epoch, learner.state.loss_sum) = (learner.state.epoch + 1, 0.0);
            learner.last_good =
                (learner.state.epoch < self.params.epochs).then(|| learner.net.clone());
            learner.checkpoint(run, true)?;
        }
        Ok(None)
    }

    /// Returns the training rows in the order of an epoch.
    fn order(&self, epoch: u64, run: &Run) -> Vec<u32> {
        let mut order = self.train.clone();
        Random::new(run.stream("rows"), &[epoch]).shuffle(&mut order);
        order
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let steps = self.params.epochs * self.train.len() as u64;
        self.params.learning_rate * self.params.schedule.factor(step, steps, 0)
    }

    /// Makes one step with a row; returns its loss before the step.
    fn step(&self, learner: &mut BagLearner, row: u32, scratch: &mut StepScratch) -> f64 {
        let (table, number) = (self.table, row);
        let label = table.labels[row as usize] as usize;
        let rate = self.learning_rate(learner.state.step) as f32;
        let cost = table.weight(number) as f32;
        let row = rows::row(&self.counts, row);
        let share = self.params.dropout;
        let StepScratch {
            buffers,
            terms,
            weights,
            dropout,
            classes,
        } = scratch;
        if table.label_sets.is_none() {
            self.sample_classes(label, Random::new(*classes, &[learner.state.step]), buffers);
        }
        let row = if share > 0.0 {
            let mut random = Random::new(*dropout, &[learner.state.step]);
            terms.clear();
            weights.clear();
            for (&term, &weight) in row.terms.iter().zip(row.weights) {
                if random.uniform() >= share {
                    terms.push(term);
                    weights.push((f64::from(weight) / (1.0 - share)) as f32);
                }
            }
            Row { terms, weights }
        } else {
            row
        };
        let net = &mut learner.net;
        match table.label_sets {
            None => net.sgd_step(row, label, self.class_weights[label] * cost, rate, buffers),
            Some(_) => {
                let weights = [&self.class_weights, &self.other_weights].map(Vec::as_slice);
                net.binary_step(row, table.classes_of(number), weights, cost, rate, buffers)
            }
        }
    }

    /// Draws the classes of a step besides `label`, with replacement, if there are too many for
    /// all.
    fn sample_classes(&self, label: usize, mut random: Random, buffers: &mut NetScratch) {
        let others = self.table.classes.len() as u64 - 1;
        if others < MAX_SOFTMAX as u64 {
            return;
        }
        let other = |_| {
            let number = ((u128::from(random.bits()) * u128::from(others)) >> 64) as u32;
            number + u32::from(number as usize >= label)
        };
        buffers.sampled.clear();
        buffers.sampled.extend((0..SAMPLED_CLASSES).map(other));
    }

    fn report(&self, learner: &BagLearner, rows_per_second: f64, run: &Run) -> EpochReport {
        let state = &learner.state;
        let scores = self.score(&learner.net, Split::Validation, run);
        let validation = scores.map(|scores| self.validation(&scores));
        EpochReport {
            epoch: state.epoch + 1,
            epochs: self.params.epochs,
            step: state.step,
            train_loss: state.loss_sum / self.train.len() as f64,
            validation,
            learning_rate: self.learning_rate(state.step.saturating_sub(1)),
            gradient_norm: None,
            rows_per_second,
            tokens_per_second: None,
        }
    }

    /// Evaluates the scores of the validation rows.
    fn validation(&self, scores: &Scores) -> Validation {
        let (table, labels) = (self.table, self.labels(&self.validation));
        Validation::of(&labels, table.label_sets.as_ref(), &table.classes, scores)
    }

    fn labels(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter()
            .map(|&row| self.table.labels[row as usize])
            .collect()
    }

    fn scores(&self, net: &Net, rows: &[u32], threads: usize) -> Scores {
        let logits = self.logits(net, rows, threads);
        let multi_label = self.table.label_sets.is_some();
        Scores::from_logits(logits, self.table.classes.len(), multi_label)
    }

    /// Returns logits of shape (rows, classes).
    fn logits(&self, net: &Net, rows: &[u32], threads: usize) -> Vec<f32> {
        let classes = self.table.classes.len();
        let mut logits = vec![0.0; rows.len() * classes];
        let share = rows.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (rows, logits) in rows.chunks(share).zip(logits.chunks_mut(share * classes)) {
                scope.spawn(move || {
                    let mut buffers = NetScratch::default();
                    for (&row, logits) in rows.iter().zip(logits.chunks_exact_mut(classes)) {
                        net.forward(rows::row(&self.counts, row), &mut buffers);
                        logits.copy_from_slice(&buffers.outputs);
                    }
                });
            }
        });
        logits
    }

    fn finish(
        self,
        learner: BagLearner,
        error: Option<Error>,
        refit: Option<Refit>,
        run: &mut Run,
    ) -> Result<Trained<BagModel>, Error> {
        let state = learner.state.clone();
        let (mut net, error) = learner.finished(self.params.epochs, error)?;
        let temperature = self.temperature(&net, run);
        net.apply_temperature(temperature.unwrap_or(1.0) as f32);
        let mut scores = SplitScores {
            train: self.score(&net, Split::Train, run),
            validation: self.score(&net, Split::Validation, run),
            test: self.score(&net, Split::Test, run),
            ..SplitScores::default()
        };
        let details = [
            ("steps", json!(state.step)),
            ("epochs", json!(state.epoch)),
            ("terms", json!(self.counts.terms.len())),
            ("emb_size", json!(net.width)),
            ("temperature", json!(temperature)),
        ];
        let details = details.map(|(name, value)| (name.to_owned(), value));
        let summary = summary(&state, self.params.epochs, run.history());
        let (params, table) = (self.params, self.table);
        let (mut counts, mut scale) = (self.counts, self.scale);
        if let Some(refit) = refit.filter(|_| error.is_none()) {
            counts.values = refit.values;
            let context = Self::new(params, table, counts, refit.rows);
            match context.refit(run)? {
                Some(mut again) => {
                    again.apply_temperature(temperature.unwrap_or(1.0) as f32);
                    scores.test = context.score(&again, Split::Test, run);
                    scores.refitted = true;
                    (net, scale) = (again, context.scale);
                }
                None => context.warn_not_refitted(run),
            }
            counts = context.counts;
        }
        // The buckets follow the terms.
        let mut order = counts.column_of_term;
        order.extend(order.len() as u32..scale.len() as u32);
        let model = BagModel {
            classes: table.classes.clone(),
            multi_label: table.label_sets.is_some(),
            terms: counts.terms,
            features: FeatureConfig {
                ngrams: params.analysis.ngram_config(),
                subwords: params.subwords,
            },
            net: net.scaled(&scale).reordered(&order),
            lookup: LazyLookup::default(),
        };
        Ok(Trained {
            model,
            scores,
            details: Map::from_iter(details),
            summary,
            error,
        })
    }

    /// Fits the temperature on the validation rows; `None` if rows may have several classes, whose
    /// sigmoids are independent.
    fn temperature(&self, net: &Net, run: &Run) -> Option<f64> {
        if self.table.label_sets.is_some() || self.is_late(self.validation.len(), run) {
            return None;
        }
        fit_temperature(
            &self.logits(net, &self.validation, run.threads()),
            &self.labels(&self.validation),
            &self.class_weights,
            TEMPERATURE_RANGE,
            0.0,
        )
    }

    /// Scores a split; `None` if it is empty, if there is no time after a stop, or if the scores of
    /// the training rows would take too much memory beside those of another split.
    fn score(&self, net: &Net, split: Split, run: &Run) -> Option<Scores> {
        let rows = self.table.of(split);
        let skipped = split == Split::Train && !SplitScores::keeps_train(self.table);
        let scored = !rows.is_empty() && !skipped && !self.is_late(rows.len(), run);
        scored.then(|| self.scores(net, &rows, run.threads()))
    }

    /// True after a stop if the scores of these rows take longer than about a second.
    fn is_late(&self, rows: usize, run: &Run) -> bool {
        let scores = rows.saturating_mul(self.table.classes.len());
        run.stopped() && scores > MAX_SCORES_AFTER_STOP
    }

    /// Trains a new network; `None` if it was stopped or diverged.
    fn refit(&self, run: &Run) -> Result<Option<Net>, Error> {
        run.progress_refit(self.train.len());
        let mut again = run.again();
        let mut learner = self.learner(run);
        let error = self.fit(&mut learner, &mut again)?;
        let finished = learner.state.epoch == self.params.epochs;
        Ok((finished && error.is_none() && learner.diverged().is_none()).then_some(learner.net))
    }

    fn warn_not_refitted(&self, run: &mut Run) {
        let (train, all) = (self.table.of(Split::Train).len(), self.train.len());
        run.warn(format!(
            "the second training, on all rows, did not end: the model was trained on {train} of \
             {all} rows"
        ));
    }
}

/// Returns the lines about the epoch that is saved.
fn summary(state: &BagState, epochs: u64, history: &[EpochReport]) -> Summary {
    let mut summary = Summary::default();
    if state.epoch < epochs {
        summary.lines.push(format!(
            "saved epoch {}; training ended in epoch {} of {epochs}",
            state.epoch,
            state.epoch + 1
        ));
    } else {
        summary.lines.extend(better_epoch(history));
    }
    summary
}

/// Names the epoch with the highest accuracy on the validation rows, if the last one, which is
/// saved, has a lower one.
fn better_epoch(history: &[EpochReport]) -> Option<String> {
    let accuracy = |report: &EpochReport| report.validation.map(|valid| valid.accuracy);
    let last = accuracy(history.last()?)?;
    // The first one of equals.
    let best = history.iter().rev().max_by(|a, b| {
        let [a, b] = [a, b].map(|report| accuracy(report).unwrap_or(0.0));
        a.total_cmp(&b)
    })?;
    let (epoch, highest) = (best.epoch, accuracy(best)?);
    (highest > last).then(|| {
        format!(
            "epoch {epoch} had accuracy {highest:.4} on the validation rows, the last one \
             {last:.4}: try --epochs {epoch}"
        )
    })
}

/// Buffers of a training step.
#[derive(Default)]
struct StepScratch {
    buffers: NetScratch,
    terms: Vec<u32>,
    weights: Vec<f32>,
    /// Seed of the dropped terms.
    dropout: u64,
    /// Seed of the sampled classes.
    classes: u64,
}

#[cfg(test)]
mod public_reports {
    use super::*;

    /// USER 7: the saved epoch is the last one, and an earlier one may have been better.
    #[test]
    fn better_epoch_than_the_last_is_named() {
        let of = |accuracies: &[f64]| {
            let report = |(at, &accuracy): (usize, &f64)| EpochReport {
                epoch: at as u64 + 1,
                validation: Some(Validation {
                    accuracy,
                    ..Validation::default()
                }),
                ..EpochReport::default()
            };
            better_epoch(
                &accuracies
                    .iter()
                    .enumerate()
                    .map(report)
                    .collect::<Vec<_>>(),
            )
        };
        let expected = "epoch 2 had accuracy 0.9075 on the validation rows, the last one 0.9050: \
                        try --epochs 2";
        assert_eq!(of(&[0.9, 0.9075, 0.9075, 0.905]).as_deref(), Some(expected));
        assert_eq!(of(&[0.8, 0.9, 0.9]), None);
        assert_eq!(better_epoch(&[]), None);
        assert_eq!(better_epoch(&[EpochReport::default()]), None);
    }
}
