//! The training run, from the corpus to the model.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::PartScores;
use serde_json::{Map, Value, json};
use training::{Pace, Plan, Run, of_epoch};

use crate::architecture::Architecture;
use crate::device::Setup;
use crate::distributed::Meeting;
use crate::engine::Engine;
use crate::learner::{self, Best, Learner, Outcome};
use crate::model::TransformerModel;
use crate::params::TransformerParams;
use crate::predict::logits;
use crate::tokenizer::{Encoder, Rows};
use crate::weights::Loaded;

/// All that does not change while training.
pub(crate) struct Job<'a> {
    pub(crate) params: &'a TransformerParams,
    pub(crate) plan: Plan,
    pub(crate) table: &'a RowTable,
    pub(crate) rows: Rows,
    pub(crate) architecture: Architecture,
    /// Rows of a step, of all hosts and micro-batches.
    pub(crate) step_rows: usize,
    pub(crate) train: Vec<u32>,
    pub(crate) validation: Vec<u32>,
    pub(crate) class_weights: Vec<f32>,
}

pub(crate) fn train(
    params: &TransformerParams,
    table: &RowTable,
    encoders: Vec<Encoder>,
    run: &mut Run,
) -> Result<Trained<TransformerModel>, Error> {
    table.check_classes()?;
    let pretrained = params.pretrained()?;
    let rows = Rows::new(table, encoders)?;
    let architecture = pretrained.architecture(table.classes.len(), params.dropout)?;
    let train = table.of(Split::Train);
    let hosts = run.hosts().names.len().max(1);
    let step_rows = params.batch_size * params.accumulate * hosts;
    let job = Job {
        params,
        plan: Plan {
            epochs: params.epochs,
            rows: train.len(),
            steps_per_epoch: train.len().div_ceil(step_rows) as u64,
            learning_rate: params.learning_rate,
            schedule: params.schedule,
            warm_up: params.warm_up,
        },
        table,
        rows,
        architecture,
        step_rows,
        class_weights: params.class_weight.weights(table, &train),
        train,
        validation: table.of(Split::Validation),
    };
    if run.stopped() {
        return Err(Error::stopped());
    }
    run.progress("loading the pretrained model");
    let seed = run.stream("head");
    let Loaded { values, fresh } =
        pretrained.load(&job.architecture, &table.classes, seed, run.threads())?;
    let patience = Duration::from_secs(params.host_timeout);
    let mut meeting = Meeting::of(run.hosts(), patience, &|| run.stopped())?;
    if let Some(meeting) = &mut meeting {
        job.same_data(meeting)?;
    }
    let setup = job.setup(run);
    let engine = setup.engine(&job.architecture, values, &job.frozen(), meeting.as_mut())?;
    let mut learner = Learner::start(&job, engine, meeting, run)?;
    let failure = learn(&job, &mut learner, run)?;
    finish(&job, learner, failure, &fresh, run)
}

/// The epochs. Answers why training could not go on, if it could not.
fn learn(job: &Job<'_>, learner: &mut Learner<'_>, run: &mut Run) -> Result<Option<Error>, Error> {
    let seed = run.stream("batches");
    let steps = job.plan.steps_per_epoch;
    let (params, length) = (job.params, |row| job.rows.length(row));
    while learner.state.epoch < params.epochs && !learner.state.patience_is_over(params.patience) {
        let epoch = learner.state.epoch;
        let mut pace = Pace::start();
        let batches = of_epoch(
            &job.train,
            length,
            job.step_rows,
            params.buckets,
            (seed, epoch),
        );
        let done = learner.state.step - epoch * steps;
        for batch in batches.iter().skip(done as usize) {
            if learner.stopped(run)? {
                return learner.checkpoint(run, false).map(|()| None);
            }
            if let Outcome::NotFinite(what) = learner.step(batch)? {
                return Ok(Some(learner.state.not_finite(what)));
            }
            pace.saw(batch.len(), batch.iter().map(|&row| length(row)).sum());
            run.step(learner.state.step, job.plan.steps(), learner.state.loss);
            if learner.state.step < (epoch + 1) * steps {
                learner.checkpoint(run, false)?;
            }
        }
        pace.stop();
        let mut validated = job.validate(learner.engine(), run)?;
        let broken_off = validated.is_none() && !job.validation.is_empty();
        // Of several hosts one may have been told to stop later than another.
        if learner.agree_to_stop(run, broken_off)? {
            // The epoch's end will be seen again by the run that resumes.
            return learner.checkpoint(run, false).map(|()| None);
        }
        if let Some((validation, _)) = &mut validated {
            *validation = learner.agree_on(*validation)?;
        }
        let validation = validated.as_ref().map(|(validation, _)| *validation);
        let weights = match learner.weights(validation.as_ref())? {
            Ok(weights) => weights,
            Err(failure) => return Ok(Some(failure)),
        };
        run.epoch(learner.state.report(&job.plan, &pace, validation));
        learner.end_epoch(weights, validated);
        learner.checkpoint(run, true)?;
    }
    Ok(None)
}

fn finish(
    job: &Job<'_>,
    mut learner: Learner<'_>,
    failure: Option<Error>,
    fresh: &[String],
    run: &Run,
) -> Result<Trained<TransformerModel>, Error> {
    let (values, validation, epoch) = match learner.best.take() {
        Some(best) => {
            let Best {
                values,
                scores,
                epoch,
            } = best;
            (values, scores, Some(epoch))
        }
        // What a first epoch was broken off with is a model; what came of a loss that is no number is none.
        None => match failure {
            Some(failure) => return Err(failure),
            None if learner.state.step == 0 => return Err(Error::stopped()),
            None => (learner.weights(None)??, None, None),
        },
    };
    let details = details(job, &mut learner, epoch, fresh);
    // Moments and gradients are not needed any more.
    drop(learner);
    let frozen = vec![true; values.len()];
    let mut scores = PartScores::default();
    if run.hosts().rank == 0 {
        let mut engine = job
            .setup(run)
            .engine(&job.architecture, values.clone(), &frozen, None)?;
        let mut judge = |part: Split| job.scores(engine.as_mut(), &job.table.of(part), run);
        scores.validation = match validation {
            Some(scores) => Some(scores),
            None => judge(Split::Validation)?,
        };
        scores.test = judge(Split::Test)?;
        if run.wants_train_scores(scores.validation.is_some() || scores.test.is_some()) {
            scores.train = judge(Split::Train)?;
        }
    }
    let pretrained = job.params.pretrained()?;
    let classes = job.table.classes.clone();
    let model = TransformerModel {
        config: pretrained.config.trained(&classes, pretrained.max_len),
        classes,
        architecture: job.architecture.clone(),
        tokens: Arc::clone(&pretrained.tokens),
        extras: pretrained.extras()?,
        values,
        engine: Mutex::new(None),
    };
    Ok(Trained {
        model,
        scores,
        details,
        failure,
    })
}

/// What of the run stands in metrics.json.
fn details(
    job: &Job<'_>,
    learner: &mut Learner<'_>,
    model_of_epoch: Option<u64>,
    fresh: &[String],
) -> Map<String, Value> {
    let parameters = job.architecture.parameters();
    let numbers = |which: &dyn Fn(bool) -> bool| -> usize {
        let parts = parameters.iter().zip(job.frozen());
        let counted = parts.filter(|(_, frozen)| which(*frozen));
        counted
            .map(|(parameter, _)| parameter.shape.iter().product::<usize>())
            .sum()
    };
    let details = [
        ("steps", json!(learner.state.step)),
        ("epochs", json!(learner.state.epoch)),
        ("model_of_epoch", json!(model_of_epoch)),
        (
            "pretrained_model",
            json!(job.params.pretrained().map_or("", |found| found.name())),
        ),
        ("parameters", json!(numbers(&|_| true))),
        ("trained_parameters", json!(numbers(&|frozen| !frozen))),
        ("initialised", json!(fresh)),
        ("rows_per_step", json!(job.step_rows)),
        ("devices", json!(learner.engine().device())),
        ("skipped_steps", json!(learner.state.skipped)),
    ];
    details
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

impl Job<'_> {
    pub(crate) fn frozen(&self) -> Vec<bool> {
        learner::frozen(&self.architecture, self.params.freeze)
    }

    fn setup(&self, run: &Run) -> Setup {
        Setup {
            device: self.params.device,
            precision: self.params.precision,
            threads: run.threads(),
        }
    }

    /// Scores of rows; `None` if there are none or the run was stopped.
    fn scores(
        &self,
        engine: &mut dyn Engine,
        rows: &[u32],
        run: &Run,
    ) -> Result<Option<Scores>, Error> {
        if rows.is_empty() {
            return Ok(None);
        }
        let ids: Vec<Vec<u32>> = rows.iter().map(|&row| self.rows.ids(row)).collect();
        let shape = (self.architecture.pad, self.architecture.classes);
        let found = logits(engine, &ids, shape, &|| run.stopped())?;
        Ok(found.map(|logits| Scores::of_logits(logits, self.architecture.classes)))
    }

    /// What the weights are worth on the validation rows; `None` where there are none, or if the run was stopped.
    fn validate(
        &self,
        engine: &mut dyn Engine,
        run: &Run,
    ) -> Result<Option<(Validation, Scores)>, Error> {
        let scores = self.scores(engine, &self.validation, run)?;
        Ok(scores.map(|scores| {
            let rows = self.validation.iter();
            let labels: Vec<u32> = rows.map(|&row| self.table.labels[row as usize]).collect();
            (
                Validation::of(&labels, &self.table.classes, &scores),
                scores,
            )
        }))
    }

    /// Refuses hosts that were given other data, as `ShardedByS3Key` does: they would train on other batches.
    fn same_data(&self, meeting: &mut Meeting) -> Result<(), Error> {
        let mut content = Vec::new();
        for row in 0..self.table.labels.len() as u32 {
            content.extend(self.table.labels[row as usize].to_le_bytes());
            content.extend(self.rows.ids(row).iter().flat_map(|id| id.to_le_bytes()));
        }
        let own = diagnostics::sha256(&content);
        let leads = meeting.rank_of().0 == 0;
        let first = meeting.share(leads.then_some(own.as_bytes()))?;
        // Told to all, so that none waits for one that has gone.
        if meeting.any(first != own.as_bytes())? {
            return Err(Error::new(
                "expected the same rows on all hosts, found others than on the first",
            )
            .help(
                "give every host all data: `FullyReplicated`, which is the default of a channel",
            ));
        }
        Ok(())
    }
}
