//! Log loss: dual coordinate descent. Yu, Huang and Lin, Algorithm Learning 85 (2011), algorithm 5.

use training::Random;

use super::dual::{DualProblem, STOP_INTERVAL, Weights, shuffle};
use super::{Convergence, LinearSvm, LinearSvmValidParams};

/// Maximum Newton steps on one coordinate, as in the paper.
const MAX_NEWTON: u32 = 100;
/// Step reduction when a Newton step leaves the interval: ξ in the paper.
const XI: f64 = 0.1;
/// Initial tolerance on the gradient of a coordinate.
const INNER_TOLERANCE: f64 = 1e-3;

struct State<'a> {
    problem: &'a DualProblem<'a>,
    /// 0 < alpha < cost. In double precision, because both ends of the interval matter.
    alpha: Vec<f64>,
    weights: Weights,
    /// Tolerance on the gradient of a coordinate; decreases with the epochs.
    inner_tolerance: f64,
}

pub(super) fn solve(problem: &DualProblem<'_>, params: &LinearSvmValidParams) -> LinearSvm {
    let mut state = State {
        problem,
        alpha: Vec::with_capacity(problem.rows()),
        weights: problem.zeros(),
        inner_tolerance: INNER_TOLERANCE,
    };
    for (row, (&cost, &sign)) in problem.cost.iter().zip(&problem.sign).enumerate() {
        // Start near 0, as in the paper; alpha must be above 0.
        let alpha = (0.001 * f64::from(cost)).min(1e-8);
        state.weights.add(problem, row, sign * alpha as f32);
        state.alpha.push(alpha);
    }
    let mut order: Vec<u32> = (0..problem.rows() as u32).collect();
    let mut random = Random::from_state(params.seed);
    let mut convergence = Convergence::default();
    // The first epoch is finished even after a stop: it gives most of the accuracy.
    while convergence.epochs < params.max_epochs
        && !convergence.converged
        && !(params.stopped() && convergence.epochs > 0)
    {
        shuffle(&mut random, &mut order);
        for rows in order.chunks(STOP_INTERVAL) {
            if convergence.epochs > 0 && params.stopped() {
                break;
            }
            rows.iter().for_each(|&row| state.step(row as usize));
        }
        convergence.epochs += 1;
        (convergence.objective, convergence.gap) = state.objective();
        convergence.converged = convergence.gap <= params.tolerance;
        state.inner_tolerance = (0.1 * state.inner_tolerance).max(1e-8);
    }
    LinearSvm {
        coefficients: state.weights.columns,
        intercept: state.weights.bias,
        convergence,
    }
}

impl State<'_> {
    /// Minimises the dual along one coordinate:
    /// a/2 (z - alpha)² + b (z - alpha) + z ln z + (c - z) ln(c - z).
    fn step(&mut self, row: usize) {
        let (sign, cost) = (self.problem.sign[row], f64::from(self.problem.cost[row]));
        let a = f64::from(self.problem.norm[row]);
        let b = f64::from(sign * self.weights.decision_function(self.problem, row));
        let old = self.alpha[row];
        // Solve relative to the nearer end, where the logarithm is steep.
        let mirrored = a * (0.5 * cost - old) + b < 0.0;
        let (b, start) = if mirrored { (-b, cost - old) } else { (b, old) };
        let mut z = start;
        if cost - z < 0.5 * cost {
            z *= XI;
        }
        let mut gradient = a * (z - start) + b + (z / (cost - z)).ln();
        for _ in 0..MAX_NEWTON {
            if gradient.abs() < self.inner_tolerance {
                break;
            }
            let curvature = a + cost / (cost - z) / z;
            let next = z - gradient / curvature;
            z = if next <= 0.0 {
                z * XI
            } else {
                next.min(z + (1.0 - XI) * (cost - z))
            };
            gradient = a * (z - start) + b + (z / (cost - z)).ln();
        }
        let new = if mirrored { cost - z } else { z };
        self.alpha[row] = new;
        self.weights
            .add(self.problem, row, sign * (new - old) as f32);
    }

    /// Returns the primal objective and the relative duality gap.
    fn objective(&self) -> (f64, f64) {
        let half_square = 0.5 * self.weights.square();
        let entropy = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
        let (mut loss, mut dual) = (0.0, -half_square);
        for (row, &alpha) in self.alpha.iter().enumerate() {
            let cost = f64::from(self.problem.cost[row]);
            let margin = f64::from(
                self.problem.sign[row] * self.weights.decision_function(self.problem, row),
            );
            // ln(1 + exp(-m)) without overflow.
            loss += cost * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
            dual -= entropy(alpha) + entropy(cost - alpha) - entropy(cost);
        }
        let primal = half_square + loss;
        (primal, (primal - dual) / primal)
    }
}
