//! Divergence, early stopping, and the effect of each option.

use serde_json::{Value, json};
use testkit::{Row, movie_csv, movie_rows};

use super::Home;

#[track_caller]
fn assert_diverges(home: &Home, flags: &[&str]) {
    let fixed = ["--epochs", "6", "--patience", "0", "--clip-norm", "0"];
    let outcome = home.train(&movie_csv(), &[&fixed, flags].concat());
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    for said in [
        "is not a finite number",
        " of step ",
        "help: lower --learning-rate",
    ] {
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

#[test]
fn divergence_keeps_last_good_model() {
    let home = Home::new();
    // Each step multiplies the weights by 1 - 0.001 * 2500, until they exceed f32 in the fourth
    // epoch.
    let flags = [
        "--learning-rate",
        "1e-3",
        "--weight-decay",
        "2500",
        "--warm-up",
        "0",
        "--schedule",
        "constant",
    ];
    assert_diverges(&home, &flags);
    let metrics = home.metrics();
    assert_eq!(metrics["history"].as_array().unwrap().len(), 3);
    assert_eq!(metrics["details"]["model_of_epoch"], 1);
    let warning = metrics["warnings"][0]["message"].as_str().unwrap();
    assert!(
        warning.contains("training failed; saved the last good model"),
        "{warning}"
    );
    let rows = movie_csv();
    home.transformer("predict", &["--input", rows.to_str().unwrap()])
        .expect_code(0);
}

#[test]
fn divergence_in_first_epoch_leaves_no_model() {
    let home = Home::new();
    let flags = ["--learning-rate", "1e36", "--warm-up", "1"];
    assert_diverges(&home, &flags);
    assert!(!home.path("model/model.safetensors").exists());
}

/// The only step of an epoch breaks the network: only the check of the weights can detect it.
#[test]
fn divergence_in_last_step_is_detected() {
    let home = Home::new();
    let flags = [
        "--batch-size",
        "64",
        "--learning-rate",
        "3e38",
        "--clip-norm",
        "0",
        "--epochs",
        "1",
        "--warm-up",
        "0",
    ];
    let outcome = home.train(&home.rows(40), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "after step 1 (epoch 1) is not a finite number";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(!home.path("model/model.safetensors").exists());
}

#[test]
fn early_stopping_keeps_best_epoch() {
    let home = Home::new();
    let flags = [
        "--epochs",
        "60",
        "--patience",
        "2",
        "--learning-rate",
        "0.003",
    ];
    home.train(&movie_csv(), &flags).expect_code(0);
    let metrics = home.metrics();
    let epochs = metrics["history"].as_array().unwrap();
    let best = metrics["details"]["model_of_epoch"].as_u64().unwrap();
    assert!(epochs.len() < 60);
    let loss = |epoch: &serde_json::Value| epoch["validation"]["loss"].as_f64().unwrap();
    let lowest = epochs.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
    let lowest = lowest.unwrap()["epoch"].as_u64().unwrap();
    assert_eq!(
        epochs.len() as u64,
        best.max(lowest) + 2,
        "two epochs after the last improvement"
    );
    let loss = epochs[best as usize - 1]["validation"]["loss"]
        .as_f64()
        .unwrap();
    let found = metrics["log_loss"].as_f64().unwrap();
    assert!(
        (found - loss).abs() < 1e-6,
        "the model is that of the best epoch"
    );
}

/// Micro-batches do not change the losses.
#[test]
fn accumulation_matches_large_batch() {
    let home = Home::new();
    let rows = home.rows(120);
    let losses = |flags: &[&str]| -> Vec<f64> {
        home.train(
            &rows,
            &[
                &[
                    "--epochs",
                    "2",
                    "--patience",
                    "0",
                    "--learning-rate",
                    "0.002",
                ],
                flags,
            ]
            .concat(),
        )
        .expect_code(0);
        let metrics = home.metrics();
        let epochs = metrics["history"].as_array().unwrap();
        epochs
            .iter()
            .map(|epoch| epoch["train_loss"].as_f64().unwrap())
            .collect()
    };
    let whole = losses(&["--batch-size", "32"]);
    let parts = losses(&["--batch-size", "8", "--accumulate", "4"]);
    let other = losses(&["--batch-size", "8"]);
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-4, "{whole:?} {parts:?}");
    }
    assert!(
        whole.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-4),
        "{whole:?} {other:?}"
    );
}

#[test]
fn frozen_layers_are_unchanged_and_head_is_trained() {
    let home = Home::new();
    home.train(&movie_csv(), &["--epochs", "1", "--freeze-layers", "all"])
        .expect_code(0);
    let metrics = home.metrics();
    let hidden = super::kit::HIDDEN;
    assert_eq!(
        metrics["details"]["trained_parameters"],
        hidden * hidden + hidden + 2 * hidden + 2
    );
    let read = |path: &std::path::Path, name: &str| {
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor(name).unwrap().data().to_vec()
    };
    let name = "encoder.layer.1.output.dense.weight";
    let before = read(&super::kit::pretrained().join("model.safetensors"), name);
    let after = read(
        &home.path("model/model.safetensors"),
        &format!("bert.{name}"),
    );
    assert!(before == after);
}

#[test]
fn every_training_option_changes_the_model() {
    let home = Home::new();
    let mut rows = testkit::movie_rows();
    rows.truncate(200);
    let mut seen = 0;
    rows.retain(|row| {
        seen += usize::from(row.label == "1");
        row.label == "0" || seen <= 30
    });
    let path = home.path("skewed.csv");
    std::fs::write(&path, testkit::to_csv(&rows)).unwrap();
    let (mut models, mut count) = (Vec::new(), 0);
    for flags in [
        &[][..],
        &["--class-weight", "balanced"],
        &["--label-smoothing", "0.2"],
        &["--dropout", "0"],
        &["--schedule", "constant"],
        &["--warm-up", "0"],
        // Gradients are longer than this, and shorter than 1.
        &["--clip-norm", "0.001"],
        &["--weight-decay", "0.5"],
    ] {
        count += 1;
        home.train(&path, &[&["--epochs", "1"], flags].concat())
            .expect_code(0);
        models.push(home.weights());
    }
    models.sort();
    models.dedup();
    assert!(models.len() == count, "some flag does nothing");
}

/// Issue 17: a label whose rows weigh more gets a higher probability.
#[test]
fn weights_of_rows_and_labels_raise_the_probability() {
    let home = Home::new();
    let [file, own] = ["rows.jsonl", "own.json"].map(|name| home.path(name));
    let line = |row: &Row| {
        let weight = if row.label == "1" { 20 } else { 1 };
        let row = json!({"text": row.text, "label": row.label, "weight": weight});
        format!("{row}\n")
    };
    let rows = movie_rows();
    std::fs::write(&file, rows[..120].iter().map(line).collect::<String>()).unwrap();
    std::fs::write(&own, r#"{"1": 20}"#).unwrap();
    let mean = |flags: &[&str]| {
        let fixed = "--epochs 4 --learning-rate 0.01 --validation-split 0 --no-report";
        let fixed: Vec<&str> = fixed.split(' ').collect();
        home.train(&file, &[&fixed[..], flags].concat())
            .expect_code(0);
        let flags = ["--format", "jsonl", "--all-classes", "--input"];
        let input = [file.to_str().unwrap()];
        let outcome = home.transformer("predict", &[&flags[..], &input].concat());
        let probability = |line: &str| {
            let answer: Value = serde_json::from_str(line).unwrap();
            answer["probabilities"]["1"].as_f64().unwrap()
        };
        let lines = outcome.expect_code(0).stdout.lines();
        lines.map(probability).sum::<f64>() / 120.0
    };
    let (none, weighted) = (mean(&[]), mean(&["--weight-column", "weight"]));
    assert!(weighted > none + 0.05, "{weighted} {none}");
    let several = "--multi-label --class-weight";
    let several: Vec<&str> = several.split(' ').collect();
    let [none, weighted] =
        ["none", own.to_str().unwrap()].map(|weights| mean(&[&several[..], &[weights]].concat()));
    assert!(weighted > none + 0.05, "{weighted} {none}");
}
