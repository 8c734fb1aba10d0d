//! The training run, from the corpus to the model.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use dataset::{RowTable, Split};
use diagnostics::Error;
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use harness::Trained;
use harness::trainer::PartScores;
use serde_json::{Map, Value, json};
use tch::Device;
use training::{Arrays, Pace, Plan, Run, memory, of_epoch};

use crate::device::failed;
use crate::evaluate::logits;
use crate::allocator;
use crate::encoded::{self, Encoder, EncodedRows};
use crate::learner::{Best, Learner, Outcome};
use crate::model::{LstmModel, TextModel};
use crate::net::Shape;
use crate::params::{LstmParams, TextParams};
use crate::tokenizer::Tokenizer;
use crate::replicas::Replicas;

/// All that does not change while training.
pub(crate) struct Job<'a> {
    pub(crate) params: &'a LstmParams,
    pub(crate) plan: Plan,
    pub(crate) table: &'a RowTable,
    pub(crate) ids: EncodedRows,
    pub(crate) shape: Shape,
    pub(crate) train: Vec<u32>,
    pub(crate) validation: Vec<u32>,
    pub(crate) class_weights: Vec<f32>,
}

pub(crate) fn train(
    params: &TextParams,
    lstm: &LstmParams,
    table: &RowTable,
    encoders: Vec<Encoder>,
    run: &mut Run,
) -> Result<Trained<TextModel>, Error> {
    let devices = lstm
        .device
        .find(lstm.precision)?
        .with_threads(run.threads(), lstm.batch_size);
    table.check_classes()?;
    // Of libtorch's own: see `replicas`.
    tch::set_num_threads(1);
    let (reader, ids) = encoded::encode_rows(table, encoders, lstm.vocab_size, lstm.seq_len)?;
    let train = table.of(Split::Train);
    let job = Job {
        params: lstm,
        plan: Plan {
            epochs: lstm.epochs,
            rows: train.len(),
            steps_per_epoch: train.len().div_ceil(lstm.batch_size) as u64,
            learning_rate: lstm.learning_rate,
            schedule: lstm.schedule,
            warm_up: lstm.warm_up,
        },
        table,
        ids,
        shape: Shape {
            ids: reader.ids(),
            pad: reader.pad(),
            emb_size: lstm.emb_size,
            hidden_size: lstm.hidden_size,
            num_layers: lstm.num_layers,
            pooling: lstm.pooling,
            classes: table.classes.len(),
        },
        class_weights: params.class_weight.weights(table, &train),
        train,
        validation: table.of(Split::Validation),
    };
    if run.stopped() {
        return Err(Error::stopped());
    }
    if devices.all.iter().all(|device| *device == Device::Cpu) {
        has_room(&job, devices.all.len(), memory::left(Path::new("/")))?;
    }
    allocator::retain();
    let mut learner = Learner::start(&job, &devices, run)?;
    let failure = learn(&job, &mut learner, run)?;
    finish(&job, learner, reader, failure, run)
}

/// Refuses a network for which the memory is too small by far; otherwise the system would end the process without a word.
fn has_room(job: &Job<'_>, replicas: usize, left: Option<u64>) -> Result<(), Error> {
    let lengths = job.train.iter().map(|&row| job.ids.row(row as usize).len());
    let longest = lengths.max().unwrap_or(0);
    let rows = job.params.batch_size.min(job.train.len());
    let bytes = job
        .shape
        .least_bytes(replicas, rows.saturating_mul(longest));
    match left {
        Some(left) if bytes > left => Err(Error::new(format!(
                "expected `{} MB` of memory, found `{} MB`: so much take the network, its gradients, Adam's moments and a \
                 batch of `{rows}` rows of up to `{longest}` ids",
                bytes / 1_000_000,
                left / 1_000_000
            )).help("lower --hidden-size, --emb-size, --vocab-size, --batch-size or --seq-len")),
        _ => Ok(()),
    }
}

/// The epochs. Answers why training could not go on, if it could not.
fn learn(job: &Job<'_>, learner: &mut Learner<'_>, run: &mut Run) -> Result<Option<Error>, Error> {
    let seed = run.stream("batches");
    let steps = job.plan.steps_per_epoch;
    while learner.state.epoch < job.params.epochs
        && !learner.state.patience_is_over(job.params.patience)
    {
        let epoch = learner.state.epoch;
        let mut pace = Pace::start();
        let batches = of_epoch(
            &job.train,
            |row| job.ids.row(row as usize).len(),
            job.params.batch_size,
            job.params.buckets,
            (seed, epoch),
        );
        let done = learner.state.step - epoch * steps;
        for batch in batches.iter().skip(done as usize) {
            if run.stopped() {
                return learner.checkpoint(run, false).map(|()| None);
            }
            if let Outcome::NotFinite(what) = learner.step(batch)? {
                return Ok(Some(learner.state.not_finite(what)));
            }
            let lengths = batch.iter().map(|&row| job.ids.row(row as usize).len());
            pace.saw(batch.len(), lengths.sum());
            run.step(learner.state.step, job.plan.steps(), learner.state.loss);
            if learner.state.step < (epoch + 1) * steps {
                learner.checkpoint(run, false)?;
            }
        }
        pace.stop();
        allocator::purge();
        let validated = job.validate(learner.replicas(), run)?;
        if validated.is_none() && !job.validation.is_empty() {
            // Stopped: the epoch's end will be seen again by the run that resumes.
            return learner.checkpoint(run, false).map(|()| None);
        }
        let validation = validated.as_ref().map(|(validation, _)| *validation);
        if let Some(failure) = learner.diverged(validation.as_ref())? {
            return Ok(Some(failure));
        }
        run.epoch(learner.state.report(&job.plan, &pace, validation));
        learner.end_epoch(validated)?;
        allocator::purge();
        learner.checkpoint(run, true)?;
    }
    Ok(None)
}

fn finish(
    job: &Job<'_>,
    mut learner: Learner<'_>,
    reader: Tokenizer,
    failure: Option<Error>,
    run: &mut Run,
) -> Result<Trained<TextModel>, Error> {
    let (arrays, validation, epoch) = match learner.best.take() {
        Some(Best {
            arrays,
            scores,
            epoch,
            ..
        }) => (arrays, scores, Some(epoch)),
        // What a first epoch was broken off with is a model; what came of a loss that is no number is none.
        None => match failure {
            Some(failure) => return Err(failure),
            None if learner.state.step == 0 => return Err(Error::stopped()),
            None => match learner.diverged(None)? {
                Some(failure) => return Err(failure),
                None => (
                    learner.replicas().first().arrays().map_err(failed)?,
                    None,
                    None,
                ),
            },
        },
    };
    let details = details(job, &learner, epoch);
    let devices = learner.devices().to_vec();
    // Adam's moments and the last weights: what scores needs none of them.
    drop(learner);
    allocator::purge();
    let net = Replicas::new(&job.shape, &arrays, &devices, false).map_err(failed)?;
    let judge = |part: Split| -> Result<Option<Scores>, Error> {
        let rows = job.table.of(part);
        match &net {
            Some(net) if !rows.is_empty() => job.scores(net, &rows, run),
            _ => Ok(None),
        }
    };
    let validation = match validation {
        Some(scores) => Some(scores),
        None => judge(Split::Validation)?,
    };
    let test = judge(Split::Test)?;
    let train = match run.wants_train_scores(validation.is_some() || test.is_some()) {
        true => judge(Split::Train)?,
        false => None,
    };
    let model = LstmModel {
        classes: job.table.classes.clone(),
        reader,
        seq_len: job.params.seq_len,
        shape: job.shape.clone(),
        arrays,
        devices: vec![Device::Cpu],
        turn: AtomicUsize::default(),
    };
    Ok(Trained {
        model: TextModel::Bilstm(Box::new(model)),
        scores: PartScores {
            train,
            out_of_fold: false,
            validation,
            test,
        },
        details,
        failure,
    })
}

/// What of the run stands in metrics.json.
fn details(
    job: &Job<'_>,
    learner: &Learner<'_>,
    model_of_epoch: Option<u64>,
) -> Map<String, Value> {
    let details = [
        ("steps", json!(learner.state.step)),
        ("epochs", json!(learner.state.epoch)),
        ("model_of_epoch", json!(model_of_epoch)),
        ("parameters", json!(job.shape.numbers())),
        ("ids", json!(job.shape.ids)),
        ("devices", json!(learner.device_names())),
        ("skipped_steps", json!(learner.state.skipped)),
    ];
    details
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

impl Job<'_> {
    /// Scores of rows; `None` if the run was stopped.
    pub(crate) fn scores(
        &self,
        net: &Replicas,
        rows: &[u32],
        run: &Run,
    ) -> Result<Option<Scores>, Error> {
        let ids: Vec<&[u32]> = rows.iter().map(|&row| self.ids.row(row as usize)).collect();
        let logits = logits(net, &ids, &|| run.stopped()).map_err(failed)?;
        Ok(logits.map(|logits| Scores::of_logits(logits, self.shape.classes)))
    }

    /// What the weights are worth on the validation rows; `None` where there are none, or if the run was stopped.
    fn validate(&self, net: &Replicas, run: &Run) -> Result<Option<(Validation, Scores)>, Error> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let Some(scores) = self.scores(net, &self.validation, run)? else {
            return Ok(None);
        };
        let labels: Vec<u32> = self
            .validation
            .iter()
            .map(|&row| self.table.labels[row as usize])
            .collect();
        let validation = Validation::of(&labels, &self.table.classes, &scores);
        Ok(Some((validation, scores)))
    }
}

/// Initial values of the network.
pub(crate) fn initial(job: &Job<'_>, run: &Run) -> Arrays {
    job.shape.initial(run.stream("weights"))
}
