//! Loss and gradients of a step, on one thread.

use tch::{Kind, Reduction, TchError, Tensor, autocast};

use crate::batches::Batch;
use crate::net::{Dropout, Net};

/// The rows of a step, or a replica's part of them.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) labels: Vec<u32>,
    /// 1 for the classes of each row and 0 for the others, if rows may have several; else empty.
    /// Shape: (rows, classes).
    pub(crate) indicators: Vec<f32>,
    pub(crate) class_weights: Vec<f32>,
    /// Weights of the rows without each class, if rows may have several; else empty.
    pub(crate) other_weights: Vec<f32>,
    /// Weight of each row; empty if all weigh 1.
    pub(crate) row_weights: Vec<f32>,
    pub(crate) dropout: Option<Dropout>,
    /// Factor of the loss that keeps gradients within half precision.
    pub(crate) loss_scale: f64,
}

impl Step {
    fn row_weight(&self, row: usize) -> f64 {
        self.row_weights.get(row).copied().unwrap_or(1.0).into()
    }

    /// Returns the sum of the weights of all rows, by which the loss is divided: of rows and
    /// classes as PyTorch's `CrossEntropyLoss(weight=...)`, of rows alone if these may have several
    /// classes, as `BCEWithLogitsLoss(pos_weight=...)`. 1 if all rows weigh 0.
    pub(crate) fn total_weight(&self) -> f64 {
        let class_weight = |label: u32| match self.indicators.is_empty() {
            true => f64::from(self.class_weights[label as usize]),
            false => 1.0,
        };
        let rows = self.labels.iter().enumerate();
        let weights = rows.map(|(row, &label)| class_weight(label) * self.row_weight(row));
        match weights.sum::<f64>() {
            total if total > 0.0 => total,
            _ => 1.0,
        }
    }
}

/// The mean loss of a step, and its gradients times `loss_scale`.
pub(crate) struct Gradients {
    pub(crate) loss: f64,
    /// f32, in the shapes of the parameters
    pub(crate) tensors: Vec<Tensor>,
}

impl Gradients {
    /// Adds those of another part of the same step.
    pub(crate) fn add(&mut self, other: Self) -> Result<(), TchError> {
        self.loss += other.loss;
        for (sum, gradient) in self.tensors.iter_mut().zip(other.tensors) {
            let _ = sum.f_add_(&gradient.f_to(sum.device())?)?;
        }
        Ok(())
    }
}

/// Computes loss and gradients. `total_weight`: see [`Step::total_weight`], of all parts.
pub(crate) fn gradients(
    net: &Net,
    step: &Step,
    total_weight: f64,
    mixed: bool,
) -> Result<Gradients, TchError> {
    let batch = Batch::new(&step.rows, net.shape.pad, net.device)?;
    let forward = || net.forward(&batch, step.dropout);
    // (batch, classes) f32
    let logits = if mixed {
        autocast(true, forward)
    } else {
        forward()
    }?;
    let (loss, scaled) = losses(&logits, step, total_weight)?;
    let tensors = Tensor::f_run_backward(&[scaled], &net.parameters, false, false)?;
    Ok(Gradients {
        loss: loss.f_double_value(&[])?,
        tensors,
    })
}

/// Returns the loss of logits of (batch, classes), as a part of the step's mean, and the scaled
/// loss to differentiate.
pub(crate) fn losses(
    logits: &Tensor,
    step: &Step,
    total_weight: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let device = logits.device();
    if !step.indicators.is_empty() {
        return binary_losses(logits, step, total_weight);
    }
    let labels: Vec<i64> = step.labels.iter().map(|&label| label.into()).collect();
    let labels = Tensor::f_from_slice(&labels)?.f_to(device)?; // (batch) int64
    // PyTorch's default of `ignore_index`; no label has this value.
    let ignored = -100;
    let weights = Tensor::f_from_slice(&step.class_weights)?.f_to(device)?; // (classes) f32
    let cross_entropy =
        |reduction| logits.f_cross_entropy_loss(&labels, Some(&weights), reduction, ignored, 0.0);
    // () f32, this and all below
    let loss = if step.row_weights.is_empty() {
        cross_entropy(Reduction::Sum)?.f_mul_scalar(1.0 / total_weight)?
    } else {
        let shares = (0..step.rows.len()).map(|row| (step.row_weight(row) / total_weight) as f32);
        let shares = Tensor::f_from_slice(&shares.collect::<Vec<f32>>())?.f_to(device)?; // (batch)
        cross_entropy(Reduction::None)?
            .f_mul(&shares)?
            .f_sum(Kind::Float)?
    };
    let scaled = loss.f_mul_scalar(step.loss_scale)?;
    Ok((loss, scaled))
}

/// As [`losses`], with the binary cross entropy of all classes, of which it takes the mean.
fn binary_losses(
    logits: &Tensor,
    step: &Step,
    total_weight: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let classes = step.class_weights.len();
    let mut weights = Vec::with_capacity(step.indicators.len());
    for (row, indicators) in step.indicators.chunks_exact(classes).enumerate() {
        let share = step.row_weight(row) / total_weight;
        let sides = step.class_weights.iter().zip(&step.other_weights);
        let weight = |(&indicator, (&own, &other)): (&f32, (&f32, &f32))| {
            let weight = if indicator > 0.0 { own } else { other };
            (share * f64::from(weight)) as f32
        };
        weights.extend(indicators.iter().zip(sides).map(weight));
    }
    let shaped = |values: &[f32]| {
        let values = Tensor::f_from_slice(values)?.f_view([-1, classes as i64])?;
        values.f_to(logits.device())
    };
    // (batch, classes) f32
    let (indicators, weights) = (shaped(&step.indicators)?, Some(shaped(&weights)?));
    // () f32, this and all below
    let sum =
        logits.f_binary_cross_entropy_with_logits(&indicators, weights, None, Reduction::Sum)?;
    let loss = sum.f_mul_scalar(1.0 / classes as f64)?;
    let scaled = loss.f_mul_scalar(step.loss_scale)?;
    Ok((loss, scaled))
}

/// Returns the error for a worker thread that has ended.
pub(crate) fn worker_panicked() -> TchError {
    TchError::Torch("a worker thread panicked".to_owned())
}
