//! Metrics of the confusion matrix.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{ClassMetrics, ConfusedPair, MAX_CONFUSED, MAX_CONFUSION};

/// Rows by `[true class][predicted class]`; empty above [`MAX_CONFUSION`] classes.
pub(super) fn confusion(labels: &[u32], predicted: &[u32], classes: usize) -> Vec<Vec<u64>> {
    if classes > MAX_CONFUSION {
        return Vec::new();
    }
    let mut matrix = vec![vec![0; classes]; classes];
    for (&truth, &guess) in labels.iter().zip(predicted) {
        matrix[truth as usize][guess as usize] += 1;
    }
    matrix
}

/// The most frequent pairs of a class and another one that is predicted, and the number of pairs
/// that are left out.
pub(super) fn confused(
    labels: &[u32],
    predicted: &[u32],
    classes: &[ClassMetrics],
) -> (Vec<ConfusedPair>, u64) {
    let mut pairs: HashMap<(u32, u32), u64> = HashMap::new();
    for (&truth, &guess) in labels.iter().zip(predicted).filter(|(a, b)| a != b) {
        *pairs.entry((truth, guess)).or_default() += 1;
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable_by_key(|&(pair, rows)| (Reverse(rows), pair));
    let left_out = pairs.len().saturating_sub(MAX_CONFUSED) as u64;
    pairs.truncate(MAX_CONFUSED);
    let pair = |((truth, guess), rows): ((u32, u32), u64)| {
        let class = &classes[truth as usize];
        ConfusedPair {
            label: class.label.clone(),
            predicted: classes[guess as usize].label.clone(),
            rows,
            share: share(rows, class.support),
        }
    };
    (pairs.into_iter().map(pair).collect(), left_out)
}

/// Precision, recall and F1 per class; 0 for a division by zero.
pub(super) fn per_class(
    labels: &[u32],
    predictions: &[u32],
    names: &[String],
) -> Vec<ClassMetrics> {
    // Hits, rows and predictions of each class.
    let mut counts = vec![[0u64; 3]; names.len()];
    for (&truth, &guess) in labels.iter().zip(predictions) {
        counts[truth as usize][0] += u64::from(truth == guess);
        counts[truth as usize][1] += 1;
        counts[guess as usize][2] += 1;
    }
    names
        .iter()
        .zip(counts)
        .map(|(label, counts)| class_metrics(label, counts))
        .collect()
}

/// Metrics of a class with these hits, rows and predictions.
pub(super) fn class_metrics(label: &str, [hits, support, predicted]: [u64; 3]) -> ClassMetrics {
    ClassMetrics {
        label: label.to_owned(),
        precision: share(hits, predicted),
        recall: share(hits, support),
        f1: share(2 * hits, support + predicted),
        support,
        predicted,
        roc_auc: None,
        average_precision: None,
    }
}

/// Macro F1, as `f1_score(average="macro", zero_division=0)`: without classes that have neither
/// rows nor predictions.
pub(super) fn macro_f1(per_class: &[ClassMetrics]) -> f64 {
    let named = per_class.iter().filter(|c| c.support + c.predicted > 0);
    mean(named.map(|c| c.f1)).unwrap_or(0.0)
}

/// Weighted F1, as `f1_score(average="weighted", zero_division=0)`.
pub(super) fn weighted_f1(per_class: &[ClassMetrics]) -> f64 {
    let rows: u64 = per_class.iter().map(|c| c.support).sum();
    let sum: f64 = per_class.iter().map(|c| c.f1 * c.support as f64).sum();
    if rows == 0 { 0.0 } else { sum / rows as f64 }
}

/// Mean; `None` without values.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// `part / whole`; 0 if `whole` is 0.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// 95 % score interval of a share (Wilson 1927): unlike the normal interval it stays within
/// 0..1 and holds for few rows and for shares near 1.
pub fn wilson(part: u64, whole: u64) -> (f64, f64) {
    // 0.975 quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if whole == 0 {
        return (0.0, 1.0);
    }
    let n = whole as f64;
    let p = part as f64 / n;
    let scale = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / scale;
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    ((centre - half).max(0.0), (centre + half).min(1.0))
}
