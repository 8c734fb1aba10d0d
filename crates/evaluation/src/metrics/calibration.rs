//! Calibration: bins, expected calibration error, log loss.

/// Bins of the calibration plot, as in Guo et al. 2017, "On calibration of modern neural
/// networks", section 4.
const BINS: usize = 15;

/// The rows whose most probable class got a probability in `(lower, upper]`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Lower edge, not included.
    pub lower: f64,
    /// Upper edge, included.
    pub upper: f64,
    /// Mean probability of the most probable class; absent in an empty bin.
    pub mean_confidence: Option<f64>,
    /// Share of rows of that class; absent in an empty bin.
    pub accuracy: Option<f64>,
    /// Rows.
    pub count: u64,
}

/// The bins of the most probable class's probability, as in Guo et al.: `probable` has that class
/// of each row, `probability` is `(rows, classes)`.
pub(super) fn bins(
    labels: &[u32],
    probable: &[u32],
    probability: &[f32],
    classes: usize,
) -> Vec<Bin> {
    let edges: Vec<f32> = (0..=BINS).map(|i| i as f32 / BINS as f32).collect();
    let mut sums = [(0.0f64, 0u64, 0u64); BINS];
    for (row, (&truth, &guess)) in labels.iter().zip(probable).enumerate() {
        let confidence = probability[row * classes + guess as usize];
        let below = edges.partition_point(|&edge| edge < confidence);
        let sum = &mut sums[below.clamp(1, BINS) - 1];
        sum.0 += f64::from(confidence);
        sum.1 += u64::from(truth == guess);
        sum.2 += 1;
    }
    sums.iter()
        .enumerate()
        .map(|(i, &(confidence, right, count))| {
            let mean = |sum: f64| {
                (count > 0)
                    .then(|| sum / count as f64)
                    .filter(|m| m.is_finite())
            };
            Bin {
                lower: i as f64 / BINS as f64,
                upper: (i + 1) as f64 / BINS as f64,
                mean_confidence: mean(confidence),
                accuracy: mean(right as f64),
                count,
            }
        })
        .collect()
}

/// Mean gap between confidence and accuracy, weighted by rows; `None` without rows or with NaN.
pub(super) fn ece(bins: &[Bin]) -> Option<f64> {
    let mut sum = 0.0;
    let mut rows = 0;
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        sum += bin.count as f64 * (bin.accuracy? - bin.mean_confidence?).abs();
        rows += bin.count;
    }
    (rows > 0).then(|| sum / rows as f64)
}

/// Mean of `-ln(probability of the true class)`, clipped as `sklearn.metrics.log_loss` clips
/// float32 probabilities: a confident wrong prediction has a finite loss.
pub(super) fn log_loss(labels: &[u32], probability: &[f32], classes: usize) -> Option<f64> {
    let truth = labels.iter().enumerate().map(|(row, &label)| {
        let p = probability[row * classes + label as usize];
        -f64::from(p.clamp(f32::EPSILON, 1.0 - f32::EPSILON)).ln()
    });
    let sum: f64 = truth.sum();
    (!labels.is_empty())
        .then(|| sum / labels.len() as f64)
        .filter(|loss| loss.is_finite())
}
