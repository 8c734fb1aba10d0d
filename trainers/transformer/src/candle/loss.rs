//! Cross entropy and its gradient, on the host: logits are few, and the loss is needed there
//! anyway.

use crate::engine::LossTarget;

/// Returns a micro-batch's part of the step's loss, and the gradient of logits (rows, classes)
/// times the loss scale. The smoothed loss of a row is times the class weight of its label.
pub(super) fn loss(logits: &[f32], target: &LossTarget<'_>) -> (f64, Vec<f32>) {
    let classes = target.class_weights.len();
    if let Some(sets) = target.sets {
        let mut gradient = logits.to_vec();
        let rows = gradient.chunks_exact_mut(classes).zip(target.labels);
        let losses = rows.map(|(row, set)| target.binary_cross_entropy(sets.get(*set), row));
        let loss = losses.sum();
        return (loss, gradient);
    }
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
        let weight = weights[label as usize];
        let own = 1.0 - target.label_smoothing;
        // Weight of each class's -log(p).
        let share = |class: usize| {
            let label = if class == label as usize { own } else { 0.0 };
            (label + smooth) * weight
        };
        for (class, &logit) in row.iter().enumerate() {
            sum -= share(class) * (f64::from(logit) - largest - total.ln());
            let slope = weight * exponentials[class] / total - share(class);
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
    /// labels = torch.tensor([2, 0])
    /// losses = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)(logits, labels)
    /// loss = (losses * weight[labels]).sum() / weight[labels].sum()
    /// loss.backward(); print(loss, logits.grad)
    /// ```
    #[test]
    fn matches_pytorch() {
        let target = LossTarget {
            labels: &[2, 0],
            sets: None,
            class_weights: &[1.0, 0.5, 2.0],
            total_weight: 3.0,
            label_smoothing: 0.1,
            dropout_key: None,
            loss_scale: 4.0,
        };
        let (loss, gradient) = loss(&[0.5, -1.0, 2.0, 0.0, 3.0, -2.0], &target);
        assert!((loss - 1.268_091_6).abs() < 1e-6, "{loss}");
        let theirs = [
            0.094_638_04,
            0.003_852_82,
            -0.098_490_88,
            -0.295_403_33,
            0.304_388_6,
            -0.008_985_29,
        ];
        for (ours, theirs) in gradient.iter().zip(theirs) {
            assert!((ours / 4.0 - theirs).abs() < 1e-6, "{gradient:?}");
        }
    }

    /// Made by
    /// ```python
    /// logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]], requires_grad=True)
    /// labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    /// loss = torch.nn.BCEWithLogitsLoss()(logits, labels)
    /// loss.backward(); print(loss, logits.grad)
    /// ```
    #[test]
    fn several_labels_match_pytorch() {
        let mut sets = dataset::LabelSets::default();
        let labels = [vec![0, 2], vec![]].map(|set| sets.push(set));
        let target = LossTarget {
            labels: &labels,
            sets: Some(&sets),
            class_weights: &[1.0; 3],
            total_weight: 2.0,
            label_smoothing: 0.0,
            dropout_key: None,
            loss_scale: 4.0,
        };
        let (loss, gradient) = loss(&[0.5, -1.0, 2.0, 0.0, 3.0, -2.0], &target);
        assert!((loss - 0.797_154_9).abs() < 1e-6, "{loss}");
        let theirs = [
            -0.062_923_44,
            0.044_823_57,
            -0.019_867_16,
            0.083_333_336,
            0.158_762_35,
            0.019_867_154,
        ];
        for (ours, theirs) in gradient.iter().zip(theirs) {
            assert!((ours / 4.0 - theirs).abs() < 1e-6, "{gradient:?}");
        }
    }
}
