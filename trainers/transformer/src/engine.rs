//! What computes: logits, gradients, steps of AdamW. Two engines, one trait. `cpu` has forward and backward pass written
//! out on buffers that live as long as the run; `candle` has candle's tensors and their automatic gradients, for GPUs
//! (and, in tests, as the judge of the first).

use diagnostics::Error;

use crate::architecture::Architecture;

/// Values of all parameters, each row-major, in the order of `Architecture::parameters`.
pub(crate) type Params = Vec<Vec<f32>>;

/// Rows of token ids, padded on the right to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// (rows, seq), row-major; what is padding is never looked at
    pub(crate) ids: Vec<u32>,
    /// Tokens of each row, from 1 to `seq`.
    pub(crate) lengths: Vec<usize>,
    pub(crate) seq: usize,
}

impl Batch {
    /// Rows of at least one id each, padded with `pad`.
    pub(crate) fn padded<R: AsRef<[u32]>>(rows: &[R], pad: u32) -> Self {
        let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().len()).collect();
        let seq = lengths.iter().copied().max().unwrap_or(1);
        let mut ids = Vec::with_capacity(rows.len() * seq);
        for row in rows {
            ids.extend(row.as_ref());
            ids.resize(ids.len().next_multiple_of(seq), pad);
        }
        Self { ids, lengths, seq }
    }

    /// Refuses rows of a length, and ids, that the network has no place for.
    pub(crate) fn check(&self, architecture: &Architecture) -> Result<(), Error> {
        let max_tokens = architecture.max_tokens().min(self.seq);
        let lengths_fit = self
            .lengths
            .iter()
            .all(|&length| (1..=max_tokens).contains(&length))
            && self.ids.len() == self.lengths.len() * self.seq;
        let known = |&id: &u32| (id as usize) < architecture.vocab_size;
        if lengths_fit && self.rows().all(|row| row.iter().all(known)) {
            return Ok(());
        }
        Err(Error::new(format!(
                "a batch does not fit the network: expected rows of 1 to {max_tokens} ids below the vocabulary's size"
            )).help("does tokenizer.json belong to this model?"))
    }

    /// The ids of each row, without padding.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u32]> {
        let rows = self.ids.chunks(self.seq.max(1)).zip(&self.lengths);
        rows.map(|(ids, &length)| &ids[..length])
    }
}

/// What a training step needs besides its rows.
#[derive(Clone, Debug)]
pub(crate) struct LossTarget<'a> {
    /// Class of each row.
    pub(crate) labels: &'a [u32],
    /// Factor of the loss of a row of each class.
    pub(crate) class_weights: &'a [f32],
    /// Sum of the class weights of all rows of the step, those of other micro-batches and processes included: the loss is
    /// the weighted mean over them, as PyTorch's `CrossEntropyLoss(weight=...)`.
    pub(crate) total_weight: f64,
    /// Share of the target distribution that is spread over all classes (Szegedy et al. 2016), as PyTorch's.
    pub(crate) label_smoothing: f64,
    /// `None`: nothing is dropped.
    pub(crate) dropout_key: Option<DropoutKey>,
    /// What the loss is multiplied by before the backward pass, so that gradients fit into half precision; 1 elsewhere.
    pub(crate) loss_scale: f64,
}

/// Where a step's dropout masks come from: they follow from seed, step and the number of the row within the step, so that
/// neither micro-batches nor threads change them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropoutKey {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Number of the first row within the step.
    pub(crate) first_row: u64,
}

/// AdamW (Loshchilov and Hutter 2019) for one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    /// Steps taken, this one included.
    pub(crate) step: u64,
    pub(crate) rate: f64,
    pub(crate) beta_1: f64,
    pub(crate) beta_2: f64,
    pub(crate) epsilon: f64,
    /// Of parameters whose role decays.
    pub(crate) weight_decay: f64,
    /// What gradients are multiplied by first: clipping and 1 / loss scale.
    pub(crate) scale: f64,
}

/// Everything that training changes.
#[derive(Clone, Debug)]
pub(crate) struct TrainerState {
    pub(crate) weights: Params,
    /// AdamW's first and second moments; empty vectors for frozen parameters.
    pub(crate) first: Params,
    pub(crate) second: Params,
}

/// Sums a vector over all processes of a run; the sum is the same to the bit in each of them.
pub(crate) trait AllReduce: Send {
    /// Replaces `values` by their sum over all processes.
    fn sum(&mut self, values: &mut [f32]) -> Result<(), Error>;
}

/// A network that learns.
pub(crate) trait Engine: Send {
    /// Logits (rows, classes), row-major, without dropout.
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error>;

    /// Adds a micro-batch's gradients, times `loss_scale`, to those since the last `update` or `discard`; answers its
    /// share of the step's loss, without `loss_scale`.
    fn accumulate(&mut self, batch: &Batch, target: &LossTarget<'_>) -> Result<f64, Error>;

    /// Sums the gradients over the processes of a run.
    fn all_reduce(&mut self, all: &mut dyn AllReduce) -> Result<(), Error>;

    /// The length of all gradients as one vector, `loss_scale` still in it; infinite or NaN if one of them is.
    fn gradient_norm(&mut self) -> Result<f64, Error>;

    /// Changes the weights by the gradients, and forgets these.
    fn optimizer_step(&mut self, adamw: &AdamWStep) -> Result<(), Error>;

    /// Forgets the gradients.
    fn zero_grad(&mut self) -> Result<(), Error>;

    /// The gradients since the last `update` or `discard`, for tests.
    #[cfg(test)]
    fn gradients(&mut self) -> Result<Params, Error>;

    /// The weights as they are.
    fn weights(&self) -> Result<Params, Error>;

    /// All that a resume needs.
    fn save(&self) -> Result<TrainerState, Error>;

    /// Replaces weights and moments.
    fn restore(&mut self, saved: &TrainerState) -> Result<(), Error>;

    /// Whether gradients are of a half precision that overflows, so that the loss has to be scaled: f16, not bf16.
    fn needs_loss_scaling(&self) -> bool {
        false
    }

    /// What computes, such as `cpu` or `cuda:0`, for reports.
    fn device(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_longest() {
        let batch = Batch::padded(&[vec![5, 6, 7], vec![8]], 9);
        assert_eq!(batch.ids, [5, 6, 7, 8, 9, 9]);
        assert_eq!((batch.lengths, batch.seq), (vec![3, 1], 3));
    }
}
