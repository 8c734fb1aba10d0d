//! Loss and gradients of a step, on one thread.

use tch::{Reduction, TchError, Tensor, autocast};

use crate::batches::Batch;
use crate::net::{Dropout, Net};

/// The rows of a step, or a replica's part of them.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) labels: Vec<u32>,
    /// 1 for the classes of each row and 0 for the others, if rows may have several; else empty.
    /// Shape: (rows, classes).
    pub(crate) targets: Vec<f32>,
    pub(crate) class_weights: Vec<f32>,
    pub(crate) dropout: Option<Dropout>,
    /// Factor of the loss that keeps gradients within half precision.
    pub(crate) loss_scale: f64,
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

/// Computes loss and gradients. `total_weight`: sum of the class weights of all rows of the step.
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
    if !step.targets.is_empty() {
        return binary_losses(logits, step, total_weight);
    }
    let labels: Vec<i64> = step.labels.iter().map(|&label| label.into()).collect();
    let labels = Tensor::f_from_slice(&labels)?.f_to(device)?; // (batch) int64
    // PyTorch's default of `ignore_index`; no label has this value.
    let ignored = -100;
    let weights = Tensor::f_from_slice(&step.class_weights)?.f_to(device)?; // (classes) f32
    // () f32, this and all below
    let sum = logits.f_cross_entropy_loss(&labels, Some(&weights), Reduction::Sum, ignored, 0.0)?;
    let loss = sum.f_mul_scalar(1.0 / total_weight)?;
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
    let targets = Tensor::f_from_slice(&step.targets)?.f_view([-1, classes as i64])?;
    let targets = targets.f_to(logits.device())?; // (batch, classes) f32
    let (weight, positive) = (None::<Tensor>, None::<Tensor>);
    // () f32, this and all below
    let sum =
        logits.f_binary_cross_entropy_with_logits(&targets, weight, positive, Reduction::Sum)?;
    let loss = sum.f_mul_scalar(1.0 / (total_weight * classes as f64))?;
    let scaled = loss.f_mul_scalar(step.loss_scale)?;
    Ok((loss, scaled))
}

/// Returns the error for a worker thread that has ended.
pub(crate) fn worker_panicked() -> TchError {
    TchError::Torch("a worker thread panicked".to_owned())
}
