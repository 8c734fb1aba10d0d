//! Cross entropy and its gradient, on the host: logits are few, and the loss is needed there
//! anyway.

use crate::engine::LossTarget;

/// Returns a micro-batch's part of the step's loss, and the gradient of logits (rows, classes)
/// times the loss scale. The smoothed loss of a row is times the class weight of its label and the
/// weight of the row.
pub(super) fn loss(logits: &[f32], target: &LossTarget<'_>) -> (f64, Vec<f32>) {
    let classes = target.class_weights.len();
    if let Some(sets) = target.sets {
        let mut gradient = logits.to_vec();
        let rows = gradient.chunks_exact_mut(classes).enumerate();
        let losses = rows.map(|(row, logits)| target.binary_cross_entropy(sets, row, logits));
        let loss = losses.sum();
        return (loss, gradient);
    }
    let weights: Vec<f64> = target.class_weights.iter().map(|&w| w.into()).collect();
    let smooth = target.label_smoothing / classes as f64;
    let mut sum = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    let rows = logits.chunks_exact(classes).zip(target.labels);
    for (number, (row, &label)) in rows.enumerate() {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let largest = f64::from(largest);
        let exponentials = row.iter().map(|&logit| (f64::from(logit) - largest).exp());
        let exponentials: Vec<f64> = exponentials.collect();
        let total: f64 = exponentials.iter().sum();
        let weight = weights[label as usize] * target.row_weight(number);
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

    /// Logits, and weights of classes and rows, of all tests; made by
    /// ```python
    /// logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]], requires_grad=True)
    /// own, other = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.25, 3.0, 1.5])
    /// rows = torch.tensor([0.5, 3.0])
    /// ```
    const LOGITS: [f32; 6] = [0.5, -1.0, 2.0, 0.0, 3.0, -2.0];

    fn target(labels: &[u32], total_weight: f64) -> LossTarget<'_> {
        LossTarget {
            labels,
            sets: None,
            class_weights: &[1.0, 0.5, 2.0],
            other_weights: &[],
            row_weights: &[0.5, 3.0],
            total_weight,
            label_smoothing: 0.1,
            dropout_key: None,
            loss_scale: 4.0,
        }
    }

    #[track_caller]
    fn assert_loss(target: &LossTarget<'_>, expected: f64, gradient: [f32; 6]) {
        let (found, ours) = loss(&LOGITS, target);
        assert!((found - expected).abs() < 1e-6, "{found}");
        for (found, expected) in ours.iter().zip(gradient) {
            assert!((found / 4.0 - expected).abs() < 1e-6, "{ours:?}");
        }
    }

    /// Made by
    /// ```python
    /// labels = torch.tensor([2, 0])
    /// weights = own[labels] * rows
    /// losses = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)(logits, labels)
    /// loss = (losses * weights).sum() / weights.sum()
    /// loss.backward(); print(loss, logits.grad)
    /// ```
    #[test]
    fn matches_pytorch() {
        let gradient = [
            0.035_489_265,
            0.001_444_809,
            -0.036_934_078,
            -0.664_657_35,
            0.684_874_24,
            -0.020_216_906,
        ];
        assert_loss(&target(&[2, 0], 4.0), 2.364_066_6, gradient);
        let weightless = LossTarget {
            row_weights: &[],
            ..target(&[2, 0], 3.0)
        };
        let gradient = [
            0.094_638_04,
            0.003_852_82,
            -0.098_490_88,
            -0.295_403_33,
            0.304_388_6,
            -0.008_985_29,
        ];
        assert_loss(&weightless, 1.268_091_6, gradient);
    }

    /// Made by
    /// ```python
    /// labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]]) * 0.9 + 0.05
    /// weights = {"weight": other, "pos_weight": own / other}
    /// losses = torch.nn.BCEWithLogitsLoss(reduction="none", **weights)(logits, labels).mean(1)
    /// loss = (losses * rows).sum() / rows.sum()
    /// loss.backward(); print(loss, logits.grad)
    /// ```
    #[test]
    fn several_labels_match_pytorch() {
        let mut sets = dataset::LabelSets::default();
        let labels = [vec![0, 2], vec![]].map(|set| sets.push(set));
        let target = LossTarget {
            sets: Some(&sets),
            other_weights: &[0.25, 3.0, 1.5],
            ..target(&labels, 3.5)
        };
        let gradient = [
            -0.016_708_706,
            0.035_628_885,
            -0.007_639_332,
            0.026_785_72,
            0.775_328_8,
            0.023_366_991,
        ];
        assert_loss(&target, 2.737_336_4, gradient);
    }
}
