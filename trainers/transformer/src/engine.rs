//! Interface of the engines, which compute logits, gradients and AdamW steps.
//!
//! `cpu` has forward and backward pass written out on buffers that live as long as the run.
//! `candle` does the same with candle's tensors, for GPUs; tests compare the two.

use std::borrow::Borrow;
use std::ops::Range;

use dataset::LabelSets;
use diagnostics::Error;

use crate::architecture::Architecture;

/// Values of all parameters, each row-major, in the order of `Architecture::parameters`.
pub(crate) type Params = Vec<Vec<f32>>;

/// Tokens of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) ids: Vec<u32>,
    /// Token type of each id; empty if all are 0.
    pub(crate) types: Vec<u8>,
}

impl From<Vec<u32>> for Tokens {
    /// Tokens of type 0.
    fn from(ids: Vec<u32>) -> Self {
        let types = Vec::new();
        Self { ids, types }
    }
}

impl Tokens {
    /// Returns the tokens without those in a range.
    pub(crate) fn without(&self, range: Range<usize>) -> Self {
        let mut rest = self.clone();
        rest.ids.drain(range.clone());
        if !rest.types.is_empty() {
            rest.types.drain(range);
        }
        rest
    }
}

/// Rows of token ids, padded on the right to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// (rows, seq), row-major; padding is ignored
    pub(crate) ids: Vec<u32>,
    /// Token types (rows, seq); empty if all are 0.
    pub(crate) types: Vec<u8>,
    /// Tokens of each row, from 1 to `seq`.
    pub(crate) lengths: Vec<usize>,
    pub(crate) seq: usize,
}

impl Batch {
    /// Pads rows of at least one id each with `pad`.
    pub(crate) fn padded<R: Borrow<Tokens>>(rows: &[R], pad: u32) -> Self {
        let rows: Vec<&Tokens> = rows.iter().map(Borrow::borrow).collect();
        let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let seq = lengths.iter().copied().max().unwrap_or(1);
        let has_types = rows.iter().any(|row| !row.types.is_empty());
        let (mut ids, mut types) = (Vec::with_capacity(rows.len() * seq), Vec::new());
        for row in rows {
            ids.extend(&row.ids);
            ids.resize(ids.len().next_multiple_of(seq), pad);
            if has_types {
                types.extend(&row.types);
                types.resize(ids.len(), 0);
            }
        }
        Self {
            ids,
            types,
            lengths,
            seq,
        }
    }

    /// Refuses row lengths, ids and token types outside the network's range.
    pub(crate) fn check(&self, architecture: &Architecture) -> Result<(), Error> {
        let max_tokens = architecture.max_tokens().min(self.seq);
        let lengths_fit = self
            .lengths
            .iter()
            .all(|&length| (1..=max_tokens).contains(&length))
            && self.ids.len() == self.lengths.len() * self.seq;
        let known = |&id: &u32| (id as usize) < architecture.vocab_size;
        let is_type = |&kind: &u8| usize::from(kind) < architecture.type_vocab_size;
        let types_fit = (self.types.is_empty() || self.types.len() == self.ids.len())
            && self.types.iter().all(is_type);
        if lengths_fit && types_fit && self.rows().all(|row| row.iter().all(known)) {
            return Ok(());
        }
        Err(Error::new(format!(
            "a batch does not fit the network: expected rows of 1 to {max_tokens} ids below the \
                 vocabulary's size, and token types that it has"
        ))
        .help("use the tokenizer.json of this model"))
    }

    /// Returns the ids of each row, without padding.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u32]> {
        let rows = self.ids.chunks(self.seq.max(1)).zip(&self.lengths);
        rows.map(|(ids, &length)| &ids[..length])
    }

    /// Returns some of the rows.
    #[cfg(any(test, feature = "candle"))]
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let tokens = rows.start * self.seq..rows.end * self.seq;
        Self {
            ids: self.ids[tokens.clone()].to_vec(),
            types: self.types.get(tokens).unwrap_or_default().to_vec(),
            lengths: self.lengths[rows].to_vec(),
            seq: self.seq,
        }
    }

    /// Returns the token types of a row, without padding; none if all are 0.
    pub(crate) fn types_of(&self, row: usize) -> &[u8] {
        let first = row * self.seq;
        let types = self.types.get(first..first + self.lengths[row]);
        types.unwrap_or_default()
    }
}

/// Inputs of the loss besides the logits.
#[derive(Clone, Debug)]
pub(crate) struct LossTarget<'a> {
    /// Class of each row; the number of its set if there are `sets`.
    pub(crate) labels: &'a [u32],
    /// Sets of classes if rows may have several, or none: then the loss is binary cross entropy.
    pub(crate) sets: Option<&'a LabelSets>,
    /// Weight of each class.
    pub(crate) class_weights: &'a [f32],
    /// Weights of the rows without each class, if there are `sets`.
    pub(crate) other_weights: &'a [f32],
    /// Weight of each row; empty if all weigh 1.
    pub(crate) row_weights: &'a [f32],
    /// Sum of the weights of all rows of the step, including other micro-batches and processes: the
    /// loss is the weighted mean over them. The weight of a row is that of its class too, as in
    /// PyTorch's `CrossEntropyLoss(weight=...)`, unless there are `sets`, as in
    /// `BCEWithLogitsLoss(pos_weight=...)`.
    pub(crate) total_weight: f64,
    /// Label smoothing (Szegedy et al. 2016). All of a row's loss has the weight of its class.
    pub(crate) label_smoothing: f64,
    /// `None`: no dropout.
    pub(crate) dropout_key: Option<DropoutKey>,
    /// Factor of the loss in the backward pass, so that gradients fit into half precision;
    /// otherwise 1.
    pub(crate) loss_scale: f64,
}

impl LossTarget<'_> {
    /// Returns the target of some of the rows.
    #[cfg(any(test, feature = "candle"))]
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let mut part = self.clone();
        if let Some(dropout_key) = &mut part.dropout_key {
            dropout_key.first_row += rows.start as u64;
        }
        part.row_weights = self.row_weights.get(rows.clone()).unwrap_or_default();
        part.labels = &self.labels[rows];
        part
    }

    /// Weight of a row.
    pub(crate) fn row_weight(&self, row: usize) -> f64 {
        self.row_weights.get(row).copied().unwrap_or(1.0).into()
    }

    /// Replaces the logits of a row by the gradient of binary cross entropy, the mean over the
    /// classes, times the loss scale. Returns the row's part of the step's loss. As PyTorch's
    /// `BCEWithLogitsLoss`; label smoothing moves the targets 1 and 0 towards 1/2.
    pub(crate) fn binary_cross_entropy(
        &self,
        sets: &LabelSets,
        row: usize,
        logits: &mut [f32],
    ) -> f64 {
        let classes = sets.get(self.labels[row]);
        let weight = self.row_weight(row) / (self.total_weight * logits.len() as f64);
        let sides = self.class_weights.iter().zip(self.other_weights);
        let mut loss = 0.0;
        for ((class, logit), (&own, &other)) in (0u32..).zip(logits).zip(sides) {
            let value = f64::from(*logit);
            let positive = f64::from(classes.binary_search(&class).is_ok());
            let target = positive * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0;
            let own = f64::from(own) * target;
            let both = own + f64::from(other) * (1.0 - target);
            // ln(1 + exp(value)) without overflow.
            let softplus = value.max(0.0) + (-value.abs()).exp().ln_1p();
            loss += both * softplus - own * value;
            let share = 1.0 / (1.0 + (-value).exp());
            *logit = (self.loss_scale * weight * (both * share - own)) as f32;
        }
        loss * weight
    }
}

/// Key of a step's dropout masks: they depend on seed, step and the row's index within the step, so
/// that neither micro-batches nor threads change them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropoutKey {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Index of the first row within the step.
    pub(crate) first_row: u64,
}

/// AdamW (Loshchilov and Hutter 2019) for one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    /// Steps taken, including this one.
    pub(crate) step: u64,
    pub(crate) rate: f64,
    pub(crate) beta_1: f64,
    pub(crate) beta_2: f64,
    pub(crate) epsilon: f64,
    /// Applied to parameters whose role decays.
    pub(crate) weight_decay: f64,
    /// Factor of the gradients: clipping and 1 / loss scale.
    pub(crate) scale: f64,
}

/// Weights and optimizer state.
#[derive(Clone, Debug)]
pub(crate) struct TrainerState {
    pub(crate) weights: Params,
    /// AdamW's first and second moments; empty vectors for frozen parameters.
    pub(crate) first: Params,
    pub(crate) second: Params,
}

/// Sums a vector over all processes of a run. Results are bit-identical in all of them.
pub(crate) trait AllReduce: Send {
    /// Replaces `values` by their sum over all processes.
    fn sum(&mut self, values: &mut [f32]) -> Result<(), Error>;
}

/// A network that can be trained.
pub(crate) trait Engine: Send {
    /// Returns logits (rows, classes), row-major, without dropout.
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error>;

    /// Accumulates a micro-batch's gradients times `loss_scale`, since the last `optimizer_step` or
    /// `zero_grad`. Returns its part of the step's loss, without `loss_scale`.
    fn accumulate(&mut self, batch: &Batch, target: &LossTarget<'_>) -> Result<f64, Error>;

    /// Sums the gradients over the processes of a run.
    fn all_reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error>;

    /// Returns the L2 norm of all gradients, including `loss_scale`; infinite or NaN if any of them
    /// is.
    fn gradient_norm(&mut self) -> Result<f64, Error>;

    /// Updates the weights and clears the gradients.
    fn optimizer_step(&mut self, adamw: &AdamWStep) -> Result<(), Error>;

    /// Clears the gradients.
    fn zero_grad(&mut self) -> Result<(), Error>;

    /// Returns the accumulated gradients, for tests.
    #[cfg(test)]
    fn gradients(&mut self) -> Result<Params, Error>;

    /// Returns the weights.
    fn weights(&self) -> Result<Params, Error>;

    /// Returns the state for a checkpoint.
    fn save(&self) -> Result<TrainerState, Error>;

    /// Replaces weights and moments.
    fn restore(&mut self, saved: &TrainerState) -> Result<(), Error>;

    /// True if gradients are in f16, which needs a scaled loss. bf16 does not.
    fn needs_loss_scaling(&self) -> bool {
        false
    }

    /// Returns the name of the device, such as `cpu` or `cuda:0`.
    fn device(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_longest() {
        let rows = [vec![5, 6, 7], vec![8]].map(Tokens::from);
        let batch = Batch::padded(&rows, 9);
        assert_eq!(batch.ids, [5, 6, 7, 8, 9, 9]);
        assert_eq!((&batch.lengths, batch.seq), (&vec![3, 1], 3));
        assert!(batch.types.is_empty() && batch.types_of(1).is_empty());
    }

    #[test]
    fn token_types_are_padded_with_ids() {
        let mut rows = [vec![8], vec![5, 6, 7]].map(Tokens::from);
        rows[1].types = vec![0, 1, 1];
        let batch = Batch::padded(&rows, 9);
        assert_eq!(batch.types, [0, 0, 0, 0, 1, 1]);
        assert_eq!(
            (batch.types_of(0), batch.types_of(1)),
            (&[0][..], &[0, 1, 1][..])
        );
        let without = rows[1].without(0..2);
        assert_eq!((without.ids, without.types), (vec![7], vec![1]));
    }
}
