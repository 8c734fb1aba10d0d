//! The training run: one row after the other, on one thread. A step reads and writes a few hundred short rows of memory;
//! threads would wait for each other, and what they write without waiting is not the same twice.

use std::time::Instant;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::history::{EpochReport, Validation};
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::SplitScores;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use text::EncodedRows;
use text::features::Counts;
use training::{Random, Run, not_finite};

use crate::net::{Net, Room};
use crate::rows::{self, Row};
use crate::scale::scale;
use crate::temperature::temperature;
use crate::{BagModel, BagParams};

/// What helps where training cannot go on.
const HELP: &str = "lower --learning-rate";

/// Steps, which take 10 to 50 µs, between two words on progress.
const TOLD: u64 = 1024;

/// All that does not change while training.
pub(crate) struct Job<'a> {
    params: &'a BagParams,
    table: &'a RowTable,
    counts: Counts,
    train: Vec<u32>,
    validation: Vec<u32>,
    class_weights: Vec<f32>,
    /// Factor of each term; the weights of `counts` have it.
    scale: Vec<f32>,
}

/// The numbers of a run; with the weights all that a resume needs. Random streams are functions of the counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Epochs that are done.
    pub(crate) epoch: u64,
    /// Rows learnt from, of all epochs.
    pub(crate) step: u64,
    /// Of the epoch.
    pub(crate) loss_sum: f64,
}

/// What changes while training.
pub(crate) struct Learner {
    pub(crate) state: State,
    pub(crate) net: Net,
    /// The network as the last epoch left it: what is kept if this one fails.
    pub(crate) good: Option<Net>,
}

/// Trains on the rows of part `Train`, and scores the others. `shards` have words of any length.
///
/// # Errors
///
/// There are fewer than two classes or no terms, the checkpoint is not one of this run, training diverges in its first epoch, or
/// [`Error::stopped()`] where it was stopped before the first step.
pub fn train(
    params: &BagParams,
    table: &RowTable,
    shards: Vec<EncodedRows>,
    run: &mut Run,
) -> Result<Trained<BagModel>, Error> {
    table.check_classes()?;
    let counts = rows::read(params, table, shards)?;
    let job = Job::new(params, table, counts);
    run.progress(&format!(
        "{} terms in {} training rows",
        job.scale.len(),
        job.train.len()
    ));
    if run.stopped() {
        return Err(Error::stopped());
    }
    let mut learner = Learner::restore(run, &job)?.unwrap_or_else(|| {
        let seed = run.stream("weights");
        let net = Net::new(job.scale.len(), params.emb_size, table.classes.len(), seed);
        Learner {
            state: State::default(),
            net,
            good: None,
        }
    });
    let failure = job.learn(&mut learner, run)?;
    job.finish(learner, failure, run)
}

impl<'a> Job<'a> {
    fn new(params: &'a BagParams, table: &'a RowTable, mut counts: Counts) -> Self {
        let train = table.of(Split::Train);
        let Counts {
            pattern,
            values,
            frequency,
            ..
        } = &mut counts;
        let scale = scale(
            pattern,
            &table.labels,
            &train,
            frequency,
            table.classes.len(),
        );
        for (value, &column) in values.iter_mut().zip(&pattern.columns) {
            *value *= scale[column as usize];
        }
        Self {
            params,
            table,
            scale,
            class_weights: params.class_weight.weights(table, &train),
            counts,
            train,
            validation: table.of(Split::Validation),
        }
    }

    pub(crate) fn shape(&self) -> (usize, usize, usize) {
        (
            self.scale.len(),
            self.params.emb_size,
            self.table.classes.len(),
        )
    }

    /// The epochs. Answers why training could not go on, if it could not.
    fn learn(&self, learner: &mut Learner, run: &mut Run) -> Result<Option<Error>, Error> {
        let rows = self.train.len() as u64;
        let steps = self.params.epochs * rows;
        let mut desk = Desk {
            dropout: run.stream("dropout"),
            ..Desk::default()
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
                let loss = self.step(learner, row, &mut desk);
                if !loss.is_finite() {
                    let State { epoch, step, .. } = learner.state;
                    return Ok(Some(not_finite(
                        "the loss",
                        "of",
                        step + 1,
                        epoch + 1,
                        HELP,
                    )));
                }
                let state = &mut learner.state;
                state.loss_sum += loss;
                state.step += 1;
                if state.step.is_multiple_of(TOLD) {
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
            if let Some(failure) = diverged(learner) {
                return Ok(Some(failure));
            }
            run.epoch(self.report(learner, (learner.state.step - before) as f64 / seconds, run));
            (learner.state.epoch, learner.state.loss_sum) = (learner.state.epoch + 1, 0.0);
            learner.good = (learner.state.epoch < self.params.epochs).then(|| learner.net.clone());
            learner.checkpoint(run, true)?;
        }
        Ok(None)
    }

    /// The training rows in the order of an epoch.
    fn order(&self, epoch: u64, run: &Run) -> Vec<u32> {
        let mut order = self.train.clone();
        Random::new(run.stream("rows"), &[epoch]).shuffle(&mut order);
        order
    }

    fn rate(&self, step: u64) -> f64 {
        let steps = self.params.epochs * self.train.len() as u64;
        self.params.learning_rate * self.params.schedule.factor(step, steps, 0)
    }

    /// Learns from a row; answers its loss before.
    fn step(&self, learner: &mut Learner, row: u32, desk: &mut Desk) -> f64 {
        let label = self.table.labels[row as usize] as usize;
        let rate = self.rate(learner.state.step) as f32;
        let row = rows::row(&self.counts, row);
        let share = self.params.dropout;
        let Desk {
            room,
            terms,
            weights,
            dropout,
        } = desk;
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
        learner
            .net
            .learn(row, label, self.class_weights[label], rate, room)
    }

    fn report(&self, learner: &Learner, rows_per_second: f64, run: &Run) -> EpochReport {
        let state = &learner.state;
        let validation = (!self.validation.is_empty()).then(|| {
            let scores = self.scores(&learner.net, &self.validation, run.threads());
            Validation::of(&self.labels(&self.validation), &self.table.classes, &scores)
        });
        EpochReport {
            epoch: state.epoch + 1,
            epochs: self.params.epochs,
            step: state.step,
            train_loss: state.loss_sum / self.train.len() as f64,
            validation,
            learning_rate: self.rate(state.step.saturating_sub(1)),
            gradient_norm: None,
            rows_per_second,
            tokens_per_second: None,
        }
    }

    fn labels(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter()
            .map(|&row| self.table.labels[row as usize])
            .collect()
    }

    fn scores(&self, net: &Net, rows: &[u32], threads: usize) -> Scores {
        Scores::of_logits(self.logits(net, rows, threads), self.table.classes.len())
    }

    /// (rows, classes)
    fn logits(&self, net: &Net, rows: &[u32], threads: usize) -> Vec<f32> {
        let classes = self.table.classes.len();
        let mut logits = vec![0.0; rows.len() * classes];
        let share = rows.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (rows, logits) in rows.chunks(share).zip(logits.chunks_mut(share * classes)) {
                scope.spawn(move || {
                    let mut room = Room::default();
                    for (&row, logits) in rows.iter().zip(logits.chunks_exact_mut(classes)) {
                        net.forward(rows::row(&self.counts, row), &mut room);
                        logits.copy_from_slice(&room.outputs);
                    }
                });
            }
        });
        logits
    }

    fn finish(
        self,
        learner: Learner,
        failure: Option<Error>,
        run: &Run,
    ) -> Result<Trained<BagModel>, Error> {
        // A run that was stopped within an epoch has not been looked at.
        let failure = failure.or_else(|| diverged(&learner));
        let Learner { state, net, good } = learner;
        let mut net = match failure {
            Some(failure) if good.is_none() => return Err(failure),
            None if state.step == 0 => return Err(Error::stopped()),
            Some(_) => good.unwrap_or(net),
            None => net,
        };
        let threads = run.threads();
        let found = temperature(
            &self.logits(&net, &self.validation, threads),
            &self.labels(&self.validation),
            self.table.classes.len(),
        );
        net.cool(found.unwrap_or(1.0) as f32);
        let judge = |part: Split| {
            let rows = self.table.of(part);
            (!rows.is_empty()).then(|| self.scores(&net, &rows, threads))
        };
        let scores = SplitScores {
            train: judge(Split::Train),
            out_of_fold: false,
            validation: judge(Split::Validation),
            test: judge(Split::Test),
        };
        let mut details = Map::new();
        details.insert("steps".to_owned(), json!(state.step));
        details.insert("epochs".to_owned(), json!(state.epoch));
        details.insert("terms".to_owned(), json!(net.terms()));
        details.insert("temperature".to_owned(), json!(found));
        let Counts {
            terms,
            column_of_term,
            ..
        } = self.counts;
        let model = BagModel {
            classes: self.table.classes.clone(),
            terms,
            max_ngrams: self.params.max_ngrams,
            net: net.scaled(&self.scale).reordered(&column_of_term),
            lookup: std::sync::OnceLock::new(),
        };
        Ok(Trained {
            model,
            scores,
            details,
            error: failure,
        })
    }
}

/// Room to work in.
#[derive(Default)]
struct Desk {
    room: Room,
    terms: Vec<u32>,
    weights: Vec<f32>,
    /// Seed of the terms that are left out.
    dropout: u64,
}

/// Why training cannot go on after the last step, if it cannot: no further step of the epoch would show it.
fn diverged(learner: &Learner) -> Option<Error> {
    let State { epoch, step, .. } = learner.state;
    (!learner.net.is_finite()).then(|| not_finite("a weight", "after", step, epoch + 1, HELP))
}
