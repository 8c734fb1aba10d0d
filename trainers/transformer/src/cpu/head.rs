//! The classification head on the first token of each row, and the loss.

use linalg::Accumulate::Replace;

use super::chunk::{Pass, Queries, sized};
use super::dropout::Site;
use super::gradient::Gradient;
use crate::architecture::Family;
use crate::engine::LossTarget;

#[derive(Debug, Default)]
pub(super) struct HeadBuffers {
    /// (rows, hidden)
    hidden: Vec<f32>,
    /// After dropout, (rows, hidden)
    dropped: Vec<f32>,
    /// (rows, classes)
    logits: Vec<f32>,
    /// (rows, hidden)
    gradient: Vec<f32>,
}

/// Computes logits (rows, classes) from `first` (rows, hidden), with dropout in place.
pub(super) fn forward<'a>(
    pass: &Pass<'_>,
    first: &mut [f32],
    buffers: &'a mut HeadBuffers,
) -> &'a mut [f32] {
    let (architecture, layout) = (pass.architecture(), &pass.net.layout);
    let rows = pass.chunk.rows.len();
    pass.drop_rows(Queries::First, Site::HeadIn, first);
    let hidden = sized(&mut buffers.hidden, first.len());
    pass.linear_with_bias(hidden, first, &layout.head_dense, rows);
    for value in &mut *hidden {
        *value = match architecture.family {
            Family::Bert | Family::Roberta | Family::MpNet => value.tanh(),
            // Not `max`, which hides NaN.
            Family::DistilBert if *value < 0.0 => 0.0,
            Family::DistilBert => *value,
        };
    }
    let dropped = sized(&mut buffers.dropped, first.len());
    dropped.copy_from_slice(hidden);
    pass.drop_rows(Queries::First, Site::HeadOut, dropped);
    let logits = sized(&mut buffers.logits, rows * architecture.num_labels);
    pass.linear_with_bias(logits, dropped, &layout.head_out, rows);
    logits
}

/// Returns the loss of each row; logits become their gradients.
pub(super) fn losses(
    pass: &Pass<'_>,
    target: &LossTarget<'_>,
    logits: &mut [f32],
) -> Vec<(usize, f64)> {
    let classes = pass.architecture().num_labels;
    let rows = pass.chunk.rows.iter().zip(logits.chunks_exact_mut(classes));
    rows.map(|(row, logits)| {
        let loss = match target.sets {
            None => loss(target, row.number, logits),
            Some(sets) => target.binary_cross_entropy(sets, row.number, logits),
        };
        (row.number, loss)
    })
    .collect()
}

/// Cross entropy with label smoothing: label y has weight 1 - smoothing, the rest is spread over
/// all classes. All of it is times the class weight of y and the weight of the row. PyTorch weighs
/// each term by its own class instead: then a row of a frequent class mostly learns the rare ones.
fn loss(target: &LossTarget<'_>, row: usize, logits: &mut [f32]) -> f64 {
    let label = target.labels[row] as usize;
    let max_logit = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&logit| f64::from(logit - max_logit).exp())
        .sum();
    let smoothed = target.label_smoothing / logits.len() as f64;
    let weight = f64::from(target.class_weights[label]) * target.row_weight(row);
    let weight = weight / target.total_weight;
    let share = |class: usize| {
        let label = if class == label {
            1.0 - target.label_smoothing
        } else {
            0.0
        };
        (smoothed + label) * weight
    };
    let mut loss = 0.0;
    for (class, logit) in logits.iter_mut().enumerate() {
        let log = f64::from(*logit - max_logit) - sum.ln();
        loss -= share(class) * log;
        *logit = (target.loss_scale * (weight * log.exp() - share(class))) as f32;
    }
    loss
}

/// Accumulates the head's gradients from those of the logits in the buffers. Returns that of
/// `first`, the head's input.
pub(super) fn backward<'a>(
    pass: &Pass<'_>,
    first: &mut [f32],
    buffers: &'a mut HeadBuffers,
    to: &mut Gradient,
) -> &'a mut [f32] {
    let layout = &pass.net.layout;
    let (rows, length) = (pass.chunk.rows.len(), first.len());
    let logits = &buffers.logits[..rows * pass.architecture().num_labels];
    let gradient = sized(&mut buffers.gradient, length);
    let (hidden, dropped) = (&mut buffers.hidden[..length], &buffers.dropped[..length]);
    to.linear_with_bias(layout, &layout.head_out, logits, dropped, rows);
    let weight = &layout.head_out.weight;
    pass.linear_backward(gradient, Replace, logits, weight, rows);
    pass.drop_rows(Queries::First, Site::HeadOut, gradient);
    for (gradient, value) in gradient.iter_mut().zip(&*hidden) {
        *gradient *= match pass.architecture().family {
            Family::Bert | Family::Roberta | Family::MpNet => 1.0 - value * value,
            Family::DistilBert if *value > 0.0 => 1.0,
            Family::DistilBert => 0.0,
        };
    }
    to.linear_with_bias(layout, &layout.head_dense, gradient, first, rows);
    // Reuses the buffer of the activations.
    let weight = &layout.head_dense.weight;
    pass.linear_backward(hidden, Replace, gradient, weight, rows);
    pass.drop_rows(Queries::First, Site::HeadIn, hidden);
    hidden
}
