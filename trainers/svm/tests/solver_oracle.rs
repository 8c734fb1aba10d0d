//! Compares the sparse solver with the linear kernel of linfa-svm on small dense data.
//!
//! The bias of linfa is free; that of the sparse solver is the weight of a column of ones, so it is
//! regularised. The tests use data for which both are 0, or inequalities that hold for any data.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_svm::Svm;
use ndarray::{Array1, Array2, Axis, concatenate};
use svm::solver::{LinearSvm, LinearSvmParams, Loss, SparseRows};
use text::features::CsrPattern;

const C: f64 = 1.0;
const COLUMNS: usize = 10;

/// Deterministic numbers from -1 to 1.
fn noise(seed: u64, at: usize) -> f64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&(at as u64).to_le_bytes(), seed) as i64 as f64
        / i64::MAX as f64
}

/// Rows of two overlapping classes, moved by `shift`. The values are exact in `f32`.
fn overlapping(rows: usize, seed: u64, shift: f64) -> (Array2<f64>, Array1<bool>) {
    let records = Array2::from_shape_fn((rows, COLUMNS), |(i, j)| {
        noise(seed, i * COLUMNS + j) + shift
    });
    let targets = records.outer_iter().enumerate().map(|(row, record)| {
        let side: f64 = (0..COLUMNS)
            .map(|j| (record[j] - shift) * noise(seed + 1, j))
            .sum();
        side + 0.8 * noise(seed + 2, row) > 0.2
    });
    let targets = targets.collect();
    (records.mapv(|value| f64::from(value as f32)), targets)
}

/// Each row twice: unchanged, and mirrored at the origin with the other class. By symmetry the best
/// bias is 0, free or regularised.
fn mirrored(rows: usize, seed: u64) -> (Array2<f64>, Array1<bool>) {
    let (records, targets) = overlapping(rows, seed, 0.0);
    let all = concatenate![Axis(0), records, records.mapv(|value| -value)];
    (
        all,
        concatenate![Axis(0), targets, targets.mapv(|target| !target)],
    )
}

fn ours(records: &Array2<f64>, targets: &Array1<bool>, loss: Loss) -> LinearSvm {
    let (rows, columns) = records.dim();
    let pattern = CsrPattern {
        starts: (0..=rows).map(|row| row * columns).collect(),
        columns: (0..rows).flat_map(|_| 0..columns as u32).collect(),
        width: columns,
    };
    let values: Vec<f32> = records.iter().map(|&value| value as f32).collect();
    let rows: Vec<u32> = (0..rows as u32).collect();
    let sparse = SparseRows {
        pattern: &pattern,
        values: &values,
        rows: &rows,
    };
    let params = LinearSvmParams::new(loss, C)
        .tolerance(1e-5)
        .max_epochs(100_000);
    let machine = params
        .fit(&DatasetBase::new(sparse, targets.clone()))
        .unwrap();
    assert!(machine.convergence.converged, "{:?}", machine.convergence);
    machine
}

/// Weights and bias of linfa.
fn linfa(records: &Array2<f64>, targets: &Array1<bool>, c: f64) -> (Array1<f64>, f64) {
    let params = Svm::<f64, bool>::params()
        .linear_kernel()
        .pos_neg_weights(c, c)
        .eps(1e-7)
        .shrinking(false);
    let machine = params
        .fit(&DatasetBase::new(records.clone(), targets.clone()))
        .unwrap();
    (
        records.t().dot(&Array1::from(machine.alpha.clone())),
        -machine.rho,
    )
}

/// 0.5 |w|² + C Σ loss(1 - margin)
fn objective(
    records: &Array2<f64>,
    targets: &Array1<bool>,
    (weights, bias): (&Array1<f64>, f64),
    loss: impl Fn(f64) -> f64,
) -> f64 {
    let margins = records
        .dot(weights)
        .into_iter()
        .zip(targets)
        .map(|(sum, &target)| {
            let sign = if target { 1.0 } else { -1.0 };
            sign * (sum + bias)
        });
    0.5 * weights.dot(weights) + C * margins.map(|margin| loss(1.0 - margin)).sum::<f64>()
}

fn hinge(slack: f64) -> f64 {
    slack.max(0.0)
}

fn weights(machine: &LinearSvm) -> Array1<f64> {
    machine
        .coefficients
        .iter()
        .map(|&weight| f64::from(weight))
        .collect()
}

fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{found}, expected {expected}"
    );
}

#[test]
fn hinge_reaches_the_optimum_of_linfa() {
    for seed in [1, 10, 20] {
        let (records, targets) = mirrored(100, seed);
        let machine = ours(&records, &targets, Loss::Hinge);
        let (expected, bias) = linfa(&records, &targets, C);
        assert_close(bias, 0.0, 1e-3);
        assert_close(machine.intercept.into(), 0.0, 1e-2);
        let best = objective(&records, &targets, (&expected, bias), hinge);
        assert!(best > 10.0, "too easy: {best}");
        assert_close(machine.convergence.objective, best, 1e-3);
        assert_close(
            objective(
                &records,
                &targets,
                (&weights(&machine), machine.intercept.into()),
                hinge,
            ),
            best,
            1e-3,
        );
        for (&found, &expected) in weights(&machine).iter().zip(&expected) {
            assert_close(found, expected, 1e-2);
        }
    }
}

#[test]
fn regularised_bias_satisfies_bounds() {
    for seed in [3, 30] {
        let (records, targets) = overlapping(200, seed, 0.3);
        let machine = ours(&records, &targets, Loss::Hinge);
        let bias = f64::from(machine.intercept);
        let (linfa_weights, linfa_bias) = linfa(&records, &targets, C);
        let found = objective(&records, &targets, (&weights(&machine), bias), hinge);
        let free = objective(&records, &targets, (&linfa_weights, linfa_bias), hinge);
        assert!(
            bias.abs() > 0.1 && linfa_bias.abs() > 0.1,
            "the bias matters: {bias} {linfa_bias}"
        );
        // Each is optimal for its own objective.
        assert!(free <= found * (1.0 + 1e-4), "{free} {found}");
        let regularised = free + 0.5 * linfa_bias * linfa_bias;
        assert!(
            machine.convergence.objective <= regularised * (1.0 + 1e-4),
            "{} {regularised}",
            machine.convergence.objective
        );
        assert_close(
            machine.convergence.objective,
            found + 0.5 * bias * bias,
            1e-4,
        );
    }
}

/// Squared hinge is a hard margin in a space with one more column per row: w·x + sqrt(2C) ξ, with
/// 0.5 (|w|² + 2C ξ²) (Cortes and Vapnik 1995). A very large C gives linfa a hard margin.
#[test]
fn squared_hinge_reaches_the_optimum_of_linfa_with_slack_columns() {
    let (records, targets) = mirrored(60, 5);
    let rows = records.nrows();
    let machine = ours(&records, &targets, Loss::SquaredHinge);
    let slack = Array2::from_diag_elem(rows, 1.0 / (2.0 * C).sqrt());
    let wide = concatenate![Axis(1), records, slack];
    let (expected, bias) = linfa(&wide, &targets, 1e6);
    assert_close(bias, 0.0, 1e-3);
    assert_close(
        machine.convergence.objective,
        0.5 * expected.dot(&expected),
        1e-3,
    );
    let squared = |slack: f64| hinge(slack).powi(2);
    let narrow = expected.slice(ndarray::s![..COLUMNS]).to_owned();
    assert_close(
        machine.convergence.objective,
        objective(&records, &targets, (&narrow, bias), squared),
        1e-3,
    );
    for (&found, &expected) in weights(&machine).iter().zip(&narrow) {
        assert_close(found, expected, 1e-2);
    }
}
