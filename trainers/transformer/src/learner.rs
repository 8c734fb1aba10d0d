//! The network, its optimizer and its hosts, as the training loop uses them.

#[cfg(test)]
mod tests;

use std::path::Path;

use dataset::RowTable;
use diagnostics::Error;
use evaluation::history::Validation;
use evaluation::metrics::Scores;
use serde_json::json;
use training::{
    Array, Arrays, Best, OptimizerStep, Run, Tensor, TrainPlan, TrainState,
    incompatible_checkpoint, read_checkpoint, row_weights, write_tensors,
};

use crate::architecture::{Architecture, Parameter, Role};
use crate::distributed::{MAX_STATE_BYTES, ProcessGroup};
use crate::engine::{
    AdamWStep, AllReduce as _, Batch, DropoutKey, Engine, LossTarget, Params, Tokens, TrainerState,
};
use crate::params::{Freeze, TransformerParams};
use crate::predict::logits;
use crate::tokenizer::EncodedRows;

/// AdamW's constants (Loshchilov and Hutter 2019): the defaults of PyTorch and transformers.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Everything that does not change while training.
pub(crate) struct TrainContext<'a> {
    pub(crate) params: &'a TransformerParams,
    /// Its steps have the rows of all hosts and micro-batches.
    pub(crate) plan: TrainPlan<'a>,
    pub(crate) table: &'a RowTable,
    pub(crate) rows: EncodedRows,
    pub(crate) architecture: Architecture,
    pub(crate) class_weights: Vec<f32>,
    /// Weights of the rows without each class, if rows may have several.
    pub(crate) other_weights: Vec<f32>,
}

impl TrainContext<'_> {
    /// True for parameters that do not change, in the order of `Architecture::parameters`.
    pub(crate) fn frozen(&self) -> Vec<bool> {
        frozen(&self.architecture, self.params.freeze)
    }

    /// Scores rows; `None` if there are none or the run was stopped.
    pub(crate) fn scores(
        &self,
        engine: &mut dyn Engine,
        rows: &[u32],
        run: &Run,
    ) -> Result<Option<Scores>, Error> {
        if rows.is_empty() {
            return Ok(None);
        }
        let tokens: Vec<Tokens> = rows.iter().map(|&row| self.rows.tokens(row)).collect();
        let shape = (self.architecture.pad_token_id, self.architecture.num_labels);
        let found = logits(engine, &tokens, shape, &|| run.stopped())?;
        let (classes, multi_label) = (shape.1, self.table.label_sets.is_some());
        Ok(found.map(|logits| Scores::from_logits(logits, classes, multi_label)))
    }
}

/// The learner of a transformer, on one host or several.
pub(crate) struct TransformerLearner<'a> {
    context: &'a TrainContext<'a>,
    engine: Box<dyn Engine>,
    group: Option<ProcessGroup>,
    parameters: Vec<Parameter>,
    /// Seed of the dropout masks.
    dropout: u64,
}

impl<'a> TransformerLearner<'a> {
    /// Restores the run's checkpoint, if there is one. Returns the state and the best weights too.
    pub(crate) fn start(
        context: &'a TrainContext<'a>,
        engine: Box<dyn Engine>,
        group: Option<ProcessGroup>,
        run: &Run,
    ) -> Result<(Self, TrainState, Option<Best<Params>>), Error> {
        let mut learner = Self {
            context,
            engine,
            group,
            parameters: context.architecture.parameters(),
            dropout: run.stream("dropout"),
        };
        let (mut state, best) = learner.restore(run)?;
        learner.sync_state(&mut state)?;
        Ok((learner, state, best))
    }

    fn restore(&mut self, run: &Run) -> Result<(TrainState, Option<Best<Params>>), Error> {
        let Some((state, mut arrays)) = read_checkpoint(run)? else {
            return Ok((TrainState::default(), None));
        };
        let frozen = self.context.frozen();
        let mut moments = |prefix: &str| {
            let parts = self.parameters.iter().zip(&frozen);
            parts
                .map(|(parameter, &frozen)| match frozen {
                    true => Ok(Vec::new()),
                    false => take(&mut arrays, prefix, parameter),
                })
                .collect::<Result<Params, Error>>()
        };
        let (first, second) = (moments("first/")?, moments("second/")?);
        let mut all = |prefix: &str| {
            let parameters = self.parameters.iter();
            parameters
                .map(|parameter| take(&mut arrays, prefix, parameter))
                .collect::<Result<Params, Error>>()
        };
        let weights = all("weights/")?;
        let best = match state.best_epoch() {
            Some(epoch) => Some(Best {
                epoch,
                weights: all("best/")?,
                scores: None,
            }),
            None => None,
        };
        self.engine.restore(&TrainerState {
            weights,
            first,
            second,
        })?;
        Ok((state, best))
    }

    /// Sends the restored state of rank 0 to the other hosts, which have no checkpoints.
    fn sync_state(&mut self, state: &mut TrainState) -> Result<(), Error> {
        let Some(group) = &mut self.group else {
            return Ok(());
        };
        let is_leader = group.rank_and_size().0 == 0;
        let own = is_leader.then(|| json!(state).to_string());
        let shared = group.broadcast(own.as_deref().map(str::as_bytes), MAX_STATE_BYTES)?;
        if !is_leader {
            *state = serde_json::from_slice(&shared)
                .map_err(|error| incompatible_checkpoint(&error.to_string()))?;
        }
        if state.step == 0 {
            return Ok(());
        }
        let mut saved = self.engine.save()?;
        for values in [&mut saved.weights, &mut saved.first, &mut saved.second] {
            for values in values {
                if !is_leader {
                    values.fill(0.0);
                }
                group.sum(values)?;
            }
        }
        self.engine.restore(&saved)
    }

    /// Returns the connections to the other hosts, for the next learner.
    pub(crate) fn into_group(self) -> Option<ProcessGroup> {
        self.group
    }

    /// Name of the device, such as `cpu` or `cuda:0`.
    pub(crate) fn device(&self) -> String {
        self.engine.device()
    }

    /// Accumulates the gradients of this host's micro-batches: rows are dealt to the hosts in
    /// chunks of `batch_size`, round robin. Returns this host's share of the loss.
    fn accumulate(&mut self, rows: &[u32], step: u64, loss_scale: f64) -> Result<f64, Error> {
        let context = self.context;
        let (rank, hosts) = self
            .group
            .as_ref()
            .map_or((0, 1), ProcessGroup::rank_and_size);
        let label = |&row: &u32| context.table.labels[row as usize];
        let sets = context.table.label_sets.as_ref();
        let class_weight = |row: &u32| match sets {
            None => f64::from(context.class_weights[label(row) as usize]),
            Some(_) => 1.0,
        };
        let weight = |row: &u32| class_weight(row) * context.table.weight(*row);
        let total_weight: f64 = rows.iter().map(weight).sum();
        let size = context.params.batch_size;
        let mut loss = 0.0;
        for (number, rows) in rows.chunks(size).enumerate().skip(rank).step_by(hosts) {
            let tokens = rows.iter().map(|&row| context.rows.tokens(row));
            let tokens: Vec<Tokens> = tokens.collect();
            let labels: Vec<u32> = rows.iter().map(label).collect();
            let target = LossTarget {
                labels: &labels,
                sets,
                class_weights: &context.class_weights,
                other_weights: &context.other_weights,
                row_weights: &row_weights(context.table, rows),
                // The mean over rows that all weigh 0 is 0.
                total_weight: if total_weight > 0.0 {
                    total_weight
                } else {
                    1.0
                },
                label_smoothing: context.params.label_smoothing,
                dropout_key: Some(DropoutKey {
                    seed: self.dropout,
                    step,
                    first_row: (number * size) as u64,
                }),
                loss_scale,
            };
            loss += self.engine.accumulate(
                &Batch::padded(&tokens, context.architecture.pad_token_id),
                &target,
            )?;
        }
        Ok(loss)
    }
}

impl training::Learner for TransformerLearner<'_> {
    type Weights = Params;

    fn tokens(&self, row: u32) -> usize {
        self.context.rows.length(row)
    }

    fn is_scaled(&self) -> bool {
        self.engine.needs_loss_scaling()
    }

    fn backward(&mut self, rows: &[u32], step: u64, loss_scale: f64) -> Result<(f64, f64), Error> {
        let mut loss = self.accumulate(rows, step, loss_scale)?;
        if let Some(group) = &mut self.group {
            let mut sum = [loss as f32];
            group.sum(&mut sum)?;
            loss = sum[0].into();
            self.engine.all_reduce(group)?;
        }
        Ok((loss, self.engine.gradient_norm()?))
    }

    fn update(&mut self, step: OptimizerStep) -> Result<(), Error> {
        self.engine.optimizer_step(&AdamWStep {
            step: step.update,
            rate: step.rate,
            beta_1: BETAS.0,
            beta_2: BETAS.1,
            epsilon: EPSILON,
            weight_decay: self.context.params.weight_decay,
            scale: step.gradient_scale,
        })
    }

    fn discard(&mut self) -> Result<(), Error> {
        self.engine.zero_grad()
    }

    fn weights(&self) -> Result<Params, Error> {
        self.engine.weights()
    }

    fn is_finite(weights: &Params) -> bool {
        weights.iter().flatten().all(|weight| weight.is_finite())
    }

    fn scores(&mut self, rows: &[u32], run: &Run) -> Result<Option<Scores>, Error> {
        self.context.scores(self.engine.as_mut(), rows, run)
    }

    fn save(&self, best: Option<&Params>, path: &Path) -> Result<(), Error> {
        let saved = self.engine.save()?;
        let mut all = vec![
            ("weights/", &saved.weights),
            ("first/", &saved.first),
            ("second/", &saved.second),
        ];
        all.extend(best.map(|best| ("best/", best)));
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
        write_tensors(path, &[], tensors)
    }

    fn sync_stop(&mut self, stop: bool) -> Result<bool, Error> {
        match &mut self.group {
            None => Ok(stop),
            Some(group) => group.any_rank(stop),
        }
    }

    fn sync_validation(&mut self, own: Validation) -> Result<Validation, Error> {
        let Some(group) = &mut self.group else {
            return Ok(own);
        };
        let [accuracy, loss, macro_f1] =
            group.broadcast_f64([own.accuracy, own.loss, own.macro_f1])?;
        Ok(Validation {
            accuracy,
            loss,
            macro_f1,
        })
    }
}

/// Takes the values of a parameter out of a checkpoint.
fn take(arrays: &mut Arrays, prefix: &str, parameter: &Parameter) -> Result<Vec<f32>, Error> {
    match arrays.remove(&format!("{prefix}{}", parameter.name)) {
        Some(Array { shape, data }) if shape == parameter.shape => Ok(data),
        _ => Err(incompatible_checkpoint("its tensors have other shapes")),
    }
}

/// Returns true for parameters that do not change.
pub(crate) fn frozen(architecture: &Architecture, freeze: Freeze) -> Vec<bool> {
    let stays = |parameter: &Parameter| match (freeze, parameter.role) {
        (Freeze::None, _) | (_, Role::HeadDense(_) | Role::HeadOut(_)) => false,
        (Freeze::Layers(layers), Role::Layer(layer, _)) => layer < layers,
        (Freeze::All | Freeze::Layers(_), _) => true,
    };
    architecture.parameters().iter().map(stays).collect()
}
