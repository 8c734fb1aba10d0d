//! What training says and where it stops.

use testkit::movie_csv;

use super::Home;

#[test]
fn a_loss_that_is_no_number_keeps_the_last_good_model() {
    let home = Home::new();
    // The rate grows until the first epoch's end, and with it the weights.
    let flags = [
        "--epochs",
        "3",
        "--learning-rate",
        "1e36",
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
}

#[test]
fn training_stops_when_the_validation_loss_does_not_fall() {
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
    let losses: Vec<f64> = metrics["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|epoch| epoch["validation"]["loss"].as_f64().unwrap())
        .collect();
    let best = (1..)
        .zip(&losses)
        .min_by(|a, b| a.1.total_cmp(b.1))
        .unwrap()
        .0;
    assert!(losses.len() < 50);
    assert_eq!(losses.len(), best + 2, "two epochs after the best one");
    assert_eq!(metrics["details"]["model_of_epoch"], best);
    let found = metrics["log_loss"].as_f64().unwrap();
    assert!(
        (found - losses[best - 1]).abs() < 1e-9,
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
