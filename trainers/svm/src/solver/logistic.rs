//! Log loss: dual coordinate descent. Yu, Huang and Lin, Machine Learning 85 (2011), algorithm 5.

use super::dual::{Problem, SplitMix, Weights};
use super::{LinearSvm, LinearSvmValidParams, Outcome};

/// Newton steps on one coordinate; the paper's bound.
const MAX_NEWTON: u32 = 100;
/// How far a Newton step that leaves the interval is pulled back (the paper's ξ).
const PULL_BACK: f64 = 0.1;
/// The gradient at which a coordinate counts as solved.
const INNER_TOLERANCE: f64 = 1e-3;

struct State<'a> {
    problem: &'a Problem<'a>,
    /// 0 < alpha < cost. In double precision: both ends matter.
    alpha: Vec<f64>,
    weights: Weights,
    /// How precisely single coordinates are solved; falls with the passes.
    inner_tolerance: f64,
}

pub(super) fn solve(problem: &Problem<'_>, params: &LinearSvmValidParams) -> LinearSvm {
    let mut state = State {
        problem,
        alpha: Vec::with_capacity(problem.rows()),
        weights: problem.zeros(),
        inner_tolerance: INNER_TOLERANCE,
    };
    for (row, (&cost, &sign)) in problem.cost.iter().zip(&problem.sign).enumerate() {
        // The paper's start: near 0, never at it.
        let alpha = (0.001 * f64::from(cost)).min(1e-8);
        state.weights.add(problem, row, sign * alpha as f32);
        state.alpha.push(alpha);
    }
    let mut order: Vec<u32> = (0..problem.rows() as u32).collect();
    let mut random = SplitMix(params.seed());
    let mut outcome = Outcome {
        objective: 0.0,
        gap: 1.0,
        epochs: 0,
        converged: false,
    };
    // A stop still gets the first pass: weights of zero would be worth nothing, one pass is worth most.
    while outcome.epochs < params.max_epochs()
        && !outcome.converged
        && !(params.stopped() && outcome.epochs > 0)
    {
        random.shuffle(&mut order);
        for &row in &order {
            state.step(row as usize);
        }
        outcome.epochs += 1;
        (outcome.objective, outcome.gap) = state.objective();
        outcome.converged = outcome.gap <= params.tolerance();
        state.inner_tolerance = (0.1 * state.inner_tolerance).max(1e-8);
    }
    LinearSvm {
        coefficients: state.weights.columns,
        intercept: state.weights.bias,
        outcome,
    }
}

impl State<'_> {
    /// Minimises the dual along one coordinate: a/2 (z - alpha)² + b (z - alpha) + z ln z + (c - z) ln(c - z).
    fn step(&mut self, row: usize) {
        let (sign, cost) = (self.problem.sign[row], f64::from(self.problem.cost[row]));
        let a = f64::from(self.problem.norm[row]);
        let b = f64::from(sign * self.weights.decision(self.problem, row));
        let old = self.alpha[row];
        // Solve for the end that is nearer, where the logarithm is steep.
        let mirrored = a * (0.5 * cost - old) + b < 0.0;
        let (b, start) = if mirrored { (-b, cost - old) } else { (b, old) };
        let mut z = start;
        if cost - z < 0.5 * cost {
            z *= PULL_BACK;
        }
        let mut gradient = a * (z - start) + b + (z / (cost - z)).ln();
        for _ in 0..MAX_NEWTON {
            if gradient.abs() < self.inner_tolerance {
                break;
            }
            let curvature = a + cost / (cost - z) / z;
            let next = z - gradient / curvature;
            z = if next <= 0.0 {
                z * PULL_BACK
            } else {
                next.min(z + (1.0 - PULL_BACK) * (cost - z))
            };
            gradient = a * (z - start) + b + (z / (cost - z)).ln();
        }
        let new = if mirrored { cost - z } else { z };
        self.alpha[row] = new;
        self.weights
            .add(self.problem, row, sign * (new - old) as f32);
    }

    /// Value of the primal objective, and the relative duality gap.
    fn objective(&self) -> (f64, f64) {
        let half_square = 0.5 * self.weights.square();
        let entropy = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
        let (mut loss, mut dual) = (0.0, -half_square);
        for (row, &alpha) in self.alpha.iter().enumerate() {
            let cost = f64::from(self.problem.cost[row]);
            let margin =
                f64::from(self.problem.sign[row] * self.weights.decision(self.problem, row));
            // ln(1 + exp(-m)) without overflow.
            loss += cost * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
            dual -= entropy(alpha) + entropy(cost - alpha) - entropy(cost);
        }
        let primal = half_square + loss;
        (primal, (primal - dual) / primal)
    }
}
