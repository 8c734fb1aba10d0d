//! What changes while training, a step of it, and its checkpoints.

use diagnostics::Error;
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use serde_json::json;
use tch::{Device, Kind, TchError, Tensor, no_grad};
use training::{
    Array, Arrays, Counters, Run, Verdict, cut, prefixed, read_tensors,
    strange_checkpoint as strange, write_tensors,
};

use crate::device::{Devices, failed};
use crate::net::{Dropout, values};
use crate::optimizer::Adam;
use crate::replicas::{Replicas, Step};
use crate::train::{Job, initial};

/// The only file of a checkpoint besides its manifest.
const TENSORS: &str = "training.safetensors";

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
    pub(crate) state: Counters,
    pub(crate) best: Option<Best>,
}

impl<'a> Learner<'a> {
    /// At the run's checkpoint, or at the beginning.
    pub(crate) fn start(job: &'a Job<'a>, devices: &Devices, run: &Run) -> Result<Self, Error> {
        let restored = run.restored().map(|restored| {
            let path = restored.dir.join(TENSORS);
            let arrays = read_tensors(&path).map_err(|error| strange(&error.to_string()))?;
            let state: Counters = serde_json::from_value(restored.state.clone())
                .map_err(|error| strange(&error.to_string()))?;
            Ok::<_, Error>((state, arrays))
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
            adam.steps = state.updates();
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
        let best = state.best_epoch().map(|epoch| Best {
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

    /// Learns from a batch.
    pub(crate) fn step(&mut self, batch: &[u32]) -> Result<Outcome, Error> {
        let job = self.job;
        let share = job.params.dropout;
        let mixed = self.devices.mixed;
        let loss_scale = self.state.loss_scale(mixed);
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
        let norm = norm(&gradients.tensors).map_err(failed)? / loss_scale;
        match self.state.judge(gradients.loss, norm, mixed) {
            Verdict::NotFinite(what) => return Ok(Outcome::NotFinite(what)),
            Verdict::Skip => {}
            Verdict::Update => {
                let scale = cut(job.params.clip_norm, norm) / loss_scale;
                let rate = job.plan.rate(self.state.step);
                self.adam
                    .step(self.replicas.parameters(), &gradients.tensors, scale, rate)
                    .map_err(failed)?;
                self.replicas.broadcast().map_err(failed)?;
            }
        }
        self.state.stepped(gradients.loss, batch.len());
        Ok(Outcome::Done)
    }

    /// Why training cannot go on after the last step, if it cannot.
    pub(crate) fn diverged(&self, validation: Option<&Validation>) -> Result<Option<Error>, Error> {
        let finite = all_finite(&self.replicas.first().parameters).map_err(failed)?;
        Ok(self.state.diverged(finite, validation))
    }

    /// Keeps the weights if they are the best so far.
    pub(crate) fn end_epoch(
        &mut self,
        validated: Option<(Validation, Scores)>,
    ) -> Result<(), Error> {
        let (validation, scores) = validated.unzip();
        if self.state.end_epoch(validation) {
            self.best = Some(Best {
                epoch: self.state.epoch,
                arrays: self.replicas.first().arrays().map_err(failed)?,
                scores,
            });
        }
        Ok(())
    }

    /// Writes a checkpoint if one is due.
    pub(crate) fn checkpoint(&self, run: &mut Run, epoch_ended: bool) -> Result<(), Error> {
        if !run.checkpoint_due(self.state.step, epoch_ended) || self.state.step == 0 {
            return Ok(());
        }
        run.checkpoint(self.state.step, &json!(self.state), |dir| {
            let weights = self.replicas.first().arrays().map_err(failed)?;
            let first = self.named(&self.adam.first).map_err(failed)?;
            let second = self.named(&self.adam.second).map_err(failed)?;
            let mut all = vec![
                ("weights/", &weights),
                ("first/", &first),
                ("second/", &second),
            ];
            all.extend(self.best.as_ref().map(|best| ("best/", &best.arrays)));
            let tensors = all
                .into_iter()
                .flat_map(|(name, arrays)| prefixed(name, arrays));
            write_tensors(&dir.join(TENSORS), &[], tensors.collect())
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
pub(crate) fn norm(gradients: &[Tensor]) -> Result<f64, TchError> {
    no_grad(|| {
        let norms: Result<Vec<Tensor>, TchError> = gradients.iter().map(Tensor::f_norm).collect(); // () f32 each
        Tensor::f_stack(&norms?, 0)?.f_norm()?.f_double_value(&[])
    })
}

/// A sum of f32 numbers in f64 is finite if all of them are.
fn all_finite(tensors: &[Tensor]) -> Result<bool, TchError> {
    no_grad(|| {
        for tensor in tensors {
            if !tensor.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
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
