//! Training with a kernel, from texts to the model folder, and decision values compared with
//! linfa-svm's own.

use std::sync::Arc;

use clap::Parser;
use dataset::{RowPlace, RowRef, RowTable, Split};
use evaluation::metrics::Scores;
use harness::{Model, Trainer};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_svm::Svm as LinfaSvm;
use ndarray::{Array1, Array2};
use training::stop::Stop;

use super::*;
use crate::one_vs_rest::Targets;
use crate::params::SvmArgs;
use crate::{Svm, SvmModel};
use text::features::CsrPattern;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SvmArgs,
}

fn params(line: &str) -> Result<SvmParams, Error> {
    Line::try_parse_from(format!("svm {line}").split_whitespace())
        .unwrap()
        .args
        .check()
}

fn run(threads: usize) -> Run {
    Run::new(threads, 3, Stop::default(), Default::default())
}

/// Deterministic noise.
fn noise(at: usize) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&(at as u64).to_le_bytes())
}

/// Texts whose class is the exclusive or of two words, with two noise words.
fn xor_rows(rows: std::ops::Range<usize>) -> Vec<(String, u32)> {
    let text = |row: usize| {
        let (first, second) = (noise(2 * row) % 2, noise(2 * row + 1) % 2);
        let (noise, other) = (noise(row + 1_000_000) % 7, noise(row + 2_000_000) % 5);
        let words = [
            ["hot", "cold"][first as usize],
            ["up", "down"][second as usize],
        ];
        (
            format!("{} thing{noise} {} stuff{other}", words[0], words[1]),
            u32::from(first != second),
        )
    };
    rows.map(text).collect()
}

fn table(rows: &[(String, u32)], classes: &[&str], splits: impl Fn(usize) -> Split) -> RowTable {
    let all = 0..rows.len() as u32;
    RowTable {
        order: all
            .clone()
            .map(|index| RowRef { encoder: 0, index })
            .collect(),
        labels: rows.iter().map(|(_, label)| *label).collect(),
        label_sets: None,
        splits: (0..rows.len()).map(splits).collect(),
        hashes: rows
            .iter()
            .map(|(text, _)| xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
            .collect(),
        places: all
            .map(|record| RowPlace {
                source: 0,
                record,
                line: 0,
            })
            .collect(),
        weights: Vec::new(),
        classes: classes.iter().map(|&class| class.to_owned()).collect(),
        sources: Vec::new(),
        split_off: false,
    }
}

/// Trains on [`xor_rows`] with every fifth row for validation.
fn train(line: &str, threads: usize) -> harness::Trained<SvmModel> {
    let params = params(line).unwrap();
    let rows = xor_rows(0..200);
    let table = table(&rows, &["alike", "not"], |row| {
        if row % 5 == 0 {
            Split::Validation
        } else {
            Split::Train
        }
    });
    let mut shard = Svm::encoder(&params);
    rows.iter().for_each(|(text, _)| shard.push(text));
    Svm::train(&params, &table, vec![shard], &mut run(threads)).unwrap()
}

fn predict(model: &SvmModel, rows: &[(String, u32)]) -> Scores {
    let texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
    model.predict(&mut model.scratch(), &texts).unwrap()
}

fn accuracy(scores: &Scores, rows: &[(String, u32)]) -> f64 {
    let hits = scores
        .decision
        .chunks(2)
        .zip(rows)
        .filter(|(row, (_, label))| u32::from(row[1] > row[0]) == *label);
    hits.count() as f64 / rows.len() as f64
}

#[test]
fn kernels_solve_xor() {
    let unseen = xor_rows(5000..5400);
    let linear = accuracy(
        &predict(&train("--max-ngrams 1", 1).model, &unseen),
        &unseen,
    );
    assert!(linear < 0.65, "{linear}");
    for kernel in ["--kernel rbf --gamma 2 --c 10", "--kernel poly --degree 2"] {
        let trained = train(&format!("--max-ngrams 1 {kernel}"), 2);
        let reached = accuracy(&predict(&trained.model, &unseen), &unseen);
        assert!(reached > 0.95, "{kernel}: {reached}");
        let details = &trained.details["kernel"];
        // 2 + 2 + 7 + 5 words in four groups, one of each in every row: rank 16 - 3.
        assert_eq!(details["components"], 13, "{details}");
        assert!(details["kept"].as_f64().unwrap() > 0.999, "{details}");
    }
}

#[test]
fn training_predicting_and_loading_agree() {
    let trained = train("--max-ngrams 2 --kernel rbf --components 8", 2);
    let validation: Vec<_> = xor_rows(0..200).into_iter().step_by(5).collect();
    let predicted = predict(&trained.model, &validation);
    let scored = trained.scores.validation.unwrap();
    // The terms of a row are summed in another order.
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
    assert_eq!(predicted.decision.len(), scored.decision.len());
    assert!(predicted.decision.iter().zip(&scored.decision).all(close));
    let dir = tempfile::tempdir().unwrap();
    trained.model.save(dir.path()).unwrap();
    let loaded = SvmModel::load(dir.path()).unwrap();
    assert_eq!(predict(&loaded, &validation).decision, predicted.decision);
    assert_eq!(
        predict(&loaded, &validation).probability,
        predicted.probability
    );
    assert!(
        loaded
            .explain(None, 3)
            .unwrap_err()
            .to_string()
            .contains("--kernel linear")
    );
}

#[test]
fn model_is_byte_identical_for_any_number_of_threads() {
    let files = |threads| {
        let dir = tempfile::tempdir().unwrap();
        train("--kernel poly --components 6 --calibration cv", threads)
            .model
            .save(dir.path())
            .unwrap();
        ["model.safetensors", "config.json", "vocabulary.txt"]
            .map(|name| std::fs::read(dir.path().join(name)).unwrap())
    };
    let one = files(1);
    assert!(one == files(1));
    assert!(one == files(3));
}

#[test]
fn cross_validation_scores_are_out_of_fold() {
    let line = "--max-ngrams 1 --kernel rbf --gamma 2 --c 100 --components 13 --calibration";
    let (seen, unseen) = (
        train(&format!("{line} none"), 1),
        train(&format!("{line} cv"), 1),
    );
    let rows: Vec<_> = xor_rows(0..200)
        .into_iter()
        .enumerate()
        .filter(|(row, _)| row % 5 != 0)
        .map(|at| at.1)
        .collect();
    let (seen, unseen) = (seen.scores.train.unwrap(), unseen.scores.train.unwrap());
    assert!(seen.probability.is_none() && unseen.probability.is_some());
    assert_ne!(seen.decision, unseen.decision);
    assert!(accuracy(&seen, &rows) > accuracy(&unseen, &rows));
}

/// Points of shape (rows, width) on three rings, one per class, which no hyperplane separates.
fn rings(rows: usize, width: usize) -> (Vec<f32>, Vec<u32>) {
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let point = |row: usize| {
        let part = move |at| (noise(row * width + at) as i64 as f64 / i64::MAX as f64) as f32;
        let length = (0..width).map(|at| part(at) * part(at)).sum::<f32>().sqrt();
        (0..width).map(move |at| (0.4 + 0.3 * (row % 3) as f32) * part(at) / length)
    };
    ((0..rows).flat_map(point).collect(), labels)
}

/// Rows of three classes.
fn targets(labels: &[u32]) -> Targets<'_> {
    Targets {
        labels,
        classes: 3,
        sets: None,
    }
}

#[test]
fn decision_values_match_linfa() {
    let (rows, width) = (90, 11);
    let (points, labels) = rings(rows, width);
    let train: Vec<u32> = (0..rows as u32).collect();
    let lines = [
        "--kernel rbf --gamma 3 --class-weight balanced",
        "--kernel poly --gamma 2 --coef0 0.5 --c 5 --tol 1e-6",
    ];
    for (line, factor) in lines.into_iter().zip([1.0, 2.0f64.sqrt()]) {
        let params = params(line).unwrap();
        let crate::params::Algorithm::Kernel(kernel, components) = params.algorithm else {
            panic!("{line}")
        };
        let data = LabelledRows {
            pattern: &CsrPattern::default(),
            targets: targets(&labels),
            weights: &[],
        };
        let context = TrainContext {
            data,
            candidate: Candidate::from_params(&params, rows),
            params: &params,
            kernel,
            components,
        };
        let dual_coef = fit(
            &KernelProblem {
                context: &context,
                train: &train,
                rows: &points,
                width,
            },
            &run(2),
        )
        .unwrap();
        let svm = dual_coef.into_svm(kernel, vec![0.0; width], &points);
        assert!(
            svm.support_vectors() > 3 && svm.support_vectors() < rows,
            "{}",
            svm.support_vectors()
        );

        let records = Array2::from_shape_fn((rows, width), |(i, j)| {
            factor * f64::from(points[i * width + j])
        });
        for output in 0..3 {
            let targets: Array1<bool> = labels.iter().map(|&label| label == output).collect();
            let c = params.regularisation.c(rows);
            let linfa = LinfaSvm::<f64, bool>::params()
                .pos_neg_weights(c, c)
                .eps(params.tolerance);
            let linfa = match kernel {
                Kernel::Rbf { gamma } => linfa.gaussian_kernel(1.0 / gamma),
                Kernel::Poly { coef0, degree, .. } => linfa.polynomial_kernel(coef0, degree.into()),
            };
            let linfa = linfa
                .fit(&DatasetBase::new(records.clone(), targets))
                .unwrap();
            for (row, record) in records.outer_iter().enumerate() {
                let mut decisions = Vec::new();
                svm.decision_function_projected(&points[row * width..][..width], &mut decisions);
                let expected = linfa.weighted_sum(&record) - linfa.rho;
                let found = f64::from(decisions[output as usize]);
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{line}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn stop_does_not_wait_for_linfa() {
    let (rows, width) = (700, 10);
    let (points, labels) = rings(rows, width);
    let train: Vec<u32> = (0..rows as u32).collect();
    // linfa needs seconds for this problem in a debug build.
    let params = params("--kernel poly --gamma 50 --c 1e6 --tol 1e-9").unwrap();
    let crate::params::Algorithm::Kernel(kernel, components) = params.algorithm else {
        panic!("not a kernel")
    };
    let data = LabelledRows {
        pattern: &CsrPattern::default(),
        targets: targets(&labels),
        weights: &[],
    };
    let context = TrainContext {
        data,
        candidate: Candidate::from_params(&params, rows),
        params: &params,
        kernel,
        components,
    };
    let stop = Stop::default();
    stop.flag()
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let run = Run::new(1, 3, stop, Arc::default());
    let outcome = fit(
        &KernelProblem {
            context: &context,
            train: &train,
            rows: &points,
            width,
        },
        &run,
    );
    assert!(outcome.is_err_and(|error| error.kind() == diagnostics::ErrorKind::Stopped));
}

#[test]
fn too_many_rows_are_an_error_before_the_texts_are_read() {
    let params = params("--kernel rbf").unwrap();
    let rows: Vec<(String, u32)> = (0..8001)
        .map(|row| (format!("word{}", row % 50), row % 2))
        .collect();
    let table = table(&rows, &["a", "b"], |_| Split::Train);
    // There are no texts, so none can have been read.
    let outcome = Svm::train(&params, &table, Vec::new(), &mut run(1));
    let message = outcome.err().map(|error| error.to_string()).unwrap();
    assert!(
        message.contains("training rows for --kernel rbf, found `8001`"),
        "{message}"
    );
}

#[test]
fn arguments_of_another_kernel_are_an_error() {
    let error = |line: &str| {
        params(line)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        error("--kernel rbf --loss log"),
        "error: expected --kernel linear with --loss log, found --kernel `rbf`\n  help: leave out --loss log, or choose \
         --kernel linear"
    );
    assert_eq!(
        error("--gamma 2"),
        "error: expected --kernel rbf or poly with --gamma, found --kernel `linear`\n  help: leave out --gamma, or \
         choose --kernel rbf or poly"
    );
    for line in [
        "--components 9",
        "--kernel rbf --degree 2",
        "--kernel rbf --coef0 2",
        "--kernel rbf --tune",
        "--kernel rbf --max-iter 5",
        "--kernel rbf --weighting nbsvm",
        "--kernel poly --loss squared_hinge",
        "--weighting nbsvm --sublinear-tf",
    ] {
        assert!(
            error(line).starts_with("error: expected "),
            "{line}: {}",
            error(line)
        );
    }
    for line in ["--kernel poly --coef0 inf", "--kernel rbf --gamma 0"] {
        let words = format!("svm {line}");
        assert!(Line::try_parse_from(words.split(' ')).is_err(), "{line}");
    }
    assert_eq!(
        params("--kernel rbf --loss hinge").unwrap().loss,
        crate::solver::Loss::Hinge
    );
    assert_eq!(
        params("--kernel rbf").unwrap().loss,
        crate::solver::Loss::Hinge
    );
    assert_eq!(params("").unwrap().loss, crate::solver::Loss::SquaredHinge);
}

#[test]
fn overflowing_kernel_values_are_an_error() {
    let (points, labels) = rings(30, 4);
    let train: Vec<u32> = (0..30).collect();
    let params = params("--kernel poly --gamma 1e200 --degree 10").unwrap();
    let crate::params::Algorithm::Kernel(kernel, components) = params.algorithm else {
        panic!("not a kernel")
    };
    let data = LabelledRows {
        pattern: &CsrPattern::default(),
        targets: targets(&labels),
        weights: &[],
    };
    let context = TrainContext {
        data,
        candidate: Candidate::from_params(&params, 30),
        params: &params,
        kernel,
        components,
    };
    let outcome = fit(
        &KernelProblem {
            context: &context,
            train: &train,
            rows: &points,
            width: 4,
        },
        &run(1),
    );
    let message = outcome.err().map(|error| error.to_string()).unwrap();
    assert!(
        message.contains("linfa-svm could not train the kernel") && message.contains("help:"),
        "{message}"
    );
}
