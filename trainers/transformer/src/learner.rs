//! What changes while training, a step of it, and its checkpoints.

#[cfg(test)]
mod tests;

use diagnostics::Error;
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use serde_json::json;
use training::{
    Array, Arrays, Counters, Run, Tensor, Verdict, cut, read_tensors,
    strange_checkpoint as strange, write_tensors,
};

use crate::architecture::{Architecture, Parameter, Role};
use crate::distributed::Meeting;
use crate::engine::{AllReduce as _, Batch, Engine, Noise, Saved, Target, Update, Values};
use crate::params::Freeze;
use crate::train::Job;

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";

/// AdamW's constants (Loshchilov and Hutter 2019), which are PyTorch's and transformers' defaults.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// The weights that will be the model unless better ones come.
pub(crate) struct Best {
    pub(crate) epoch: u64,
    pub(crate) values: Values,
    /// Of the validation rows, unless it comes from a checkpoint.
    pub(crate) scores: Option<Scores>,
}

/// What a step came to.
pub(crate) enum Outcome {
    Done,
    /// What was no finite number.
    NotFinite(&'static str),
}

pub(crate) struct Learner<'a> {
    job: &'a Job<'a>,
    engine: Box<dyn Engine>,
    meeting: Option<Meeting>,
    parameters: Vec<Parameter>,
    noise: u64,
    pub(crate) state: Counters,
    pub(crate) best: Option<Best>,
}

impl<'a> Learner<'a> {
    /// From the run's checkpoint, else from the beginning.
    pub(crate) fn start(
        job: &'a Job<'a>,
        engine: Box<dyn Engine>,
        meeting: Option<Meeting>,
        run: &Run,
    ) -> Result<Self, Error> {
        let mut learner = Self {
            job,
            engine,
            meeting,
            parameters: job.architecture.parameters(),
            noise: run.stream("dropout"),
            state: Counters::default(),
            best: None,
        };
        learner.restore(run)?;
        learner.agree()?;
        Ok(learner)
    }

    /// Takes up what the checkpoint has.
    fn restore(&mut self, run: &Run) -> Result<(), Error> {
        let Some(restored) = run.restored() else {
            return Ok(());
        };
        let path = restored.dir.join(TENSORS);
        let mut arrays = read_tensors(&path).map_err(|error| strange(&error.to_string()))?;
        self.state = serde_json::from_value(restored.state.clone())
            .map_err(|error| strange(&error.to_string()))?;
        let frozen = self.job.frozen();
        let mut moments = |prefix: &str| {
            let parts = self.parameters.iter().zip(&frozen);
            parts
                .map(|(parameter, &frozen)| match frozen {
                    true => Ok(Vec::new()),
                    false => part(&mut arrays, prefix, parameter),
                })
                .collect::<Result<Values, Error>>()
        };
        let (first, second) = (moments("first/")?, moments("second/")?);
        let mut all = |prefix: &str| {
            let parameters = self.parameters.iter();
            parameters
                .map(|parameter| part(&mut arrays, prefix, parameter))
                .collect::<Result<Values, Error>>()
        };
        let weights = all("weights/")?;
        self.best = match self.state.best_epoch() {
            Some(epoch) => Some(Best {
                epoch,
                values: all("best/")?,
                scores: None,
            }),
            None => None,
        };
        self.engine.restore(&Saved {
            weights,
            first,
            second,
        })
    }

    /// Gives the other hosts what the first one has restored: checkpoints are its own.
    fn agree(&mut self) -> Result<(), Error> {
        let Some(meeting) = &mut self.meeting else {
            return Ok(());
        };
        let leads = meeting.rank_of().0 == 0;
        let own = leads.then(|| json!(self.state).to_string());
        let state = meeting.share(own.as_deref().map(str::as_bytes))?;
        if !leads {
            self.state =
                serde_json::from_slice(&state).map_err(|error| strange(&error.to_string()))?;
        }
        if self.state.step == 0 {
            return Ok(());
        }
        let mut saved = self.engine.save()?;
        for values in [&mut saved.weights, &mut saved.first, &mut saved.second] {
            for values in values {
                if !leads {
                    values.fill(0.0);
                }
                meeting.sum(values)?;
            }
        }
        self.engine.restore(&saved)
    }

    /// Whether any host is to stop: all of them do at the same step.
    pub(crate) fn stopped(&mut self, run: &Run) -> Result<bool, Error> {
        self.agree_to_stop(run, run.stopped())
    }

    /// Whether any host says that it was stopped; then this run is too, with all that follows: a checkpoint, no scores,
    /// `stopped_early`.
    pub(crate) fn agree_to_stop(&mut self, run: &Run, own: bool) -> Result<bool, Error> {
        let stopped = match &mut self.meeting {
            None => own,
            Some(meeting) => meeting.any(own)?,
        };
        if stopped && !run.stopped() {
            run.progress("another host of the job was told to stop");
            run.stop_now();
        }
        Ok(stopped)
    }

    /// Gives all hosts what the first one has validated: where kinds of processors round differently, each would end after
    /// an epoch of its own.
    pub(crate) fn agree_on(&mut self, own: Validation) -> Result<Validation, Error> {
        let Some(meeting) = &mut self.meeting else {
            return Ok(own);
        };
        let [accuracy, loss, macro_f1] = meeting.lead([own.accuracy, own.loss, own.macro_f1])?;
        Ok(Validation {
            accuracy,
            loss,
            macro_f1,
        })
    }

    /// The network.
    pub(crate) fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
    }

    /// Learns from the rows of a step, of which this host works on its share.
    pub(crate) fn step(&mut self, rows: &[u32]) -> Result<Outcome, Error> {
        let scaled = self.engine.is_scaled();
        let loss_scale = self.state.loss_scale(scaled);
        let mut loss = self.accumulate(rows, loss_scale)?;
        if let Some(meeting) = &mut self.meeting {
            let mut sum = [loss as f32];
            meeting.sum(&mut sum)?;
            loss = sum[0].into();
            self.engine.reduce(meeting)?;
        }
        let norm = self.engine.gradient_norm()? / loss_scale;
        let params = self.job.params;
        match self.state.judge(loss, norm, scaled) {
            Verdict::NotFinite(what) => return Ok(Outcome::NotFinite(what)),
            Verdict::Skip => self.engine.discard()?,
            Verdict::Update => self.engine.update(&Update {
                step: self.state.updates() + 1,
                rate: self.job.plan.rate(self.state.step),
                beta_1: BETAS.0,
                beta_2: BETAS.1,
                epsilon: EPSILON,
                weight_decay: params.weight_decay,
                scale: cut(params.clip_norm, norm) / loss_scale,
            })?,
        }
        self.state.stepped(loss, rows.len());
        Ok(Outcome::Done)
    }

    /// Gradients of this host's micro-batches: every so many rows, each in turn to the next host.
    fn accumulate(&mut self, rows: &[u32], loss_scale: f64) -> Result<f64, Error> {
        let job = self.job;
        let (rank, hosts) = self.meeting.as_ref().map_or((0, 1), Meeting::rank_of);
        let label = |&row: &u32| job.table.labels[row as usize];
        let weight = |row: &u32| f64::from(job.class_weights[label(row) as usize]);
        let total_weight = rows.iter().map(weight).sum();
        let size = job.params.batch_size;
        let mut loss = 0.0;
        for (number, rows) in rows.chunks(size).enumerate().skip(rank).step_by(hosts) {
            let ids: Vec<Vec<u32>> = rows.iter().map(|&row| job.rows.ids(row)).collect();
            let labels: Vec<u32> = rows.iter().map(label).collect();
            let target = Target {
                labels: &labels,
                class_weights: &job.class_weights,
                total_weight,
                label_smoothing: job.params.label_smoothing,
                noise: Some(Noise {
                    seed: self.noise,
                    step: self.state.step,
                    first_row: (number * size) as u64,
                }),
                loss_scale,
            };
            loss += self
                .engine
                .accumulate(&Batch::of(&ids, job.architecture.pad), &target)?;
        }
        Ok(loss)
    }

    /// The weights as the last step left them, or why training cannot go on with them.
    pub(crate) fn weights(
        &self,
        validation: Option<&Validation>,
    ) -> Result<Result<Values, Error>, Error> {
        let weights = self.engine.weights()?;
        let finite = weights.iter().flatten().all(|weight| weight.is_finite());
        Ok(match self.state.diverged(finite, validation) {
            Some(failure) => Err(failure),
            None => Ok(weights),
        })
    }

    /// Keeps the weights if they are the best so far.
    pub(crate) fn end_epoch(&mut self, values: Values, validated: Option<(Validation, Scores)>) {
        let (validation, scores) = validated.unzip();
        if self.state.end_epoch(validation) {
            self.best = Some(Best {
                epoch: self.state.epoch,
                values,
                scores,
            });
        }
    }

    /// Writes a checkpoint if one is due.
    pub(crate) fn checkpoint(&self, run: &mut Run, epoch_ended: bool) -> Result<(), Error> {
        if !run.checkpoint_due(self.state.step, epoch_ended) || self.state.step == 0 {
            return Ok(());
        }
        run.checkpoint(self.state.step, &json!(self.state), |dir| {
            let saved = self.engine.save()?;
            let mut all = vec![
                ("weights/", &saved.weights),
                ("first/", &saved.first),
                ("second/", &saved.second),
            ];
            all.extend(self.best.as_ref().map(|best| ("best/", &best.values)));
            let mut tensors = Vec::new();
            for (prefix, values) in all {
                // A frozen parameter has no moments.
                let parts = self
                    .parameters
                    .iter()
                    .zip(values)
                    .filter(|(_, data)| !data.is_empty());
                tensors.extend(parts.map(|(parameter, data)| Tensor {
                    name: format!("{prefix}{}", parameter.name),
                    shape: &parameter.shape,
                    data,
                }));
            }
            write_tensors(&dir.join(TENSORS), &[], tensors)
        })
    }
}

/// A parameter's values out of a checkpoint.
fn part(arrays: &mut Arrays, prefix: &str, parameter: &Parameter) -> Result<Vec<f32>, Error> {
    match arrays.remove(&format!("{prefix}{}", parameter.name)) {
        Some(Array { shape, data }) if shape == parameter.shape => Ok(data),
        _ => Err(strange("its tensors have other shapes")),
    }
}

/// Which parameters stay as they are.
pub(crate) fn frozen(architecture: &Architecture, freeze: Freeze) -> Vec<bool> {
    let stays = |parameter: &Parameter| match (freeze, parameter.role) {
        (Freeze::None, _) | (_, Role::HeadDense(_) | Role::HeadOut(_)) => false,
        (Freeze::Layers(layers), Role::Layer(layer, _)) => layer < layers,
        (Freeze::All | Freeze::Layers(_), _) => true,
    };
    architecture.parameters().iter().map(stays).collect()
}
