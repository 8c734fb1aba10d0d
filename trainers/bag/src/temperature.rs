//! How much too sure the network is: one number that the logits are divided by (Guo, Pleiss, Sun and Weinberger 2017).

/// Fewer rows say too little: one that is wrong would move it.
const LEAST: usize = 100;
/// More rows say nothing new: the temperature of so many is known to a hundredth.
const MOST: usize = 20_000;

/// The temperature at which the logits of rows that were not learnt from have the least loss; `None` where there are too
/// few, or where logits are beyond what can be reckoned with.
pub(crate) fn temperature(logits: &[f32], labels: &[u32], classes: usize) -> Option<f64> {
    if labels.len() < LEAST {
        return None;
    }
    // The loss is convex in the inverse: Newton's method.
    let mut inverse = 1.0f64;
    // Five steps or so; the limit is for logits of rounding errors.
    for _ in 0..50 {
        let (slope, curvature) = derivatives(logits, labels, classes, inverse);
        if !(slope.is_finite() && curvature.is_finite()) {
            return None;
        }
        let next = inverse - slope / curvature.max(f64::MIN_POSITIVE);
        // Where the rows are told apart without an error there is no end; and no step goes far. Temperatures from 1/2 to 20: a
        // network that is further off is broken.
        let next = next.clamp(inverse / 2.0, inverse * 2.0).clamp(0.05, 2.0);
        let moved = (next - inverse).abs();
        inverse = next;
        if moved < 1e-6 * inverse {
            break;
        }
    }
    Some(1.0 / inverse)
}

/// Of the loss by the inverse temperature.
fn derivatives(logits: &[f32], labels: &[u32], classes: usize, inverse: f64) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (row, &label) in logits.chunks_exact(classes).zip(labels).take(MOST) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        for &logit in row {
            let logit = f64::from(logit - largest);
            let share = (inverse * logit).exp();
            sum += share;
            mean += share * logit;
            square += share * logit * logit;
        }
        (mean, square) = (mean / sum, square / sum);
        slope += mean - f64::from(row[label as usize] - largest);
        curvature += square - mean * mean;
    }
    (slope, curvature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which `right` in 100 have the label that the logits say.
    fn found(logit: f32, right: usize) -> f64 {
        let logits: Vec<f32> = [logit, 0.0].repeat(200);
        let labels: Vec<u32> = (0..200).map(|row| u32::from(row % 100 >= right)).collect();
        temperature(&logits, &labels, 2).unwrap()
    }

    #[test]
    fn logits_come_to_say_how_often_they_are_right() {
        for (logit, right) in [(6.0, 90), (6.0, 99), (1.5, 90)] {
            let odds = right as f64 / (100 - right) as f64;
            let expected = f64::from(logit) / odds.ln();
            assert!(
                (found(logit, right) / expected - 1.0).abs() < 1e-4,
                "{logit} {right}"
            );
        }
    }

    #[test]
    fn rows_without_an_error_do_not_make_it_endlessly_sure() {
        assert_eq!(found(3.0, 100), 0.5);
        assert_eq!(found(3.0, 0), 20.0);
        assert_eq!(temperature(&[1.0, 0.0], &[0], 2), None);
    }

    #[test]
    fn logits_without_a_number_have_none() {
        for logit in [f32::NAN, f32::INFINITY] {
            assert_eq!(temperature(&[logit; 400], &[0; 200], 2), None);
        }
    }
}
