//! Platt scaling: from decision values to probabilities, one sigmoid per output.

use diagnostics::Error;
use linfa::ParamGuard;
use linfa::composing::platt_scaling::{Platt as LinfaPlatt, platt_newton_method};
use ndarray::Array1;
use training::Run;

use crate::one_vs_rest::{Targets, parallel};

/// Maximum decision values that are calibrated after a stop: about a second of work.
const MAX_AFTER_STOP: usize = 1 << 22;

/// Sigmoid p = 1 / (1 + exp(a d + b)) of a decision value d. Platt 1999, fitted as in Lin, Lin and
/// Weng 2007.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Platt {
    /// Slope; negative.
    pub(crate) a: f64,
    /// Offset.
    pub(crate) b: f64,
}

/// One sigmoid per output, and the outputs without a fit of their own.
type FittedSigmoids = (Vec<Platt>, Vec<usize>);

impl Platt {
    /// Fits one sigmoid per output to `decisions` of shape (rows, outputs).
    ///
    /// Outputs without a fit (rows of one side only, or decision values that do not separate the
    /// sides) get the median slope of the others and are listed in the second result. Returns
    /// `None` if no output can be fitted.
    ///
    /// # Errors
    ///
    /// The run was stopped, and the fits would take longer than a second.
    pub(crate) fn fit(
        decisions: &[f32],
        targets: Targets<'_>,
        run: &Run,
    ) -> Result<Option<FittedSigmoids>, Error> {
        let outputs = targets.outputs();
        let fitted = parallel(run.threads(), outputs, |output| {
            if run.stopped() && decisions.len() > MAX_AFTER_STOP {
                return Err(Error::stopped());
            }
            Ok(Self::fit_output(decisions, targets, output))
        })?;
        let mut slopes: Vec<f64> = fitted.iter().flatten().map(|platt| platt.a).collect();
        slopes.sort_by(f64::total_cmp);
        let Some(&a) = slopes.get(slopes.len() / 2) else {
            return Ok(None);
        };
        let unfitted = (0..outputs)
            .filter(|&output| fitted[output].is_none())
            .collect();
        let fallback = |output| Self::with_slope(a, decisions, targets, output);
        let all = fitted
            .into_iter()
            .enumerate()
            .map(|(output, platt)| platt.unwrap_or_else(|| fallback(output)))
            .collect();
        Ok(Some((all, unfitted)))
    }

    /// Returns the sigmoid of slope `a` whose value at the mean decision is the share of the class,
    /// by Laplace's estimate.
    fn with_slope(a: f64, decisions: &[f32], targets: Targets<'_>, output: usize) -> Self {
        let rows = targets.labels.len();
        let positive = (0..rows).filter(|&row| targets.is_positive(row, output));
        let (positive, rows) = (positive.count() as f64, rows as f64);
        let sum: f64 = decisions
            .iter()
            .skip(output)
            .step_by(targets.outputs())
            .map(|&decision| f64::from(decision))
            .sum();
        let odds_against = (rows - positive + 1.0) / (positive + 1.0);
        Self {
            a,
            b: odds_against.ln() - a * sum / rows,
        }
    }

    fn fit_output(decisions: &[f32], targets: Targets<'_>, output: usize) -> Option<Self> {
        let rows = 0..targets.labels.len();
        let truth: Array1<bool> = rows.map(|row| targets.is_positive(row, output)).collect();
        if truth.iter().all(|&truth| truth) || !truth.iter().any(|&truth| truth) {
            return None;
        }
        // In single precision the Newton method of linfa does not converge.
        let values: Array1<f64> = decisions
            .iter()
            .skip(output)
            .step_by(targets.outputs())
            .map(|&d| f64::from(d))
            .collect();
        let params = LinfaPlatt::<f64, ()>::params().check().ok()?;
        let (a, b) = platt_newton_method(values.view(), truth.view(), &params).ok()?;
        (a.is_finite() && b.is_finite() && a < 0.0).then_some(Self { a, b })
    }

    fn probability(self, decision: f32) -> f64 {
        1.0 / (1.0 + (self.a * f64::from(decision) + self.b).exp())
    }

    /// Appends the probabilities of all classes for the decision values of one row, which do not
    /// exclude each other.
    pub(crate) fn independent(platt: &[Self], decisions: &[f32], probabilities: &mut Vec<f32>) {
        let each = platt.iter().zip(decisions);
        probabilities.extend(each.map(|(platt, &decision)| platt.probability(decision) as f32));
    }

    /// Appends the probabilities of all classes for the decision values of one row; they sum to 1.
    pub(crate) fn probabilities(platt: &[Self], decisions: &[f32], probabilities: &mut Vec<f32>) {
        if let ([platt], [decision]) = (platt, decisions) {
            let positive = platt.probability(*decision);
            probabilities.extend([(1.0 - positive) as f32, positive as f32]);
            return;
        }
        let each = platt
            .iter()
            .zip(decisions)
            .map(|(platt, &decision)| platt.probability(decision));
        let sum: f64 = each.clone().sum();
        let uniform = 1.0 / decisions.len() as f64;
        probabilities.extend(each.map(|p| {
            if sum > 0.0 {
                (p / sum) as f32
            } else {
                uniform as f32
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use training::stop::Stop;

    use super::*;

    fn fit(decisions: &[f32], labels: &[u32], classes: usize) -> Option<(Vec<Platt>, Vec<usize>)> {
        let run = Run::new(1, 0, Stop::default(), Arc::default());
        let targets = Targets {
            labels,
            classes,
            sets: None,
        };
        Platt::fit(decisions, targets, &run).unwrap()
    }

    #[test]
    fn recovers_a_sigmoid_and_sums_to_one() {
        // 1,000 decisions whose labels follow p = 1 / (1 + exp(-2 d)) in proportion.
        let (mut decisions, mut labels) = (Vec::new(), Vec::new());
        for step in 0..100 {
            let decision = (step as f32 - 49.5) / 25.0;
            let share = 1.0 / (1.0 + (-2.0 * decision).exp());
            for copy in 0..10 {
                decisions.push(decision);
                labels.push(u32::from((copy as f32 + 0.5) / 10.0 < share));
            }
        }
        let platt = fit(&decisions, &labels, 2).unwrap().0;
        assert!(
            (platt[0].a + 2.0).abs() < 0.3 && platt[0].b.abs() < 0.1,
            "{platt:?}"
        );
        let mut row = Vec::new();
        Platt::probabilities(&platt, &[0.7], &mut row);
        assert!((row[0] + row[1] - 1.0).abs() < 1e-6 && row[1] > 0.7);
        let three = [platt[0]; 3];
        row.clear();
        Platt::probabilities(&three, &[0.3, -1.0, -2.0], &mut row);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6 && row[0] > row[1] && row[1] > row[2]);
    }

    #[test]
    fn rows_of_one_side_cannot_be_calibrated() {
        assert!(fit(&[0.1, 0.2], &[1, 1], 2).is_none());
    }

    #[test]
    fn class_without_rows_gets_the_slope_of_the_others() {
        let (mut decisions, mut labels) = (Vec::new(), Vec::new());
        for row in 0..100u32 {
            let step = (row as f32 - 50.0) / 25.0;
            decisions.extend([step, -step, -1.0]);
            // Some rows on the wrong side: no sigmoid fits separable decisions.
            labels.push(u32::from((step < 0.0) != (row % 7 == 0)));
        }
        let (platt, unfitted) = fit(&decisions, &labels, 3).unwrap();
        assert_eq!(unfitted, [2]);
        assert!(
            platt[2].a == platt[0].a || platt[2].a == platt[1].a,
            "{platt:?}"
        );
        // Laplace's estimate for 0 of 100 rows at the mean decision, more above it.
        assert!((platt[2].probability(-1.0) - 1.0 / 102.0).abs() < 1e-9);
        assert!(platt[2].probability(1.0) > platt[2].probability(-1.0));
    }
}
