//! Temperature scaling: calibration by one divisor of the logits (Guo, Pleiss, Sun and Weinberger
//! 2017).

use std::ops::RangeInclusive;

/// Minimum rows: with fewer, a single misclassified row has too much influence.
const MIN_ROWS: usize = 100;
/// Maximum rows used: these determine the temperature to about 0.01.
const MAX_ROWS: usize = 20_000;
/// Maximum logits used, if these are enough rows.
const MAX_LOGITS: usize = 20_000_000;

/// Returns the temperature that minimises the loss of held-out rows; `None` if there are too few
/// rows or the logits are not finite. `logits` has shape (rows, classes); `class_weights` are those
/// of the training, whose probabilities are for classes of these weights. The result is in `range`:
/// without misclassified rows the optimum is at 0, unless `smoothing` spreads a share of each label
/// over all classes.
pub fn fit_temperature(
    logits: &[f32],
    labels: &[u32],
    class_weights: &[f32],
    range: RangeInclusive<f64>,
    smoothing: f64,
) -> Option<f64> {
    if labels.len() < MIN_ROWS {
        return None;
    }
    let (min, max) = (1.0 / range.end(), 1.0 / range.start());
    // Newton's method: the loss is convex in the inverse temperature.
    let mut inverse = 1.0f64;
    // It takes about five steps, and one per factor of 2 between 1 and the temperature; the limit
    // is for logits that are rounding errors.
    for _ in 0..50 {
        let (slope, curvature) = derivatives(logits, labels, class_weights, smoothing, inverse);
        if !(slope.is_finite() && curvature.is_finite()) {
            return None;
        }
        let next = inverse - slope / curvature.max(f64::MIN_POSITIVE);
        let next = next.clamp(inverse / 2.0, inverse * 2.0).clamp(min, max);
        let moved = (next - inverse).abs();
        inverse = next;
        if moved < 1e-6 * inverse {
            break;
        }
    }
    Some(1.0 / inverse)
}

/// Returns the first and second derivative of the loss by the inverse temperature.
fn derivatives(
    logits: &[f32],
    labels: &[u32],
    class_weights: &[f32],
    smoothing: f64,
    inverse: f64,
) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (row, &label) in logits
        .chunks_exact(class_weights.len())
        .zip(labels)
        .take(MAX_ROWS.min((MAX_LOGITS / class_weights.len()).max(MIN_ROWS)))
    {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut mean, mut square, mut total) = (0.0, 0.0, 0.0, 0.0);
        for &logit in row {
            let logit = f64::from(logit - largest);
            let share = (inverse * logit).exp();
            sum += share;
            mean += share * logit;
            square += share * logit * logit;
            total += logit;
        }
        (mean, square) = (mean / sum, square / sum);
        let weight = f64::from(class_weights[label as usize]);
        let own = f64::from(row[label as usize] - largest);
        let target = (1.0 - smoothing) * own + smoothing * total / row.len() as f64;
        slope += weight * (mean - target);
        curvature += weight * (square - mean * mean);
    }
    (slope, curvature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(logits: &[f32], labels: &[u32], class_weights: &[f32]) -> Option<f64> {
        fit_temperature(logits, labels, class_weights, 0.5..=20.0, 0.0)
    }

    /// Fits on rows of which `right` in 100 have the predicted label.
    fn fitted(logit: f32, right: usize) -> f64 {
        let logits: Vec<f32> = [logit, 0.0].repeat(200);
        let labels: Vec<u32> = (0..200).map(|row| u32::from(row % 100 >= right)).collect();
        fit(&logits, &labels, &[1.0; 2]).unwrap()
    }

    #[test]
    fn fitted_temperature_matches_accuracy() {
        for (logit, right) in [(6.0, 90), (6.0, 99), (1.5, 90)] {
            let odds = right as f64 / (100 - right) as f64;
            let expected = f64::from(logit) / odds.ln();
            assert!(
                (fitted(logit, right) / expected - 1.0).abs() < 1e-4,
                "{logit} {right}"
            );
        }
    }

    /// Rows of weight 0 do not count.
    #[test]
    fn class_weights_weigh_the_rows() {
        let logits: Vec<f32> = [[2.0, 0.0], [0.0, 5.0]].concat().repeat(200);
        let labels: Vec<u32> = (0..400)
            .map(|row| u32::from(row % 20 < 4 || row % 2 == 1))
            .collect();
        let alone: Vec<f32> = [2.0, 0.0].repeat(200);
        let zeros = vec![0; 200];
        let expected = fit(&alone, &zeros, &[1.0; 2]);
        assert_eq!(fit(&logits, &labels, &[1.0, 0.0]), expected);
        assert_ne!(fit(&logits, &labels, &[1.0; 2]), expected);
    }

    #[test]
    fn temperature_is_bounded() {
        assert_eq!(fitted(3.0, 100), 0.5);
        assert_eq!(fitted(3.0, 0), 20.0);
        assert_eq!(fit(&[1.0, 0.0], &[0], &[1.0; 2]), None);
    }

    /// With smoothing the mean probability of rows that are all right is (n + 1) / (n + 2), as in
    /// Platt's targets.
    #[test]
    fn smoothing_replaces_the_limits() {
        for logit in [1e-6f32, 30.0, 3_000.0] {
            let logits = [logit, 0.0].repeat(200);
            let smoothing = 2.0 / 202.0;
            let found = fit_temperature(&logits, &[0; 200], &[1.0; 2], 1e-9..=1e9, smoothing);
            let expected = f64::from(logit) / 201f64.ln();
            assert!((found.unwrap() / expected - 1.0).abs() < 1e-4, "{logit}");
        }
    }

    #[test]
    fn logits_that_are_not_finite_give_none() {
        for logit in [f32::NAN, f32::INFINITY] {
            assert_eq!(fit(&[logit; 400], &[0; 200], &[1.0; 2]), None);
        }
    }
}
