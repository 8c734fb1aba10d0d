//! What changes while training, a step of it, and its checkpoints.

use std::fs;

use harness::history::Validation;
use harness::metrics::Scores;
use harness::{Failure, Run};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, TchError, Tensor, no_grad};

use crate::device::{Devices, failed};
use crate::model::{deserialize, serialize};
use crate::net::{Array, Arrays, Dropout, values};
use crate::optimizer::Adam;
use crate::replicas::{Replicas, Step};
use crate::train::{Job, initial};
use harness::training::LossScale;

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";

/// The numbers of a run; with the tensors all that a resume needs. Random streams are functions of the counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Epochs that are done.
    pub(crate) epoch: u64,
    /// Steps that are done, of all epochs.
    pub(crate) step: u64,
    /// Of those, how many were skipped because half precision overflowed.
    pub(crate) skipped: u64,
    /// The last step's.
    pub(crate) loss: f64,
    /// Of the epoch, times the rows of each step.
    pub(crate) loss_sum: f64,
    /// Of the epoch's gradients.
    pub(crate) norm_sum: f64,
    pub(crate) scale: LossScale,
    best_epoch: Option<u64>,
    /// Accuracy and loss of that epoch on the validation rows, if there are any.
    best: Option<(f64, f64)>,
}

impl State {
    pub(crate) fn mean_loss(&self, rows: usize) -> f64 {
        self.loss_sum / rows as f64
    }
}

/// The weights that will be the model unless better ones come.
pub(crate) struct Best {
    pub(crate) epoch: u64,
    pub(crate) arrays: Arrays,
    /// Of the validation rows; not known after a resume.
    pub(crate) scores: Option<Scores>,
}

/// How a step ended.
pub(crate) enum Outcome {
    /// Well.
    Done,
    /// This is no finite number; nothing was changed.
    NotFinite(&'static str),
}

/// Weights, optimiser and counters.
pub(crate) struct Learner<'a> {
    job: &'a Job<'a>,
    devices: Devices,
    replicas: Replicas,
    adam: Adam,
    dropout: u64,
    pub(crate) state: State,
    pub(crate) best: Option<Best>,
}

impl<'a> Learner<'a> {
    /// At the run's checkpoint, or at the beginning.
    pub(crate) fn start(job: &'a Job<'a>, devices: &Devices, run: &Run) -> Result<Self, Failure> {
        let restored = run.restored().map(|restored| {
            let path = restored.dir.join(TENSORS);
            let bytes = fs::read(&path).map_err(Failure::io("read", &path))?;
            let arrays = deserialize(&bytes).map_err(|error| strange(&error))?;
            let state: State = serde_json::from_value(restored.state.clone())
                .map_err(|error| strange(&error.to_string()))?;
            Ok::<_, Failure>((state, arrays))
        });
        let (state, mut saved) = restored.transpose()?.unwrap_or_default();
        let weights = match run.restored() {
            Some(_) => part(&mut saved, "weights/"),
            None => initial(job, run),
        };
        let replicas =
            Replicas::new(&job.shape, &weights, &devices.all, devices.mixed).map_err(failed)?;
        let replicas = replicas.ok_or_else(|| strange("its weights have other shapes"))?;
        let mut adam = Adam::new(&replicas.first().parameters).map_err(failed)?;
        if run.restored().is_some() {
            adam.steps = state.step - state.skipped;
            for (name, moments) in [("first/", &mut adam.first), ("second/", &mut adam.second)] {
                let arrays = part(&mut saved, name);
                for ((name, _), moment) in job.shape.parameters().iter().zip(moments) {
                    let array = arrays
                        .get(name)
                        .ok_or_else(|| strange("it lacks moments of Adam"))?;
                    set(moment, array).map_err(failed)?;
                }
            }
        }
        let best = state.best_epoch.map(|epoch| Best {
            epoch,
            arrays: part(&mut saved, "best/"),
            scores: None,
        });
        let dropout = run.stream("dropout");
        Ok(Self {
            job,
            devices: devices.clone(),
            replicas,
            adam,
            dropout,
            state,
            best,
        })
    }

    /// The networks as they are now.
    pub(crate) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// One per replica.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices.all
    }

    pub(crate) fn device_names(&self) -> Vec<String> {
        let name = |device: &Device| match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        self.devices.all.iter().map(name).collect()
    }

    /// The learning rate of a step.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        let params = self.job.params;
        let steps = params.epochs * self.job.steps_per_epoch();
        let warm_up = (params.warm_up * steps as f64).round() as u64;
        params.learning_rate * params.schedule.factor(step, steps, warm_up)
    }

    /// Learns from a batch.
    pub(crate) fn step(&mut self, batch: &[u32]) -> Result<Outcome, Failure> {
        let job = self.job;
        let share = job.params.dropout;
        let loss_scale = if self.devices.mixed {
            self.state.scale.factor
        } else {
            1.0
        };
        let step = Step {
            rows: batch
                .iter()
                .map(|&row| job.ids.row(row as usize).to_vec())
                .collect(),
            labels: batch
                .iter()
                .map(|&row| job.table.labels[row as usize])
                .collect(),
            class_weights: job.class_weights.clone(),
            dropout: (share > 0.0).then_some(Dropout {
                share,
                seed: self.dropout,
                step: self.state.step,
                first_row: 0,
            }),
            loss_scale,
        };
        let gradients = self.replicas.gradients(step).map_err(failed)?;
        if !gradients.loss.is_finite() {
            return Ok(Outcome::NotFinite("loss"));
        }
        let norm = norm(&gradients.tensors).map_err(failed)? / loss_scale;
        if norm.is_finite() {
            let cut = job
                .params
                .clip_norm
                .map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0));
            let rate = self.rate(self.state.step);
            self.adam
                .step(
                    self.replicas.parameters(),
                    &gradients.tensors,
                    cut / loss_scale,
                    rate,
                )
                .map_err(failed)?;
            self.replicas.broadcast().map_err(failed)?;
            self.state.norm_sum += norm;
            self.state.scale.fitted();
        } else if self.devices.mixed && self.state.scale.overflowed() {
            self.state.skipped += 1;
        } else {
            return Ok(Outcome::NotFinite("gradient"));
        }
        self.state.loss = gradients.loss;
        self.state.loss_sum += gradients.loss * batch.len() as f64;
        self.state.step += 1;
        Ok(Outcome::Done)
    }

    /// Keeps the weights if they are the best so far: those with the highest accuracy on the validation rows, of equals
    /// those with the lower loss; or the last ones where there are no such rows.
    pub(crate) fn end_epoch(
        &mut self,
        validated: Option<(Validation, Scores)>,
    ) -> Result<(), Failure> {
        let state = &mut self.state;
        state.epoch += 1;
        (state.loss_sum, state.norm_sum) = (0.0, 0.0);
        let found = validated
            .as_ref()
            .map(|(validation, _)| (validation.accuracy, validation.loss));
        let better = match (found, state.best) {
            (Some((accuracy, loss)), Some((best_accuracy, best_loss))) => {
                accuracy > best_accuracy || (accuracy == best_accuracy && loss < best_loss)
            }
            _ => true,
        };
        if better {
            (state.best_epoch, state.best) = (Some(state.epoch), found);
            let arrays = self.replicas.first().arrays().map_err(failed)?;
            let scores = validated.map(|(_, scores)| scores);
            self.best = Some(Best {
                epoch: state.epoch,
                arrays,
                scores,
            });
        }
        Ok(())
    }

    /// Whether so many epochs brought nothing better.
    pub(crate) fn patience_is_over(&self) -> bool {
        match (
            self.job.params.patience,
            self.state.best_epoch,
            self.state.best,
        ) {
            (Some(patience), Some(best), Some(_)) => self.state.epoch - best >= patience,
            _ => false,
        }
    }

    /// Writes a checkpoint if one is due.
    pub(crate) fn checkpoint(&self, run: &mut Run, epoch_ended: bool) -> Result<(), Failure> {
        if !run.checkpoint_due(self.state.step, epoch_ended) || self.state.step == 0 {
            return Ok(());
        }
        run.checkpoint(self.state.step, &json!(self.state), |dir| {
            let mut all = Arrays::new();
            let mut add = |prefix: &str, arrays: Arrays| {
                all.extend(
                    arrays
                        .into_iter()
                        .map(|(name, array)| (format!("{prefix}{name}"), array)),
                );
            };
            add("weights/", self.replicas.first().arrays().map_err(failed)?);
            add("first/", self.named(&self.adam.first).map_err(failed)?);
            add("second/", self.named(&self.adam.second).map_err(failed)?);
            if let Some(best) = &self.best {
                add("best/", best.arrays.clone());
            }
            let path = dir.join(TENSORS);
            let bytes = serialize(&all).map_err(|error| strange(&error))?;
            fs::write(&path, bytes).map_err(Failure::io("write", &path))
        })
    }

    fn named(&self, tensors: &[Tensor]) -> Result<Arrays, TchError> {
        let parameters = self.job.shape.parameters().into_iter().zip(tensors);
        parameters
            .map(|((name, shape), tensor)| {
                Ok((
                    name,
                    Array {
                        shape,
                        data: values(tensor)?,
                    },
                ))
            })
            .collect()
    }
}

/// The length of all gradients as one vector.
fn norm(gradients: &[Tensor]) -> Result<f64, TchError> {
    no_grad(|| {
        let norms: Result<Vec<Tensor>, TchError> = gradients.iter().map(Tensor::f_norm).collect();
        Tensor::f_stack(&norms?, 0)?.f_norm()?.f_double_value(&[])
    })
}

/// Takes the arrays out whose names begin with `prefix`, which they lose.
fn part(all: &mut Arrays, prefix: &str) -> Arrays {
    let mut found = Arrays::new();
    all.retain(|name, array| match name.strip_prefix(prefix) {
        None => true,
        Some(name) => {
            let taken = Array {
                shape: Vec::new(),
                data: Vec::new(),
            };
            found.insert(name.to_owned(), std::mem::replace(array, taken));
            false
        }
    });
    found
}

fn set(tensor: &mut Tensor, array: &Array) -> Result<(), TchError> {
    let sizes: Vec<i64> = array.shape.iter().map(|&size| size as i64).collect();
    let from = Tensor::f_from_slice(&array.data)?.f_view(sizes.as_slice())?;
    no_grad(|| tensor.f_copy_(&from))
}

/// The hashes are right, so it is what a version of this program wrote.
fn strange(error: &str) -> Failure {
    Failure::other(
        format!(
            "the checkpoint is whole, and yet nothing that this version can go on from: {error}"
        ),
        "use the version that wrote it, or choose another --checkpoint-dir",
    )
}
