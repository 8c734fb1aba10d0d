//! What training says and where it stops.

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
        "2e37",
        "--clip-norm",
        "0",
        "--warm-up",
        "1",
        "--patience",
        "0",
    ];
    let outcome = home.train(&movie_csv(), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let message = outcome
        .stderr
        .lines()
        .find(|line| line.contains("is not a finite number"));
    assert!(
        message.is_some_and(|line| line.contains(" of step ") && line.contains("(epoch ")),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("help: lower --learning-rate"),
        "{}",
        outcome.stderr
    );
    let best = home.metrics()["details"]["model_of_epoch"].as_u64();
    assert!(best.is_some_and(|epoch| epoch >= 1), "{best:?}");
    home.bilstm("predict", &["a film"]).expect_code(0);
}

/// Before there is a good model there is nothing to keep.
#[test]
fn a_loss_that_is_no_number_at_once_leaves_no_model() {
    let home = Home::new();
    let flags = ["--learning-rate", "3e38", "--clip-norm", "0"];
    let outcome = home.train(&movie_csv(), &flags);
    assert_eq!(outcome.code(), Some(1), "{}", outcome.stderr);
    let said = "(epoch 1) is not a finite number";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(!home.path("model/config.json").exists());
}

#[test]
fn training_stops_when_the_validation_accuracy_does_not_rise() {
    let home = Home::new();
    let flags = [
        "--epochs",
        "50",
        "--patience",
        "2",
        "--learning-rate",
        "0.02",
        "--dropout",
        "0",
    ];
    home.train(&movie_csv(), &flags).expect_code(0);
    let metrics = home.metrics();
    let epochs = metrics["history"].as_array().unwrap();
    let number =
        |epoch: &serde_json::Value, name: &str| epoch["validation"][name].as_f64().unwrap();
    let better = |a: &&serde_json::Value, b: &&serde_json::Value| {
        let by_accuracy = number(a, "accuracy").total_cmp(&number(b, "accuracy"));
        by_accuracy.then(number(b, "loss").total_cmp(&number(a, "loss")))
    };
    let best = epochs.iter().max_by(better).unwrap();
    let best_epoch = best["epoch"].as_u64().unwrap();
    assert!(epochs.len() < 50);
    assert_eq!(
        epochs.len() as u64,
        best_epoch + 2,
        "two epochs after the best one"
    );
    assert_eq!(metrics["details"]["model_of_epoch"], best_epoch);
    let found = metrics["log_loss"].as_f64().unwrap();
    assert!(
        (found - number(best, "loss")).abs() < 1e-9,
        "the model is that of the best epoch"
    );
}

#[test]
fn balanced_classes_find_the_rare_one() {
    let home = Home::new();
    let mut rows: Vec<testkit::Row> = testkit::movie_rows();
    let mut kept = 0;
    rows.retain(|row| {
        row.label == "0" || {
            kept += 1;
            kept <= 40
        }
    });
    let path = home.path("skewed.csv");
    std::fs::write(&path, testkit::to_csv(&rows)).unwrap();
    let predicted = |weight: &str| {
        home.train(
            &path,
            &[
                "--class-weight",
                weight,
                "--epochs",
                "3",
                "--validation-split",
                "0.3",
            ],
        )
        .expect_code(0);
        let metrics = home.metrics();
        let rare = metrics["validation"]["per_class"][1].clone();
        assert_eq!(rare["label"], "1");
        rare["predicted"].as_u64().unwrap()
    };
    let (none, balanced) = (predicted("none"), predicted("balanced"));
    assert!(balanced > none, "{balanced} {none}");
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let home = Home::new();
    for flags in [["--device", "cuda:7"], ["--precision", "mixed"]] {
        let device: &[&str] = if flags[0] == "--precision" {
            &["--device", "cpu"]
        } else {
            &[]
        };
        let outcome = home.train(&movie_csv(), &[device, &flags].concat());
        outcome.expect_code(1);
        assert!(
            outcome.stderr.contains("GPU") && outcome.stderr.contains("help: "),
            "{}",
            outcome.stderr
        );
    }
}
