//! What training does, says and where it stops.

use testkit::movie_csv;

use super::Home;

#[test]
fn a_loss_that_is_no_number_keeps_the_last_good_model() {
    let home = Home::new();
    // The rate grows from step to step, and with it the weights, until they are beyond f32.
    let flags = [
        "--epochs",
        "6",
        "--learning-rate",
        "1e36",
        "--clip-norm",
        "0",
        "--warm-up",
        "1",
        "--patience",
        "0",
        "--weight-decay",
        "0",
    ];
    let outcome = home.train(&movie_csv(), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "is not a finite number";
    assert!(
        outcome.stderr.contains(said) && outcome.stderr.contains(" of step "),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("help: lower --learning-rate"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn training_stops_when_the_validation_accuracy_does_not_rise() {
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
    assert_eq!(
        epochs.len() as u64,
        best + 2,
        "two epochs after the best one"
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

/// What decides is learnt, whatever the batches are made of.
#[test]
fn accumulated_batches_learn_as_one_large_one() {
    let home = Home::new();
    let rows = home.rows(120);
    let losses = |flags: &[&str]| -> Vec<f64> {
        home.train(
            &rows,
            &[&["--epochs", "2", "--patience", "0"], flags].concat(),
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
fn frozen_layers_stay_and_the_head_learns() {
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
fn balanced_classes_and_smoothed_labels_change_the_model() {
    let home = Home::new();
    let rows = home.rows(100);
    let mut models = Vec::new();
    for flags in [
        &[][..],
        &["--class-weight", "balanced"],
        &["--label-smoothing", "0.2"],
        &["--dropout", "0"],
    ] {
        home.train(&rows, &[&["--epochs", "1"], flags].concat())
            .expect_code(0);
        models.push(home.weights());
    }
    models.sort();
    models.dedup();
    assert_eq!(models.len(), 4);
}
