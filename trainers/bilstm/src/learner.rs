//! The network and its optimizer, as the training loop uses them.

use std::path::Path;

use dataset::RowTable;
use diagnostics::Error;
use evaluation::metrics::Scores;
use tch::{TchError, Tensor, no_grad};
use training::{
    Array, Arrays, Best, OptimizerStep, Run, TrainPlan, TrainState, incompatible_checkpoint,
    prefixed, read_checkpoint, row_weights, write_tensors,
};

use crate::allocator;
use crate::device::{Devices, torch_error};
use crate::encoded::IdRows;
use crate::evaluate::logits;
use crate::net::{Dropout, Shape, values};
use crate::optimizer::Adam;
use crate::params::LstmParams;
use crate::replicas::Replicas;
use crate::step::Step;

/// Everything that does not change while training.
pub(crate) struct TrainContext<'a> {
    pub(crate) params: &'a LstmParams,
    pub(crate) plan: TrainPlan<'a>,
    pub(crate) table: &'a RowTable,
    pub(crate) rows: IdRows,
    pub(crate) shape: Shape,
    pub(crate) class_weights: Vec<f32>,
    /// Weights of the rows without each class, if rows may have several.
    pub(crate) other_weights: Vec<f32>,
}

impl TrainContext<'_> {
    /// Scores rows; `None` if the run was stopped.
    pub(crate) fn scores(
        &self,
        net: &Replicas,
        rows: &[u32],
        run: &Run,
    ) -> Result<Option<Scores>, Error> {
        let ids: Vec<&[u32]> = rows.iter().map(|&row| self.rows.ids(row)).collect();
        let logits = logits(net, &ids, &|| run.stopped()).map_err(torch_error)?;
        let (classes, multi_label) = (self.shape.classes, self.table.label_sets.is_some());
        Ok(logits.map(|logits| Scores::from_logits(logits, classes, multi_label)))
    }

    /// Returns 1 for the classes of each row and 0 for the others, if rows may have several.
    fn indicators(&self, rows: &[u32]) -> Vec<f32> {
        if self.table.label_sets.is_none() {
            return Vec::new();
        }
        let classes = self.shape.classes;
        let mut indicators = vec![0.0; rows.len() * classes];
        for (row, indicators) in rows.iter().zip(indicators.chunks_exact_mut(classes)) {
            for &class in self.table.classes_of(*row) {
                indicators[class as usize] = 1.0;
            }
        }
        indicators
    }
}

/// The learner of a bi-LSTM.
pub(crate) struct LstmLearner<'a> {
    context: &'a TrainContext<'a>,
    mixed: bool,
    replicas: Replicas,
    adam: Adam,
    /// Of the last step, until the update.
    gradients: Vec<Tensor>,
    /// Seed of the dropout masks.
    dropout: u64,
}

impl<'a> LstmLearner<'a> {
    /// Restores the run's checkpoint, if there is one; else initialises the weights. Returns the
    /// state and the best weights too.
    pub(crate) fn start(
        context: &'a TrainContext<'a>,
        devices: &Devices,
        run: &Run,
    ) -> Result<(Self, TrainState, Option<Best<Arrays>>), Error> {
        let checkpoint = read_checkpoint(run)?;
        let resumed = checkpoint.is_some();
        let (state, mut saved) = checkpoint.unwrap_or_default();
        let weights = match resumed {
            true => take(&mut saved, "weights/"),
            false => context.shape.initial(run.stream("weights")),
        };
        let replicas = Replicas::new(&context.shape, &weights, &devices.all, devices.mixed)
            .map_err(torch_error)?
            .ok_or_else(|| incompatible_checkpoint("its weights have other shapes"))?;
        let mut adam = Adam::new(&replicas.first().parameters).map_err(torch_error)?;
        if resumed {
            for (name, moments) in [("first/", &mut adam.first), ("second/", &mut adam.second)] {
                let arrays = take(&mut saved, name);
                for ((name, _), moment) in context.shape.parameters().iter().zip(moments) {
                    let array = arrays
                        .get(name)
                        .ok_or_else(|| incompatible_checkpoint("it lacks moments of Adam"))?;
                    copy(array, moment).map_err(torch_error)?;
                }
            }
        }
        let best = state.best_epoch().map(|epoch| Best {
            epoch,
            weights: take(&mut saved, "best/"),
            scores: None,
        });
        let learner = Self {
            context,
            mixed: devices.mixed,
            replicas,
            adam,
            gradients: Vec::new(),
            dropout: run.stream("dropout"),
        };
        Ok((learner, state, best))
    }

    fn named(&self, tensors: &[Tensor]) -> Result<Arrays, Error> {
        let parameters = self.context.shape.parameters().into_iter().zip(tensors);
        parameters
            .map(|((name, shape), tensor)| {
                let data = values(tensor).map_err(torch_error)?;
                Ok((name, Array { shape, data }))
            })
            .collect()
    }
}

impl training::Learner for LstmLearner<'_> {
    type Weights = Arrays;

    fn tokens(&self, row: u32) -> usize {
        self.context.rows.ids(row).len()
    }

    fn is_scaled(&self) -> bool {
        self.mixed
    }

    fn backward(&mut self, rows: &[u32], step: u64, loss_scale: f64) -> Result<(f64, f64), Error> {
        let context = self.context;
        let share = context.params.dropout;
        let label = |&row: &u32| context.table.labels[row as usize];
        let step = Step {
            rows: rows
                .iter()
                .map(|&row| context.rows.ids(row).to_vec())
                .collect(),
            labels: rows.iter().map(label).collect(),
            indicators: context.indicators(rows),
            class_weights: context.class_weights.clone(),
            other_weights: context.other_weights.clone(),
            row_weights: row_weights(context.table, rows),
            dropout: (share > 0.0).then_some(Dropout {
                share,
                seed: self.dropout,
                step,
                first_row: 0,
            }),
            loss_scale,
        };
        let gradients = self.replicas.gradients(step).map_err(torch_error)?;
        let norm = norm(&gradients.tensors).map_err(torch_error)?;
        self.gradients = gradients.tensors;
        Ok((gradients.loss, norm))
    }

    fn update(&mut self, step: OptimizerStep) -> Result<(), Error> {
        let gradients = std::mem::take(&mut self.gradients);
        self.adam
            .step(self.replicas.parameters(), &gradients, step)
            .and_then(|()| self.replicas.broadcast())
            .map_err(torch_error)
    }

    fn discard(&mut self) -> Result<(), Error> {
        self.gradients.clear();
        Ok(())
    }

    fn weights(&self) -> Result<Arrays, Error> {
        self.replicas.first().arrays().map_err(torch_error)
    }

    fn is_finite(weights: &Arrays) -> bool {
        let mut data = weights.values().flat_map(|array| &array.data);
        data.all(|value| value.is_finite())
    }

    fn scores(&mut self, rows: &[u32], run: &Run) -> Result<Option<Scores>, Error> {
        self.context.scores(&self.replicas, rows, run)
    }

    fn save(&self, best: Option<&Arrays>, path: &Path) -> Result<(), Error> {
        let weights = self.weights()?;
        let first = self.named(&self.adam.first)?;
        let second = self.named(&self.adam.second)?;
        let mut all = vec![
            ("weights/", &weights),
            ("first/", &first),
            ("second/", &second),
        ];
        all.extend(best.map(|best| ("best/", best)));
        let tensors = all
            .into_iter()
            .flat_map(|(name, arrays)| prefixed(name, arrays));
        write_tensors(path, &[], tensors.collect())
    }

    fn after_phase(&mut self) {
        allocator::purge();
    }
}

/// Returns the norm of all gradients as one vector.
pub(crate) fn norm(gradients: &[Tensor]) -> Result<f64, TchError> {
    no_grad(|| {
        let norms: Result<Vec<Tensor>, TchError> = gradients.iter().map(Tensor::f_norm).collect(); // () f32 each
        Tensor::f_stack(&norms?, 0)?.f_norm()?.f_double_value(&[])
    })
}

/// Takes the arrays out whose names begin with `prefix`, and removes the prefix.
fn take(all: &mut Arrays, prefix: &str) -> Arrays {
    let matches = all.extract_if(.., |name, _| name.starts_with(prefix));
    matches
        .map(|(name, array)| (name[prefix.len()..].to_owned(), array))
        .collect()
}

fn copy(array: &Array, tensor: &mut Tensor) -> Result<(), TchError> {
    let sizes: Vec<i64> = array.shape.iter().map(|&size| size as i64).collect();
    let from = Tensor::f_from_slice(&array.data)?.f_view(sizes.as_slice())?;
    no_grad(|| tensor.f_copy_(&from))
}
