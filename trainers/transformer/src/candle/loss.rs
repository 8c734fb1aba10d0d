//! Cross entropy and its gradient, on the host: logits are few, and the loss is needed there
//! anyway.

use crate::engine::LossTarget;

/// Returns a micro-batch's part of the step's loss, and the gradient of logits (rows, classes)
/// times the loss scale.
pub(super) fn loss(logits: &[f32], target: &LossTarget<'_>) -> (f64, Vec<f32>) {
    let classes = target.class_weights.len();
    let weights: Vec<f64> = target.class_weights.iter().map(|&w| w.into()).collect();
    let smooth = target.label_smoothing / classes as f64;
    let mut sum = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, &label) in logits.chunks_exact(classes).zip(target.labels) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let largest = f64::from(largest);
        let exponentials = row.iter().map(|&logit| (f64::from(logit) - largest).exp());
        let exponentials: Vec<f64> = exponentials.collect();
        let total: f64 = exponentials.iter().sum();
        let own = (1.0 - target.label_smoothing) * weights[label as usize];
        // Weight of each class's -log(p).
        let share = |class: usize| {
            let label = if class == label as usize { own } else { 0.0 };
            label + smooth * weights[class]
        };
        let all: f64 = (0..classes).map(share).sum();
        for (class, &logit) in row.iter().enumerate() {
            sum -= share(class) * (f64::from(logit) - largest - total.ln());
            let slope = all * exponentials[class] / total - share(class);
            gradient.push((slope / target.total_weight * target.loss_scale) as f32);
        }
    }
    (sum / target.total_weight, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by
    /// ```python
    /// logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]], requires_grad=True)
    /// weight = torch.tensor([1.0, 0.5, 2.0])
    /// loss = torch.nn.CrossEntropyLoss(weight, label_smoothing=0.1)(logits, torch.tensor([2, 0]))
    /// loss.backward(); print(loss, logits.grad)
    /// ```
    #[test]
    fn matches_pytorch() {
        let target = LossTarget {
            labels: &[2, 0],
            class_weights: &[1.0, 0.5, 2.0],
            total_weight: 3.0,
            label_smoothing: 0.1,
            dropout_key: None,
            loss_scale: 4.0,
        };
        let (loss, gradient) = loss(&[0.5, -1.0, 2.0, 0.0, 3.0, -2.0], &target);
        assert!((loss - 1.250_582_8).abs() < 1e-6, "{loss}");
        let theirs = [
            0.100_879_96,
            0.019_433_03,
            -0.120_313_02,
            -0.295_141_5,
            0.315_202_5,
            -0.020_060_97,
        ];
        for (ours, theirs) in gradient.iter().zip(theirs) {
            assert!((ours / 4.0 - theirs).abs() < 1e-6, "{gradient:?}");
        }
    }
}
